"""A training from clips to a finished model: captions, codes, statistics, network, pipeline, record, model card."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState

from asdbench import ClipSet, Training, UserError, warn
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.hub import quiet

from ..shared.captions import CaptionRow, Description, group_words, label_values, readable, write_captions
from ..shared.record import write_fingerprints
from .conditioning.captioning import Captioned, captioned_clips
from .conditioning.new_text import NAME as NEW_TEXT
from .conditioning.new_text import new_text_encoder
from .conditioning.text import TextEncoder
from .diffusion.backbone import PRESETS, build_backbone, smallest_frames
from .diffusion.schedule import NoiseSchedule
from .latents.cache import LatentCache
from .latents.events import CLIPS, EventClip, EventModel
from .latents.interface import LatentCodec, load_codec
from .latents.lapped_transform import LappedTransform
from .latents.levels import CONDITIONS, LevelModel, motion_of, unit_bands, words_of
from .latents.space import LatentSpace, LatentStatistics
from .latents.tones import tonal_shares
from .model_card import ModelCard, Part, write_model_card
from .pipeline import MimiiGenPipeline
from .preview import save_grid
from .record import codec_clips, write_record
from .training.examples import Example, split_examples
from .training.loop import Parts, Trained, train
from .training.settings import TrainingSettings

if TYPE_CHECKING:
    from .generator import MimiiGen

CAPTIONS = "captions.csv"
_PREVIEWED = 6
"""Rows of a picture of generated clips."""
_CPU_PART = 4
"""Clips that a CPU computes at once in training."""
_MEASURED = 16
"""Clips whose latents are measured at the end."""


def learn(generator: MimiiGen, training: Training) -> None:
    """Train a generator; see `MimiiGen.train`."""
    clips = _labelled(training.clips)
    _require_anomalies(clips, training.exposure)
    device = choose_device(generator.device)
    settings = _training_settings(generator, device)
    schedule = _schedule(generator)
    captioned = captioned_clips(generator, clips, training.work, device)
    codec = load_codec(generator.codec, generator.bandwidth, device)
    codec = codec.calibrated(clips.waveforms())
    text = _text_encoder(generator, captioned, device)
    cache = _encoded(clips, codec, training)
    examples = [clip.example for clip in captioned]
    levels = None
    if generator.levels == "modelled":
        levels = _levels(captioned, settings.validation_share, cache, codec)
    events = None
    if levels is not None and generator.events == "modelled":
        events = _events(captioned, settings.validation_share, cache, codec, levels, generator.seed)
    statistics = _statistics(examples, settings.validation_share, cache, codec, levels)
    space = statistics.space(generator.channels, generator.normalization, codec.identity)
    unet = build_backbone(
        generator.preset,
        generator.channels,
        text.dim,
        generator.seed % 2**63,
        flat=space.height == 1,
        level_dim=None if levels is None else CONDITIONS,
    )
    num_samples = _num_samples(generator, clips, cache, codec)
    if codec.num_frames(num_samples) < smallest_frames(unet):
        least = ((smallest_frames(unet) - 1) * codec.hop_length + 1) / codec.sample_rate
        raise UserError(
            f"seconds: the clips to train on last {num_samples / codec.sample_rate:.3f} s, "
            f"the U-Net '{generator.preset}' needs at least {least:.3f} s"
        )
    parts = Parts(unet, schedule, text, codec, space, levels=levels, events=events)
    model = _Model(parts, num_samples)
    trained = train(
        parts,
        examples,
        cache,
        codec.num_frames(num_samples),
        settings,
        training.work,
        seed=generator.seed,
        device=str(device),
        progress=training.progress,
        preview=lambda parts, step: _preview(replace(model, parts=parts), captioned, clips, training, step),
    )
    if PartialState().is_main_process:
        _write(
            generator,
            training,
            clips,
            captioned,
            replace(model, parts=_trained_parts(parts, trained)),
            trained,
            statistics,
        )


@dataclass(frozen=True)
class _Model:
    """The parts of a model and the length of its clips."""

    parts: Parts
    num_samples: int

    def pipeline(self) -> MimiiGenPipeline:
        parts = self.parts
        null = parts.text_encoder.null() if parts.null is None else parts.null
        return MimiiGenPipeline(
            unet=parts.unet,
            scheduler=parts.schedule.scheduler(),
            text_encoder=parts.text_encoder.model,
            tokenizer=parts.text_encoder.tokenizer,
            codec=parts.codec.model,
            lapped_transform=parts.codec.to_dict() if isinstance(parts.codec, LappedTransform) else None,
            levels=parts.levels,
            events=parts.events,
            latent_space=parts.space.to_dict(),
            null_embedding=null.cpu().tolist(),
            bandwidth=parts.codec.bandwidth,
            gain=parts.codec.gain,
            max_tokens=parts.text_encoder.max_tokens,
            pooling=parts.text_encoder.pooling,
            num_samples=self.num_samples,
        )


def _labelled(clips: ClipSet) -> ClipSet:
    """The clips whose condition is known: nothing can be said of the others."""
    unknown = int((clips.frame["condition"] == "unknown").sum())
    if unknown:
        warn(f"mimii_gen: {unknown} of {len(clips)} clips are left out, it is not known whether they are normal")
    return clips.where(condition=["normal", "anomaly"])


def _require_anomalies(clips: ClipSet, exposure: str) -> None:
    conditions = Counter(clips.frame["condition"])
    if not len(clips):
        raise UserError("there are no clips to learn from; 'holdout' in the spec sets how many are kept for generators")
    if exposure != "none" and not conditions["anomaly"]:
        raise UserError(
            f"there are no anomalous clips to learn from ({conditions['normal']} normal ones were found) with exposure "
            f"'{exposure}'; keep some with 'holdout: {{anomaly: …}}', or set exposure to 'none'"
        )


def _training_settings(generator: MimiiGen, device: torch.device) -> TrainingSettings:
    shared = {field.name for field in fields(TrainingSettings)} - {"log_every"}  # the generator's under the same names
    given: dict[str, Any] = {name: getattr(generator, name) for name in shared}
    if given["accumulation"] is None:
        given["accumulation"] = _parts(generator.batch_size) if device.type == "cpu" else 1
    return TrainingSettings(**given)


def _parts(batch_size: int) -> int:
    """Fewest equal parts of at most `_CPU_PART` clips: as fast on a CPU as the whole batch, with half of the memory."""
    mine = max(1, batch_size // _processes())
    return next(parts for parts in range(1, mine + 1) if mine % parts == 0 and mine // parts <= _CPU_PART)


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _schedule(generator: MimiiGen) -> NoiseSchedule:
    prediction = generator.prediction
    if prediction == "auto":
        prediction = PRESETS[generator.preset].prediction_type
    return NoiseSchedule(
        steps=generator.timesteps,
        beta_schedule=generator.beta_schedule,
        beta_start=generator.beta_start,
        beta_end=generator.beta_end,
        prediction_type=prediction,
        zero_terminal_snr=generator.zero_terminal_snr,
    )


def _encoded(clips: ClipSet, codec: LatentCodec, training: Training) -> LatentCache:
    """The codes of all clips, encoded once; of several processes each encodes a part."""
    cache = LatentCache(training.cache / "codes", codec)
    rank, processes = int(os.environ.get("RANK", "0")), _processes()
    progress = training.progress if rank == 0 else lambda done, total, note: None
    cache.add(
        clips.select(range(rank, len(clips), processes)),
        progress=lambda done, total: progress(done, total, "clips encoded"),
    )
    if processes > 1:
        PartialState(cpu=codec.device.type == "cpu").wait_for_everyone()
        cache.add(clips)
    return cache


def _statistics(
    examples: Sequence[Example], share: float, cache: LatentCache, codec: LatentCodec, levels: LevelModel | None
) -> LatentStatistics:
    """Statistics of the latents that are trained on, without those that validate."""
    statistics = LatentStatistics(codec.dim if levels is None else levels.shape_dim)
    taught, _ = split_examples(examples, share)
    for content, caption in {example.content_hash: example.caption for example in taught}.items():
        latents = _latents(cache, codec, content)
        statistics.update(latents if levels is None else levels.split(latents, [caption])[0])
    return statistics


def _latents(cache: LatentCache, codec: LatentCodec, content: str) -> torch.Tensor:
    return codec.latents(torch.from_numpy(cache.codes(content).astype("int64"))[None])


def _text_encoder(generator: MimiiGen, captioned: Sequence[Captioned], device: torch.device) -> TextEncoder:
    if generator.text_encoder != NEW_TEXT:
        return TextEncoder.load(generator.text_encoder, generator.text_length, generator.pooling, device)
    if not generator.train_text_encoder:
        raise UserError("text_encoder is 'new', an encoder without training, which needs 'train_text_encoder: true'")
    captions = [clip.example.caption for clip in captioned]
    seed = generator.seed % 2**63
    text = new_text_encoder(captions, generator.text_length, generator.pooling, seed)
    text.model.to(device)
    return text


def _levels(captioned: Sequence[Captioned], share: float, cache: LatentCache, codec: LatentCodec) -> LevelModel:
    """Fit the levels of the clips that are trained on, by machine and condition."""
    clips = _taught(captioned, share)
    levels, motion, shares = [], [], []
    for clip in clips:
        latents = _latents(cache, codec, clip.example.content_hash)
        unit, level = unit_bands(latents)
        levels.append(level[0])
        motion.append(motion_of(unit))
        shares.append(tonal_shares(latents[0]) if isinstance(codec, LappedTransform) else np.zeros(0))
    told = [clip.description for clip in clips]
    return LevelModel.fit(
        torch.stack(levels).double().cpu().numpy(),
        [clip.example.caption for clip in clips],
        [group_words(description) for description in told],
        {value for description in told for value in label_values(description)},
        np.array(motion),
        shares,
        bases={group_words(description): group_words(_as_normal(description)) for description in told},
        scaling=_severity_words(told),
    )


def _severity_words(told: Sequence[Description]) -> set[str]:
    """Words for the severity of clips, such as "barely audible", without those that also tell anything else.

    A caption that has the latter, say of a load that is "slight", need not tell of a severity.
    """
    others = {word for each in told for word in words_of(replace(each, severity=None).metadata_text())}
    severities = {each.severity_word for each in told if each.severity_word}
    return {severity for severity in severities if others.isdisjoint(words_of(severity))}


def _as_normal(description: Description) -> Description:
    return replace(description, condition="normal", fault=None, severity=None)


def _events(
    captioned: Sequence[Captioned], share: float, cache: LatentCache, codec: LatentCodec, levels: LevelModel, seed: int
) -> EventModel | None:
    """Fit the events of the machines whose sound comes and goes, to some clips of each condition; None without any."""
    if not isinstance(codec, LappedTransform):
        raise UserError(f"events: codec '{codec.name}' is no lapped transform, expected one such as 'mdct:512'")
    chosen: dict[str, dict[str, list[Captioned]]] = {}
    for clip in sorted(_taught(captioned, share), key=lambda clip: clip.example.content_hash):
        if levels.is_moving(clip.example.caption):
            kinds = chosen.setdefault(clip.example.machine, {})
            kinds.setdefault(clip.example.condition, []).append(clip)
    clips = []
    for kinds in chosen.values():
        lengths = Counter(cache.num_samples(clip.example.content_hash) for kind in kinds.values() for clip in kind)
        usual = max(lengths, key=lambda length: (lengths[length], length))
        for kind in kinds.values():
            kind = [clip for clip in kind if clip.description.fault is not None] or kind  # not those told vaguely
            clips += [clip for clip in kind if cache.num_samples(clip.example.content_hash) == usual][:CLIPS]
    if not clips:
        return None
    return EventModel.fit(
        [_event_clip(clip, _latents(cache, codec, clip.example.content_hash)) for clip in clips], codec, seed
    )


def _event_clip(clip: Captioned, latents: torch.Tensor) -> EventClip:
    told = clip.description
    labels = dict(told.attributes) | {
        "fault": told.fault or "",
        "severity": told.severity_word or "",
        "domain": told.domain,
    }
    words = {name: words_of(readable(value)) for name, value in labels.items()}
    return EventClip(latents[0].cpu(), told.machine, group_words(told), clip.example.caption, words)


def _taught(captioned: Sequence[Captioned], share: float) -> list[Captioned]:
    """The clips that are trained on, without those that validate."""
    taught = {example.content_hash for example in split_examples([clip.example for clip in captioned], share)[0]}
    return [clip for clip in captioned if clip.example.content_hash in taught]


def _num_samples(generator: MimiiGen, clips: ClipSet, cache: LatentCache, codec: LatentCodec) -> int:
    """Length of what the network is trained on, in samples at the codec's rate."""
    lengths = Counter(cache.num_samples(content) for content in clips.frame["content_hash"])
    if generator.seconds is not None:
        wanted = max(1, round(generator.seconds * codec.sample_rate))
        if wanted > max(lengths):
            raise UserError(
                f"seconds: found {generator.seconds:g}, "
                f"but the longest clip lasts {max(lengths) / codec.sample_rate:g} s"
            )
        return wanted
    return max(lengths, key=lambda length: (lengths[length], length))


def _trained_parts(parts: Parts, trained: Trained) -> Parts:
    return replace(parts, unet=trained.unet, text_encoder=trained.text_encoder, null=trained.null)


def _write(
    generator: MimiiGen,
    training: Training,
    heard: ClipSet,
    captioned: Sequence[Captioned],
    model: _Model,
    trained: Trained,
    statistics: LatentStatistics,
) -> None:
    out, parts = training.out, model.parts
    pipeline = model.pipeline()
    with quiet():
        if generator.weights == "float16":
            pipeline.unet.half()
        pipeline.save_pretrained(out)
        pipeline.unet.float()  # what is measured below has the weights as they were saved
    write_record(out, [clip.row for clip in captioned], codec_clips(generator.codec))
    write_fingerprints(out, heard)
    write_captions(
        out / CAPTIONS, [CaptionRow(c.example.content_hash, c.example.clip_id, c.example.caption) for c in captioned]
    )
    last = trained.history[-1] if trained.history else {}
    writer = Part(generator.caption_model, "") if generator.captions == "t5" else None
    clips: dict[str, Counter[str]] = {}
    for clip in captioned:
        clips.setdefault(clip.example.machine, Counter())[clip.example.condition] += 1
    card = ModelCard(
        clips=clips,
        content_hashes=[clip.example.content_hash for clip in captioned],
        codec=Part(generator.codec, parts.codec.identity),
        text_encoder=Part(generator.text_encoder, parts.text_encoder.identity),
        captions=generator.captions,
        settings=generator.settings(late=False),
        steps=trained.steps,
        exposure=training.exposure,
        seed=generator.seed,
        training_loss=last.get("loss"),
        validation_loss=trained.validation_loss,
        generated_level=_generated_level(pipeline, captioned, statistics),
        caption_model=writer,
        sample_rate=parts.codec.sample_rate,
        seconds=model.num_samples / parts.codec.sample_rate,
        versions={name: version(name) for name in ("asdbench", "torch", "diffusers", "transformers", "accelerate")},
    )
    write_model_card(out, card)


def _generated_level(pipeline: MimiiGenPipeline, captioned: Sequence[Captioned], statistics: LatentStatistics) -> float:
    """Level of generated latents relative to that of the training latents, as the network sees both: 1 is right."""
    chosen = [captioned[index * len(captioned) // _MEASURED] for index in range(_MEASURED)]
    made = LatentStatistics(len(statistics.mean))
    captions = [clip.example.caption for clip in chosen]
    latents = pipeline(captions, seeds=range(_MEASURED), output_type="latent")
    for one, caption in zip(latents, captions, strict=True):
        latent = torch.from_numpy(one)[None]
        made.update(latent if pipeline.levels is None else pipeline.levels.split(latent, [caption])[0])
    return _level(made, pipeline.space) / _level(statistics, pipeline.space)


def _level(statistics: LatentStatistics, space: LatentSpace) -> float:
    """Root mean square of normalised latents."""
    mean, std = np.array(space.mean), np.array(space.std)
    return float(np.sqrt(np.mean((statistics.variance + (statistics.mean - mean) ** 2) / std**2)))


def _preview(model: _Model, captioned: Sequence[Captioned], clips: ClipSet, training: Training, step: int) -> None:
    """Draw a real and two generated clips of some machines and conditions."""
    chosen: dict[tuple[str, str], int] = {}
    for index, clip in enumerate(captioned):
        chosen.setdefault((clip.example.machine, clip.example.condition), index)
    pipeline = model.pipeline()
    rows = []
    for (machine, condition), index in sorted(chosen.items())[:_PREVIEWED]:
        caption = captioned[index].example.caption
        rate = clips.sample_rate or int(clips.frame["sample_rate"].iloc[index])
        real = model.parts.codec.resample(clips.waveform(index), rate)[: model.num_samples]
        made = pipeline([caption] * 2, seeds=[0, 1], batch_size=2)
        rows.append((f"{machine}, {condition}: real, generated, generated", [real, *made]))
    save_grid(training.work / "previews" / f"step-{step:08d}.png", rows, model.parts.codec.sample_rate)

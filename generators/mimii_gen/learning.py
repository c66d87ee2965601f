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
from diffusers import UNet2DConditionModel

from asdbench import ClipSet, Training, UserError, warn
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.hub import quiet

from ..shared.captions import CaptionRow, write_captions
from ..shared.randomness import stream
from ..shared.record import write_fingerprints
from .codec_choice import codec_for
from .compact.kind import NAME as COMPACT
from .conditioning.captioning import Captioned, captioned_clips
from .conditioning.new_text import NAME as NEW_TEXT
from .conditioning.new_text import new_text_encoder
from .conditioning.text import TextEncoder
from .diffusion.backbone import PRESETS, build_backbone, build_for_clips, smallest_frames
from .diffusion.flat_unet import FlatUNet
from .diffusion.schedule import NoiseSchedule
from .latents.cache import LatentCache
from .latents.interface import LatentCodec
from .latents.space import LatentSpace, LatentStatistics
from .model_card import ModelCard, Part, write_model_card
from .pipeline import MimiiGenPipeline
from .preview import save_grid
from .record import codec_clips, write_record
from .training.clip_training import train_clip_network
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
    codec = codec_for(generator, clips, training, device).calibrated(clips.waveforms())
    text = _text_encoder(generator, captioned, device)
    cache = _encoded(clips, codec, training)
    examples = [clip.example for clip in captioned]
    statistics = _statistics(examples, settings.validation_share, cache, codec)
    unet: UNet2DConditionModel | FlatUNet
    clip_network = None
    if codec.clip_dim:  # their rows have no order and different meanings
        space = statistics.space(codec.dim, "dimension", codec.identity)
        dims = codec.dim - codec.clip_dim, codec.clip_dim, codec.conditioning_dim
        unet, clip_network = build_for_clips(generator.preset, *dims, text.dim, generator.seed % 2**63)
    else:
        space = statistics.space(generator.channels, generator.normalization, codec.identity)
        unet = build_backbone(
            generator.preset, generator.channels, text.dim, generator.seed % 2**63, flat=space.height == 1
        )
    num_samples = _num_samples(generator, clips, cache, codec)
    if codec.num_frames(num_samples) < smallest_frames(unet):
        least = ((smallest_frames(unet) - 1) * codec.hop_length + 1) / codec.sample_rate
        raise UserError(
            f"seconds: the clips to train on last {num_samples / codec.sample_rate:.3f} s, "
            f"the U-Net '{generator.preset}' needs at least {least:.3f} s"
        )
    parts = Parts(unet, schedule, text, codec, space, clip_network=clip_network)
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
        finished = _trained_parts(parts, trained)
        if clip_network is not None and generator.clip_steps:
            finished = replace(
                finished,
                clip_network=train_clip_network(
                    finished,
                    examples,
                    cache,
                    settings,
                    generator.clip_steps,
                    training.work,
                    seed=generator.seed,
                    device=device,
                    progress=training.progress,
                ),
            )
        _write(generator, training, clips, captioned, replace(model, parts=finished), trained, statistics)


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
            clip_network=parts.clip_network,
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


def _statistics(examples: Sequence[Example], share: float, cache: LatentCache, codec: LatentCodec) -> LatentStatistics:
    """Statistics of the latents that are trained on, without those that validate."""
    statistics = LatentStatistics(codec.dim)
    taught, _ = split_examples(examples, share)
    for content in dict.fromkeys(example.content_hash for example in taught):
        noise = None
        if codec.clip_dim:
            drawn = stream("statistics", content).standard_normal((1, codec.clip_dim), dtype=np.float32)
            noise = torch.from_numpy(drawn)
        statistics.update(codec.latents(torch.from_numpy(cache.codes(content).astype("int64"))[None], noise))
    return statistics


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
    return replace(
        parts,
        unet=trained.unet,
        clip_network=trained.clip_network,
        text_encoder=trained.text_encoder,
        null=trained.null,
    )


def _write(
    generator: MimiiGen,
    training: Training,
    clips: ClipSet,
    captioned: Sequence[Captioned],
    model: _Model,
    trained: Trained,
    statistics: LatentStatistics,
) -> None:
    out, parts = training.out, model.parts
    pipeline = model.pipeline()
    with quiet():
        halved: list[Any] = [pipeline.unet]
        if parts.codec.clip_dim:
            halved.append(pipeline.clip_network)
            if _fits_half(pipeline.codec):  # else it would be another codec than the one that was used
                halved.append(pipeline.codec)
        for network in halved if generator.weights == "float16" else ():
            network.half()
        pipeline.save_pretrained(out)
        for network in halved:
            network.float()  # what is measured below has the weights as they were saved
    # A codec that was trained on these very clips has none of its own.
    write_record(
        out, [clip.row for clip in captioned], None if generator.codec == COMPACT else codec_clips(generator.codec)
    )
    write_fingerprints(out, clips)
    write_captions(
        out / CAPTIONS, [CaptionRow(c.example.content_hash, c.example.clip_id, c.example.caption) for c in captioned]
    )
    last = trained.history[-1] if trained.history else {}
    writer = Part(generator.caption_model, "") if generator.captions == "t5" else None
    counts: dict[str, Counter[str]] = {}
    for clip in captioned:
        counts.setdefault(clip.example.machine, Counter())[clip.example.condition] += 1
    card = ModelCard(
        clips=counts,
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
        stochastic_decoder=bool(parts.codec.clip_dim),
        sample_rate=parts.codec.sample_rate,
        seconds=model.num_samples / parts.codec.sample_rate,
        versions={name: version(name) for name in ("asdbench", "torch", "diffusers", "transformers", "accelerate")},
    )
    write_model_card(out, card)


def _fits_half(network: torch.nn.Module) -> bool:
    """Whether half precision changes no value of a network."""
    return all(torch.equal(tensor, tensor.half().to(tensor.dtype)) for tensor in network.state_dict().values())


def _generated_level(pipeline: MimiiGenPipeline, captioned: Sequence[Captioned], statistics: LatentStatistics) -> float:
    """Level of generated latents relative to that of the training latents, as the network sees both: 1 is right."""
    chosen = [captioned[index * len(captioned) // _MEASURED] for index in range(_MEASURED)]
    made = LatentStatistics(len(statistics.mean))
    captions = [clip.example.caption for clip in chosen]
    latents = pipeline(captions, seeds=range(_MEASURED), output_type="latent")
    for one in latents:
        made.update(torch.from_numpy(one))
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

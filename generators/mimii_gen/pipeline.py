"""Captions to sound: the trained parts as one diffusers pipeline, saved and loaded as one folder.

The folder holds the U-Net, the noise schedule, the encoder of the captions with its tokenizer and the codec, all as
safetensors and JSON, and in ``model_index.json`` what lies between them: the normalisation of the latents, the null
embedding, and how codec and text encoder are used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import diffusers
import huggingface_hub
import numpy as np
import numpy.typing as npt
import torch
import transformers
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import AutoTokenizer, EncodecModel

from asdbench import UserError
from asdbench.pretrained.hub import PICKLES, check_safetensors, load_pretrained, local_folder, quiet

from ..shared.captions import Description, caption
from ..shared.disk import os_errors
from ..shared.fields import Field, check_fields, is_count, is_number
from .conditioning.text import Embeddings, TextEncoder, with_null
from .diffusion.backbone import smallest_frames
from .diffusion.sampling import denoise, draw_noise, guide, noise_share, set_steps
from .diffusion.schedule import NoiseSchedule
from .diffusion.schedule import sampler as make_sampler
from .latents.codec import Codec
from .latents.events import FILE as EVENTS
from .latents.events import EventModel
from .latents.interface import LatentCodec
from .latents.lapped_transform import LappedTransform
from .latents.lapped_transform import from_dict as transform_of
from .latents.levels import CONDITIONS, LevelModel
from .latents.levels import FILE as LEVELS
from .latents.space import LatentSpace

__all__ = ["MimiiGenPipeline", "load_pipeline"]

Waveform = npt.NDArray[np.float32]

_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
_MODELS = ("unet", "text_encoder", "codec")
_EXACT = {"scheduler": DDPMScheduler, "codec": EncodecModel}
"""Parts that can be of one class only."""
_SETTING = "checkpoint"
_STEPS = 25
_MOST_TOKENS = 512  # the most that the setting text_length allows


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == len(value[0]) for row in value):
        return False
    return all(is_number(number) for row in value for number in row)


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


_FIELDS: Mapping[str, Field] = {
    "latent_space": (lambda value: isinstance(value, dict), "layout and statistics of the latents"),
    "null_embedding": (_is_matrix, "rows of finite numbers, all of one length"),
    "bandwidth": (lambda value: value is None or _is_positive(value), "a number above 0, or null"),
    "gain": (_is_positive, "a number above 0"),
    "max_tokens": (lambda value: is_count(value) and value <= _MOST_TOKENS, f"a whole number, 1 to {_MOST_TOKENS}"),
    "pooling": (lambda value: value in ("none", "mean"), "'none' or 'mean'"),
    "num_samples": (is_count, "a whole number above 0"),
}
"""What ``model_index.json`` says beside the parts."""


class MimiiGenPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers is not typed
    """Generates clips from captions (figure 1 of the paper, the lower half).

    All clips of a call have one length. A clip depends on its caption, its seed and the settings, not on the clips
    beside it: noise is drawn from a generator of its own, and every batch is computed with the same shapes (the last is
    filled up with repeats, captions are padded to the longest allowed). A clip alone and the same clip anywhere in a
    batch agree within 1e-6 of its standard deviation (on a CPU they were equal in all bits), and clips made with
    another ``batch_size`` within 1e-4 (7e-6 was measured); on another device they agree as well as its arithmetic does.
    A batch costs the same however few clips it holds: ask for ``batch_size=1`` where single clips are wanted.

    Attributes:
        unet: the denoising network; its dtype is the one it computes in, all else is computed in float32.
        scheduler: the training scheduler.
        text_encoder: encoder of the captions.
        tokenizer: its tokenizer.
        codec: the EnCodec model; None where the codec is a lapped transform.
        levels: levels by caption; None where the U-Net makes them too.
        events: what comes and goes of some machines, by caption; None where the U-Net makes it too.
        space: layout and normalisation of the latents.
        sample_rate: of what is generated, in Hz.
    """

    unet: UNet2DConditionModel
    scheduler: DDPMScheduler
    codec: EncodecModel | None
    _optional_components = ["codec"]  # noqa: RUF012  # diffusers joins it to a list

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: DDPMScheduler,
        text_encoder: Any,
        tokenizer: Any,
        codec: EncodecModel | None,
        latent_space: dict[str, Any] | None = None,
        null_embedding: list[list[float]] | None = None,
        bandwidth: float | None = None,
        gain: float = 1.0,
        max_tokens: int = 64,
        pooling: str = "none",
        num_samples: int = 240_000,
        lapped_transform: dict[str, int] | None = None,
        levels: LevelModel | None = None,
        events: EventModel | None = None,
    ) -> None:
        """Put the parts together and check that they fit.

        What has a default is saved in ``model_index.json`` (diffusers takes parameters with a default for plain
        configuration).

        Args:
            unet: see `build_backbone` for what it must satisfy.
            scheduler: the scheduler of training, see `NoiseSchedule.scheduler`.
            text_encoder: a transformers encoder.
            tokenizer: its tokenizer.
            codec: a transformers EnCodec, or None with ``lapped_transform``.
            latent_space: `LatentSpace.to_dict`; required.
            null_embedding: the embedding of "no caption" that was trained with, shape (tokens, width); required.
            bandwidth: of the codec in kbps.
            gain: of the codec.
            max_tokens: longest caption in tokens.
            pooling: "none" or "mean", of the caption's token states.
            num_samples: length of a clip at the codec's rate where a call does not say.
            lapped_transform: `LappedTransform.to_dict`, in place of a codec.
            levels: draws levels by caption, and puts them into what the U-Net makes; kept in a file of its own.
            events: draws what comes and goes of some machines by caption, likewise.

        Raises:
            UserError: If a required part is missing, a value is of another type, or two parts do not fit.
        """
        super().__init__()
        fields = {
            "latent_space": latent_space,
            "null_embedding": null_embedding,
            "bandwidth": bandwidth,
            "gain": gain,
            "max_tokens": max_tokens,
            "pooling": pooling,
            "num_samples": num_samples,
        }
        check_fields(fields, _FIELDS)
        _check_scheduler(scheduler)
        self.register_modules(
            unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer, codec=codec
        )
        self.register_to_config(**fields, lapped_transform=lapped_transform)
        self.levels, self.events = levels, events
        self._codec = _codec_of(codec, bandwidth, gain, lapped_transform)
        self._text = TextEncoder(text_encoder, tokenizer, max_tokens, "mean" if pooling == "mean" else "none")
        self.space = LatentSpace.from_dict(latent_space or {})
        self._null = torch.tensor(null_embedding, dtype=torch.float32)
        self.sample_rate = self._codec.sample_rate
        self._check()

    def _check(self) -> None:
        """Refuse parts that do not fit; each would otherwise fail late, or silently give noise."""
        self.space.require(self._codec)
        if self.levels is not None and self.levels.dim != self._codec.dim:
            raise UserError(f"{LEVELS} is of {self.levels.dim} values a frame, the codec has {self._codec.dim}")
        width = self._codec.dim if self.levels is None else self.levels.shape_dim
        if self.space.dim != width:
            what = f"the codec has {width}" if self.levels is None else f"{LEVELS} makes {width} of the codec's"
            raise UserError(f"latent_space has {self.space.dim} values a frame, {what}")
        told = self.unet.config.get("projection_class_embeddings_input_dim")
        if told != (None if self.levels is None else CONDITIONS):
            found = "none" if told is None else f"{told} numbers"
            raise UserError(f"the U-Net is told {found} of the level of a clip, which does not go with the levels")
        if self.unet.config.in_channels != self.space.channels:
            raise UserError(
                f"the U-Net takes {self.unet.config.in_channels} channels, the latents of latent_space have "
                f"{self.space.channels} of height {self.space.height}"
            )
        width = self.unet.config.cross_attention_dim
        if width != self._text.dim:
            raise UserError(f"the U-Net attends to embeddings of width {width}, text_encoder gives {self._text.dim}")
        if self._null.ndim != 2 or self._null.shape[1] != width or not len(self._null):
            raise UserError(
                f"null_embedding has the shape {tuple(self._null.shape)}, expected (tokens, {width}) as for the U-Net"
            )
        if self.config.num_samples < self._least_samples():
            raise UserError(f"num_samples is {self.config.num_samples}, expected at least {self._least_samples()}")

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save all parts to a folder, as safetensors and JSON only.

        Raises:
            OSError: If the disk refuses it, such as with ENOSPC where it is full.
        """
        with os_errors(save_directory):
            super().save_pretrained(save_directory, **{**kwargs, "safe_serialization": True})
            for model in (self.levels, self.events):
                if model is not None:
                    model.save(Path(save_directory))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Load all that `save_pretrained` wrote; see `load_pipeline` for a loader that checks more."""
        folder = Path(pretrained_model_name_or_path)
        if (folder / LEVELS).is_file():
            kwargs.setdefault("levels", LevelModel.load(folder / LEVELS))
        if (folder / EVENTS).is_file():
            kwargs.setdefault("events", EventModel.load(folder / EVENTS, _transform_in(folder)))
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def compile_unet(self) -> None:
        """Compile the U-Net with torch.compile: faster from the second batch on; all batches have the same shapes."""
        self.unet.compile()

    @torch.inference_mode()
    def __call__(
        self,
        captions: Sequence[str | Description],
        *,
        seeds: Sequence[int],
        num_samples: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 2.0,
        guidance_rescale: float = 0.7,
        sampler: str = "dpm++",
        batch_size: int = 8,
        audio: Sequence[Waveform] | None = None,
        strength: float | None = None,
        output_type: Literal["audio", "latent"] = "audio",
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Waveform]:
        """Generate a clip for each caption.

        Args:
            captions: one for each clip; a description is said in the words of the first template.
            seeds: one for each clip.
            num_samples: length of the clips at `sample_rate`; None for that of ``audio``, or else of the configuration.
            num_inference_steps: steps of the sampler; None for 25, or all timesteps where there are fewer.
            guidance_scale: weight of the caption: 1 for none, 0 to ignore the caption (it raises the level of what is
                generated, hence `guidance_rescale`).
            guidance_rescale: how far the level that guidance adds is taken back, 0 to 1.
            sampler: dpm++, ddpm or ddim.
            batch_size: clips computed at a time.
            audio: clips to start from (audio-to-audio), at `sample_rate`, each of ``num_samples``.
            strength: how much of ``audio`` is made anew, above 0 and up to 1: the share of the noise's timesteps that
                are run again. Near 0 the clip comes back as the codec reproduces it.
            output_type: "audio", or "latent" for the codec's latents.
            progress: called with the number of denoising steps done and in all.

        Returns:
            Waveforms of exactly ``num_samples`` samples, float32, at `sample_rate`; or latents of shape (dim, frames).

        Raises:
            UserError: If an argument is out of its range or two do not fit; it is named.
        """
        texts = self._texts(captions, seeds)
        num_samples = self._length(num_samples, audio, texts)
        _require(guidance_scale >= 0, f"guidance_scale is {guidance_scale}, expected 0 or more")
        _require(0 <= guidance_rescale <= 1, f"guidance_rescale is {guidance_rescale}, expected 0 to 1")
        _require(batch_size >= 1, f"batch_size is {batch_size}, expected 1 or more")
        _require(audio is None or strength is not None, "audio is given without strength, expected both or neither")
        _require(audio is not None or strength is None, "strength is given without audio, expected both or neither")
        _require(strength is None or 0 < strength <= 1, f"strength is {strength}, expected above 0 and up to 1")
        scheduler = make_sampler(sampler, self.scheduler)
        if num_inference_steps is None:
            num_inference_steps = min(_STEPS, scheduler.config.num_train_timesteps)
        set_steps(scheduler, num_inference_steps)
        batches = -(-len(texts) // batch_size)
        progress = progress or (lambda done, total: None)
        waveforms: list[Waveform] = []
        for batch in range(batches):
            rows, count = _rows(batch, batch_size, len(texts))
            report = partial(_report, progress, batch * num_inference_steps, batches * num_inference_steps)
            told, own_seeds = [texts[row] for row in rows], [int(seeds[row]) for row in rows]
            generators = [torch.Generator().manual_seed(seed) for seed in own_seeds]
            shape = (self.space.channels, self.space.height, self._codec.num_frames(num_samples))
            clean, levels = None, None
            if audio is not None:
                clean, levels = self._encode([audio[row] for row in rows], told)
            elif self.levels is not None:
                levels = self.levels.draw(told, own_seeds)
            noise = draw_noise(generators, shape).to(self.unet.device)
            eventful = self._eventful(told) if audio is None else []
            if len(eventful) < len(told):
                latents = denoise(
                    self._predictor(told, guidance_scale, guidance_rescale, levels),
                    scheduler,
                    num_inference_steps,
                    noise,
                    generators,
                    clean=clean,
                    strength=1.0 if strength is None else strength,
                    on_step=report,
                )
                made = self.space.from_unet(latents)
                if self.levels is not None and levels is not None:
                    if isinstance(self._codec, LappedTransform):
                        # What is left of a clip to start from has its own tones, what was noise has none.
                        share = 1.0 if strength is None else noise_share(scheduler, strength)
                        made = self.levels.add_tones(made, levels, told, own_seeds, self._codec, share)
                    made = self.levels.join(made, levels, told)
            else:
                made = torch.empty((len(told), self._codec.dim, shape[-1]), device=noise.device)
                report(num_inference_steps)
            if eventful and self.events is not None:
                own = noise[eventful].flatten(1, 2)[:, : self._codec.dim]
                made[eventful] = self.events.make(
                    own, [told[row] for row in eventful], [own_seeds[row] for row in eventful]
                )
            if output_type == "audio":
                made = self._codec.decode(made, num_samples)
            waveforms += list(made[:count].float().cpu().numpy())
        return waveforms

    def _eventful(self, texts: Sequence[str]) -> list[int]:
        """Rows whose machine has events: these are made of white noise, and the U-Net has nothing to add."""
        return [] if self.events is None else [row for row, text in enumerate(texts) if self.events.knows(text)]

    @torch.inference_mode()
    def reconstruct(self, audio: Waveform) -> Waveform:
        """Encode and decode a waveform at `sample_rate`: what is lost when nothing is generated."""
        coded = self._codec.encode(torch.from_numpy(audio)[None].to(self._codec.device))
        decoded = self._codec.decode(self._codec.latents(coded), len(audio))
        return np.asarray(decoded[0].float().cpu().numpy())

    def _texts(self, captions: Sequence[str | Description], seeds: Sequence[int]) -> list[str]:
        _require(not isinstance(captions, str), "captions is a single string, expected a list with one for each clip")
        _require(len(seeds) == len(captions), f"there are {len(captions)} captions and {len(seeds)} seeds")
        texts = [caption(given, 0) if isinstance(given, Description) else given for given in captions]
        for index, seed in enumerate(seeds):
            _require(0 <= seed < 2**63, f"seeds[{index}] is {seed}, expected 0 to {2**63 - 1}")
        for index, text in enumerate(texts):
            _require(bool(text.strip()), f"captions[{index}] is empty, expected a description of the clip")
        return texts

    def _length(self, num_samples: int | None, audio: Sequence[Waveform] | None, texts: Sequence[str]) -> int:
        if audio is not None:
            _require(len(audio) == len(texts), f"there are {len(texts)} captions and {len(audio)} clips in audio")
            if num_samples is None and len(audio):
                num_samples = len(audio[0])
        if num_samples is None:
            num_samples = int(self.config.num_samples)
        for index, waveform in enumerate(audio or ()):
            _require(
                np.shape(waveform) == (num_samples,),
                f"audio[{index}] has the shape {np.shape(waveform)}, expected ({num_samples},), the clips' length",
            )
        least = self._least_samples()
        found = "clip_seconds" if audio is None else "the clips to start from (strength)"
        _require(
            num_samples >= least,
            f"{found}: found {num_samples / self.sample_rate:.4g} s (num_samples is {num_samples}), expected at least "
            f"{least / self.sample_rate:.4g} s ({least}), what the U-Net needs",
        )
        return num_samples

    def _least_samples(self) -> int:
        return (smallest_frames(self.unet) - 1) * self._codec.hop_length + 1

    def _predictor(
        self, texts: Sequence[str], scale: float, rescale: float, levels: Tensor | None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the U-Net as a function of latents and timestep, for these captions and levels and with guidance."""
        told = None
        if self.levels is not None and levels is not None:
            told = self.levels.conditions(levels, texts).to(self.unet.device, self.unet.dtype)
        embeddings = self._embed(texts).to(self.unet.device)
        null = self._null.to(self.unet.device)
        nothing = with_null(embeddings, null, torch.ones(len(texts), dtype=torch.bool))

        def predict(latents: Tensor, timestep: Tensor, given: Embeddings) -> Tensor:
            output = self.unet(
                latents.to(self.unet.dtype),
                timestep,
                given.states.to(self.unet.dtype),
                encoder_attention_mask=given.mask,
                class_labels=told,
            )
            return output.sample.float()

        def guided(latents: Tensor, timestep: Tensor) -> Tensor:
            if scale == 0:  # rescaling would let the caption in again, by its level
                return predict(latents, timestep, nothing)
            conditional = predict(latents, timestep, embeddings)
            if scale == 1:
                return conditional
            return guide(conditional, predict(latents, timestep, nothing), scale, rescale)

        return guided

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        """Encode captions one by one and pad them to one length, so that no caption depends on those beside it."""
        length = 1 if self._text.pooling == "mean" else self._text.max_tokens
        length = max(length, len(self._null))
        encoded = [self._text.encode([text]) for text in texts]
        states = [torch.nn.functional.pad(one.states, (0, 0, 0, length - one.states.shape[1])) for one in encoded]
        masks = [torch.nn.functional.pad(one.mask, (0, length - one.mask.shape[1])) for one in encoded]
        return Embeddings(torch.cat(states), torch.cat(masks))

    def _encode(self, waveforms: Sequence[Waveform], texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Encode waveforms to normalised latents, shape (batch, channels, height, frames), and their levels."""
        stacked = torch.from_numpy(np.stack([np.asarray(waveform, dtype=np.float32) for waveform in waveforms]))
        latents = self._codec.latents(self._codec.encode(stacked.to(self._codec.device)))
        levels = None
        if self.levels is not None:
            latents, levels = self.levels.split(latents, texts)
        return self.space.to_unet(latents).to(self.unet.device, torch.float32), levels


def _codec_of(
    model: EncodecModel | None, bandwidth: float | None, gain: float, transform: dict[str, int] | None
) -> LatentCodec:
    """The codec of a pipeline: a network, or the transform that its configuration describes."""
    if (model is None) == (transform is None):
        raise UserError("the pipeline has neither or both of a codec and a lapped_transform, expected one of them")
    return Codec(model, bandwidth, gain=gain) if model is not None else transform_of(transform)


def _transform_in(folder: Path) -> LappedTransform:
    """The lapped transform that the index of a model describes."""
    return transform_of(_read_json(folder / "model_index.json").get("lapped_transform"))


def load_pipeline(name: str, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> MimiiGenPipeline:
    """Load a pipeline that was saved with `MimiiGenPipeline.save_pretrained`.

    Args:
        name: a folder, or an id of the Hugging Face hub.
        device: where it is to run.
        dtype: what the U-Net computes in, such as ``torch.bfloat16`` on a GPU; None for float32. All else is float32.

    Raises:
        UserError: If it is not there, is no such pipeline, holds pickled weights, a damaged file or missing weights, or
            its parts do not fit. The message names the folder.
    """
    folder = local_folder(name, _SETTING) or _download(name)
    index = _read_index(folder)
    schedule = _read_schedule(folder, index)
    pickles = [path for path in sorted(folder.rglob("*")) if path.suffix in PICKLES]
    if pickles:
        raise UserError(
            f"{_SETTING}: {pickles[0]}: weights in a pickle are refused because reading them can run any code, "
            "expected safetensors files only"
        )
    check_safetensors(folder, _SETTING)
    named = [part for part in (*_MODELS, "tokenizer") if part != "codec" or index.get("lapped_transform") is None]
    parts = {part: _load_part(folder, part, index) for part in named}
    if "codec" not in parts:
        parts["codec"] = None
    parts["scheduler"] = schedule.scheduler()
    try:
        with quiet():
            pipeline: MimiiGenPipeline = MimiiGenPipeline.from_pretrained(str(folder), **parts)
    except UserError as error:
        raise UserError(f"{_SETTING}: {folder}: {error}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"{_SETTING}: {folder}: model_index.json is not that of a whole checkpoint ({error})"
        ) from error
    pipeline.to(device)
    if dtype is not None:
        with quiet():  # diffusers warns of modules to be kept in float32 also where there are none
            pipeline.unet.to(dtype)
    return pipeline


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise UserError(f"{_SETTING}: {folder} holds no model_index.json, expected the folder of a trained generator")
    index = _read_json(path)
    found = index.get("_class_name")
    if found != MimiiGenPipeline.__name__:
        raise UserError(f"{_SETTING}: {path} is that of a '{found}', expected '{MimiiGenPipeline.__name__}'")
    try:
        check_fields(index, _FIELDS)
        LatentSpace.from_dict(index["latent_space"])
    except UserError as error:
        raise UserError(f"{_SETTING}: {path}: {error}") from error
    return index


def _read_schedule(folder: Path, index: dict[str, Any]) -> NoiseSchedule:
    """Read the noise schedule of the training; diffusers would put its defaults where the file lacks something."""
    _class_of(folder, "scheduler", index)
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise UserError(f"{_SETTING}: {path} is missing, expected the noise schedule of the training")
    config = _read_json(path)
    try:
        return NoiseSchedule.from_config(config)
    except UserError as error:
        raise UserError(f"{_SETTING}: {path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{_SETTING}: {path}: the file cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{_SETTING}: {path}: expected a JSON object, found {type(found).__name__}")
    return found


def _check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler that was not told all of its noise schedule."""
    if not isinstance(scheduler, DDPMScheduler):
        raise UserError(f"scheduler is a {type(scheduler).__name__}, expected the DDPMScheduler of the training")
    defaults = scheduler.config.get("_use_default_values", ())
    try:
        NoiseSchedule.from_config({name: value for name, value in scheduler.config.items() if name not in defaults})
    except UserError as error:
        raise UserError(f"scheduler: {error}") from error


def _class_of(folder: Path, part: str, index: dict[str, Any]) -> Any:
    """The class that the index names for a part, if it is one of the two libraries' and can be that of the part."""
    entry = index.get(part)
    library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    kind = getattr(_LIBRARIES.get(str(library)), str(name), None)
    only = _EXACT.get(part)
    if not hasattr(kind, "from_pretrained") or only not in (None, kind):
        expected = "a class of diffusers or transformers" if only is None else only.__name__
        raise UserError(f"{_SETTING}: {folder / 'model_index.json'}: {part} is {entry}, expected {expected}")
    if not (folder / part).is_dir():
        raise UserError(f"{_SETTING}: {folder} holds no folder '{part}', expected that of a {name}")
    return kind


def _load_part(folder: Path, part: str, index: dict[str, Any]) -> Any:
    kind = _class_of(folder, part, index)
    if part == "tokenizer":
        return load_pretrained(AutoTokenizer, str(folder / part), setting=_SETTING)
    return load_pretrained(kind, str(folder / part), setting=_SETTING, optional=("pooler.",))


def _download(name: str) -> Path:
    """Bring a pipeline from the hub, or from its local cache; only files that cannot run code."""
    try:
        with quiet():
            return Path(
                huggingface_hub.snapshot_download(
                    name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt"], etag_timeout=5
                )
            )
    except Exception as error:  # which errors there are depends on the HTTP library
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"{_SETTING}: '{name}' is no folder and cannot be loaded from the hub ({reason}); download it elsewhere "
            f"with 'hf download {name} --local-dir DIR' and set {_SETTING} to that folder"
        ) from error


def _rows(batch: int, batch_size: int, total: int) -> tuple[list[int], int]:
    """Return which clips a batch holds and how many of them count; the rest repeat the first to fill the batch up."""
    rows = list(range(batch * batch_size, min((batch + 1) * batch_size, total)))
    return rows + [rows[0]] * (batch_size - len(rows)), len(rows)


def _report(progress: Callable[[int, int], None], before: int, total: int, step: int) -> None:
    progress(before + step, total)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)

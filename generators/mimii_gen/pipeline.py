"""Captions to sound: the trained parts as one diffusers pipeline, saved and loaded as one folder.

The folder holds the U-Net, the noise schedule, the encoder of the captions with its tokenizer and the codec, all as
safetensors and JSON, and in ``model_index.json`` what lies between them: the normalisation of the latents, the null
embedding, and how codec and text encoder are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import EncodecModel

from asdbench import UserError
from asdbench.pretrained.hub import quiet

from ..shared.captions import Description, caption
from ..shared.disk import os_errors
from ..shared.fields import check_fields
from .checkpoint import FIELDS, SETTING, load_parts
from .compact.network import CompactNetwork
from .conditioning.text import Embeddings, TextEncoder, with_null
from .diffusion.backbone import smallest_frames
from .diffusion.clip_network import ClipNetwork
from .diffusion.flat_unet import FlatUNet
from .diffusion.sampling import denoise, draw_noise, guide, set_steps
from .diffusion.schedule import NoiseSchedule
from .diffusion.schedule import sampler as make_sampler
from .latents.interface import LatentCodec, codec_of
from .latents.space import LatentSpace, join_clip, split_clip
from .older import refuse_older

__all__ = ["Guidance", "MimiiGenPipeline", "load_pipeline"]

Waveform = npt.NDArray[np.float32]

_STEPS = 25
_CLIP_STEPS = 25
"""Steps of the sampler for clip latents, at least."""


class Guidance(NamedTuple):
    """How much of the caption counts, and of a clip to start from.

    Attributes:
        scale, rescale: see `guide`.
        strength: see `denoise`.
    """

    scale: float
    rescale: float
    strength: float


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
        codec: the network of the codec.
        clip_network: makes the clip latents of a compact codec; None where the codec has none.
        space: layout and normalisation of the latents.
        sample_rate: of what is generated, in Hz.
    """

    unet: UNet2DConditionModel | FlatUNet
    scheduler: DDPMScheduler
    codec: EncodecModel | CompactNetwork
    clip_network: ClipNetwork | None
    _optional_components = ["clip_network"]  # noqa: RUF012  # diffusers joins it to a list

    def __init__(
        self,
        unet: UNet2DConditionModel | FlatUNet,
        scheduler: DDPMScheduler,
        text_encoder: Any,
        tokenizer: Any,
        codec: EncodecModel | CompactNetwork,
        clip_network: ClipNetwork | None,
        latent_space: dict[str, Any] | None = None,
        null_embedding: list[list[float]] | None = None,
        bandwidth: float | None = None,
        gain: float = 1.0,
        max_tokens: int = 64,
        pooling: str = "none",
        num_samples: int = 240_000,
    ) -> None:
        """Put the parts together and check that they fit.

        What has a default is saved in ``model_index.json`` (diffusers takes parameters with a default for plain
        configuration).

        Args:
            unet: see `build_backbone` for what it must satisfy.
            scheduler: the scheduler of training, see `NoiseSchedule.scheduler`.
            text_encoder: a transformers encoder.
            tokenizer: its tokenizer.
            codec: a transformers EnCodec, or the network of a compact codec.
            clip_network: with a compact codec, the network that makes its clip latents; else None.
            latent_space: `LatentSpace.to_dict`; required.
            null_embedding: the embedding of "no caption" that was trained with, shape (tokens, width); required.
            bandwidth: of the codec in kbps.
            gain: of the codec.
            max_tokens: longest caption in tokens.
            pooling: "none" or "mean", of the caption's token states.
            num_samples: length of a clip at the codec's rate where a call does not say.

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
        check_fields(fields, FIELDS)
        _check_scheduler(scheduler)
        self.register_modules(
            unet=unet,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            codec=codec,
            clip_network=clip_network,
        )
        self.register_to_config(**fields)
        self._codec: LatentCodec = codec_of(codec, bandwidth, gain)
        self._text = TextEncoder(text_encoder, tokenizer, max_tokens, "mean" if pooling == "mean" else "none")
        self.space = LatentSpace.from_dict(latent_space or {})
        self._null = torch.tensor(null_embedding, dtype=torch.float32)
        self.sample_rate = self._codec.sample_rate
        self._check()

    def _check(self) -> None:
        """Refuse parts that do not fit; each would otherwise fail late, or silently give noise."""
        self.space.require(self._codec)
        if self.space.dim != self._codec.dim:
            raise UserError(f"latent_space has {self.space.dim} values a frame, the codec has {self._codec.dim}")
        self._check_clip_network()
        channels = self.space.channels - self._codec.clip_dim
        if self.unet.config.in_channels != channels:
            raise UserError(
                f"the U-Net takes {self.unet.config.in_channels} channels, the latents of latent_space have "
                f"{channels} of height {self.space.height}"
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

    def _check_clip_network(self) -> None:
        needed = self._codec.clip_dim, self._codec.conditioning_dim
        made = 0 if self.clip_network is None else int(self.clip_network.config.clip_dim)
        conditioned = int(self.unet.config.get("clip_dim", 0))
        if (made, conditioned) != needed:
            raise UserError(
                f"the codec has clip latents of {needed[0]} values, {needed[1]} of them for the U-Net; clip_network "
                f"makes {made}, and the U-Net is conditioned on {conditioned}"
            )
        if self.clip_network is not None and self.clip_network.config.cross_attention_dim != self._text.dim:
            raise UserError(
                f"clip_network attends to embeddings of width {self.clip_network.config.cross_attention_dim}, "
                f"text_encoder gives {self._text.dim}"
            )

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save all parts to a folder, as safetensors and JSON only.

        Raises:
            OSError: If the disk refuses it, such as with ENOSPC where it is full.
        """
        with os_errors(save_directory):
            super().save_pretrained(save_directory, **{**kwargs, "safe_serialization": True})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Load all that `save_pretrained` wrote; see `load_pipeline` for a loader that checks more."""
        refuse_older(pretrained_model_name_or_path)
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
            generators = [torch.Generator().manual_seed(int(seeds[row])) for row in rows]
            clip_dim = self._codec.clip_dim
            shape = (self.space.channels - clip_dim, self.space.height, self._codec.num_frames(num_samples))
            noise = draw_noise(generators, shape).to(self.unet.device)
            clean, clean_clip = None, None
            if audio is not None:
                clean, clean_clip = split_clip(self._encode([audio[row] for row in rows]), clip_dim)
            embeddings = self._embed([texts[row] for row in rows]).to(self.unet.device)
            guidance = Guidance(guidance_scale, guidance_rescale, 1.0 if strength is None else strength)
            clip = self.make_clip_latents(embeddings, sampler, num_inference_steps, generators, guidance, clean_clip)
            latents = self.make_frame_latents(
                embeddings, clip, noise, scheduler, num_inference_steps, generators, guidance, clean, report
            )
            made = self.space.from_unet(join_clip(latents, clip))
            if output_type == "audio":
                made = self._codec.decode(made, num_samples, [int(seeds[row]) for row in rows])
            waveforms += list(made[:count].float().cpu().numpy())
        return waveforms

    def make_clip_latents(
        self,
        embeddings: Embeddings,
        sampler: str,
        steps: int,
        generators: list[torch.Generator],
        guidance: Guidance,
        clean: Tensor | None,
    ) -> Tensor:
        """Make normalised clip latents, shape (batch, clip_dim); of width 0 where the codec has none.

        Args:
            embeddings: of the captions.
            sampler: name of the sampler.
            steps: at least so many; the network is small, and takes more.
            generators: of each clip.
            guidance: how the caption counts.
            clean: clip latents to start from, or None.
        """
        if self.clip_network is None:
            return torch.zeros((len(generators), 0), device=self.unet.device)
        scheduler = make_sampler(sampler, self.scheduler)
        if sampler == "dpm++":
            steps = max(steps, min(_CLIP_STEPS, scheduler.config.num_train_timesteps))
        noise = draw_noise(generators, (self._codec.clip_dim,)).to(self.unet.device)
        return denoise(
            self._predictor(self.clip_network, embeddings, guidance),
            scheduler,
            steps,
            noise,
            generators,
            clean=clean,
            strength=guidance.strength,
        )

    def make_frame_latents(
        self,
        embeddings: Embeddings,
        clip: Tensor,
        noise: Tensor,
        scheduler: Any,
        steps: int,
        generators: list[torch.Generator],
        guidance: Guidance,
        clean: Tensor | None,
        on_step: Callable[[int], None],
    ) -> Tensor:
        """Make normalised latents of the frames, of the shape of ``noise``.

        Args:
            embeddings: of the captions.
            clip: clip latents, see `make_clip_latents`; the frames are conditioned on their first values.
            noise: what is denoised.
            scheduler: the sampler.
            steps: of the sampler.
            generators: of each clip.
            guidance: how the caption counts.
            clean: latents to start from, or None.
            on_step: called with the steps done.
        """
        return denoise(
            self._predictor(self.unet, embeddings, guidance, clip[:, : self._codec.conditioning_dim]),
            scheduler,
            steps,
            noise,
            generators,
            clean=clean,
            strength=guidance.strength,
            on_step=on_step,
        )

    @torch.inference_mode()
    def reconstruct(self, audio: Waveform, seed: int = 0) -> Waveform:
        """Encode and decode a waveform at `sample_rate`: what is lost when nothing is generated.

        Args:
            audio: shape (num_samples,).
            seed: of what a decoder makes anew, such as the fine noise of a compact codec.
        """
        coded = self._codec.encode(torch.from_numpy(audio)[None].to(self._codec.device))
        decoded = self._codec.decode(self._codec.latents(coded), len(audio), [seed])
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
        self, network: Any, embeddings: Embeddings, guidance: Guidance, clip: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a network as a function of latents and timestep, for embedded captions and with guidance."""
        null = self._null.to(self.unet.device)
        nothing = with_null(embeddings, null, torch.ones(len(embeddings.states), dtype=torch.bool))
        labels = None if clip is None or not clip.shape[1] else clip.to(self.unet.dtype)

        def predict(latents: Tensor, timestep: Tensor, given: Embeddings) -> Tensor:
            output = network(
                latents.to(network.dtype),
                timestep,
                given.states.to(network.dtype),
                encoder_attention_mask=given.mask,
                class_labels=labels,
            )
            return output.sample.float()

        def guided(latents: Tensor, timestep: Tensor) -> Tensor:
            if guidance.scale == 0:  # rescaling would let the caption in again, by its level
                return predict(latents, timestep, nothing)
            conditional = predict(latents, timestep, embeddings)
            if guidance.scale == 1:
                return conditional
            return guide(conditional, predict(latents, timestep, nothing), guidance.scale, guidance.rescale)

        return guided

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        """Encode captions one by one and pad them to one length, so that no caption depends on those beside it."""
        length = 1 if self._text.pooling == "mean" else self._text.max_tokens
        length = max(length, len(self._null))
        encoded = [self._text.encode([text]) for text in texts]
        states = [torch.nn.functional.pad(one.states, (0, 0, 0, length - one.states.shape[1])) for one in encoded]
        masks = [torch.nn.functional.pad(one.mask, (0, length - one.mask.shape[1])) for one in encoded]
        return Embeddings(torch.cat(states), torch.cat(masks))

    def _encode(self, waveforms: Sequence[Waveform]) -> Tensor:
        """Encode waveforms to normalised latents, shape (batch, channels, height, frames)."""
        stacked = torch.from_numpy(np.stack([np.asarray(waveform, dtype=np.float32) for waveform in waveforms]))
        latents = self._codec.latents(self._codec.encode(stacked.to(self._codec.device)))
        return self.space.to_unet(latents).to(self.unet.device, torch.float32)


def load_pipeline(name: str, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> MimiiGenPipeline:
    """Load a pipeline that was saved with `MimiiGenPipeline.save_pretrained`.

    Args:
        name: a folder, or an id of the Hugging Face hub.
        device: where it is to run.
        dtype: what the U-Net computes in, such as ``torch.bfloat16`` on a GPU; None for float32. All else is float32.

    Raises:
        UserError: If it is not there, is no such pipeline or that of an older version, holds pickled weights, a damaged
            file or missing weights, or its parts do not fit. The message names the folder.
    """
    folder, parts = load_parts(name)
    try:
        with quiet():
            pipeline: MimiiGenPipeline = MimiiGenPipeline.from_pretrained(str(folder), **parts)
    except UserError as error:
        raise UserError(f"{SETTING}: {folder}: {error}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{SETTING}: {folder}: model_index.json is not that of a whole checkpoint ({error})") from error
    pipeline.to(device)
    if dtype is not None:
        with quiet():  # diffusers warns of modules to be kept in float32 also where there are none
            for network in (pipeline.unet, pipeline.clip_network):
                if network is not None:
                    network.to(dtype)
    return pipeline


def _check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler whose noise schedule is left to defaults in part."""
    if not isinstance(scheduler, DDPMScheduler):
        raise UserError(f"scheduler is a {type(scheduler).__name__}, expected the DDPMScheduler of the training")
    defaults = scheduler.config.get("_use_default_values", ())
    try:
        NoiseSchedule.from_config({name: value for name, value in scheduler.config.items() if name not in defaults})
    except UserError as error:
        raise UserError(f"scheduler: {error}") from error


def _rows(batch: int, batch_size: int, total: int) -> tuple[list[int], int]:
    """Return which clips a batch holds and how many of them count; the rest repeat the first to fill the batch up."""
    rows = list(range(batch * batch_size, min((batch + 1) * batch_size, total)))
    return rows + [rows[0]] * (batch_size - len(rows)), len(rows)


def _report(progress: Callable[[int, int], None], before: int, total: int, step: int) -> None:
    progress(before + step, total)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)

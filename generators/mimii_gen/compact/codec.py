"""The compact codec behind the interface of a codec: sound to a few numbers that a caption determines, and back.

A clip is one *clip latent* and a sequence of *frame latents*; of both, what is coded is the mean and the log-variance
that the encoder gives them. What is diffused of a frame is this pair for each of its active values, so that the noise
of the encoder need not be: it is drawn anew when a clip is decoded, as is the fine noise of the sound (`vocoder`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from asdbench import UserError
from asdbench.pretrained.hub import load_pretrained

from ...shared.randomness import stream
from ..latents.weights import weights_id
from .decoding import Decoder
from .details import encode_details
from .lines import LineAnalysis
from .network import FRAME_LOG_VARIANCE, FRAME_TEMPERATURE, CompactNetwork, Posterior
from .spectra import STRIDE, Spectra

__all__ = ["CompactCodec"]

Waveform = npt.NDArray[np.float32]

_LARGEST = 16.0
"""Codes are 16-bit steps between plus and minus this, of 0.0005: far below the deviation of any latent."""
_STEPS = 2**16 - 1


class CompactCodec:
    """A trained compact codec; see `latents.interface.LatentCodec`.

    Attributes:
        model: the network, in float32 and frozen.
        name: folder or hub id, "" where there is none.
        spectra: the spectrogram that is coded.
        dim: values in a latent frame: mean and log-variance of each active frame latent, then the clip latent.
        clip_dim: values of the clip latent, the same in all frames of a clip: those that are coded, then details.
        conditioning_dim: those that are coded; the frame latents depend on these alone.
    """

    bandwidth: float | None = None
    gain = 1.0
    codebook_size = 2**16
    causal = False

    def __init__(self, model: CompactNetwork, name: str = "") -> None:
        """Wrap a network, which is made float32, frozen and set to evaluation in place.

        Raises:
            UserError: the network was never trained.
        """
        self.name = name
        self.model: CompactNetwork = model.float().eval().requires_grad_(False)
        config = model.config
        self.spectra = Spectra(config.sample_rate, config.window, config.bands)
        self._active = torch.nonzero(model.active.cpu() > 0)[:, 0]
        if not len(self._active) or not bool((model.std > 0).all()):
            called = f"codec '{name}'" if name else "codec"
            raise UserError(f"{called}: no frame latent is active or a deviation is zero: the codec was never trained")
        self.conditioning_dim = int(config.clip_dim)
        self.clip_dim = self.conditioning_dim + int(config.detail_dim)
        self.dim = 2 * len(self._active) + self.clip_dim
        self._analysis = LineAnalysis(self.spectra)
        self._decoder = Decoder(self.model, self._analysis)

    @classmethod
    def load(cls, name: str, device: str | torch.device = "cpu") -> CompactCodec:
        """Load a codec by hub id or from a folder.

        Raises:
            UserError: see `load_pretrained` and `__init__`.
        """
        model = load_pretrained(CompactNetwork, name, setting="codec")
        return cls(model.to(device), name)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return torch.device(self.model.device)

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.spectra.sample_rate

    @property
    def num_codebooks(self) -> int:
        """Rows of codes: those of the latents, and the log-variance of the clip latent."""
        return self.dim + self.clip_dim

    @property
    def hop_length(self) -> int:
        """Samples in a latent frame."""
        return STRIDE * self.spectra.hop

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    @cached_property
    def identity(self) -> str:
        """Hash of configuration and weights, those at the first use."""
        config = {key: value for key, value in dict(self.model.config).items() if not key.startswith("_")}
        return weights_id(self.model.state_dict(), json.dumps(config, sort_keys=True).encode())

    def calibrated(self, waveforms: Iterable[Waveform]) -> CompactCodec:
        """Return this codec: its level was learnt in its own training."""
        return self

    def num_frames(self, num_samples: int) -> int:
        """Number of latent frames of a clip."""
        return -(-self.spectra.num_frames(num_samples) // STRIDE)

    def resample(self, waveform: Waveform, sample_rate: int) -> Waveform:
        """Resample a waveform, shape (num_samples,), to the codec's rate with soxr; the level is kept."""
        if sample_rate == self.sample_rate:
            return waveform
        return np.asarray(soxr.resample(waveform, sample_rate, self.sample_rate, quality="HQ"), dtype=np.float32)

    @torch.no_grad()
    def encode(self, waveforms: Tensor) -> Tensor:
        """Encode waveforms.

        The frame latents are those given the mean of what is coded of the clip latent. Where there are details, they
        are the best estimates beside this mean, so that the whole clip latent counts as certain.

        Args:
            waveforms: shape (batch, num_samples), at the codec's rate.

        Returns:
            int64 codes of shape (batch, num_codebooks, num_frames).
        """
        if waveforms.ndim != 2 or waveforms.shape[1] == 0:
            raise ValueError(f"expected waveforms of shape (batch, num_samples), found {tuple(waveforms.shape)}")
        sounds = [np.asarray(row, dtype=np.float32) for row in waveforms.cpu().numpy()]
        analysed = [self._analysis.analyse(sound) for sound in sounds]
        decibels = np.stack([frames.T for frames, _ in analysed])
        lines = np.stack([found.array() for _, found in analysed])
        frames = self.model.normalized(torch.from_numpy(decibels).to(self.device))
        clip = self.model.encode_clip(self.model.features(frames, torch.from_numpy(lines).to(self.device)))
        frame = self.model.encode_frames(frames, clip.mean)
        if self.clip_dim > self.conditioning_dim:
            power = self.model.decode(frame.mean, clip.mean)
            details = encode_details(self.model, torch.from_numpy(decibels).to(self.device), power)
            mean = torch.cat([clip.mean, details], dim=1)
            clip = Posterior(mean, torch.full_like(mean, -_LARGEST))
        still = torch.cat([clip.mean, clip.log_variance], dim=1)[:, :, None].expand(-1, -1, frame.mean.shape[2])
        rows = [frame.mean[:, self._active], frame.log_variance[:, self._active], still]
        return _quantized(torch.cat(rows, dim=1))

    @torch.no_grad()
    def latents(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """De-quantise codes.

        Args:
            codes: integers, shape (batch, num_codebooks, num_frames).
            noise: standard normal, shape (batch, clip_dim), with which clip latents are drawn from what the encoder
                gave; None for their means.

        Returns:
            float32 latents of shape (batch, dim, num_frames).
        """
        if codes.ndim != 3 or codes.shape[1] != self.num_codebooks:
            raise ValueError(f"expected codes of shape (batch, {self.num_codebooks}, T), found {tuple(codes.shape)}")
        values = _restored(codes.to(self.device))
        latents, log_variance = values[:, : self.dim], values[:, self.dim :]
        if noise is not None:
            clip = Posterior(latents[:, -self.clip_dim :], log_variance)
            latents = torch.cat([latents[:, : -self.clip_dim], clip.sample(noise.to(values)[:, :, None])], dim=1)
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor, num_samples: int | None = None, seeds: Sequence[int] | None = None) -> Tensor:
        """Decode latents to waveforms.

        Args:
            latents: shape (batch, dim, num_frames); of the clip latent the mean over the frames counts.
            num_samples: length of the waveforms; None takes all whole frames.
            seeds: of the noise of each clip; None for 0, 1, ...

        Returns:
            float32 waveforms of shape (batch, num_samples), at the codec's rate.
        """
        if latents.ndim != 3 or latents.shape[1] != self.dim:
            raise ValueError(f"expected latents of shape (batch, {self.dim}, T), found {tuple(latents.shape)}")
        whole = (STRIDE * latents.shape[2] - 1) * self.spectra.hop
        available = whole + self.spectra.hop - 1
        num_samples = max(1, whole) if num_samples is None else num_samples
        if not 0 < num_samples <= available:
            raise ValueError(f"{latents.shape[2]} frames hold {available} samples, {num_samples} were asked for")
        own_seeds = range(len(latents)) if seeds is None else seeds
        rows = zip(latents.to(self.device, torch.float32), own_seeds, strict=True)
        made = [self._decode(row, num_samples, stream("compact codec", int(seed))) for row, seed in rows]
        return torch.from_numpy(np.stack(made))

    def _decode(self, latents: Tensor, num_samples: int, random: np.random.Generator) -> Waveform:
        frames, clip = latents[: -self.clip_dim], latents[-self.clip_dim :].mean(dim=1)[None]
        mean, log_variance = frames.chunk(2)
        noise = random.standard_normal((self.model.config.frame_dim, frames.shape[1]), dtype=np.float32)
        drawn = torch.from_numpy(noise).to(self.device)
        frame = Posterior(mean, log_variance.clamp(*FRAME_LOG_VARIANCE))
        drawn[self._active] = frame.sample(FRAME_TEMPERATURE * drawn[self._active])
        power = self._decoder.power(drawn[None], clip)
        return self._decoder.sound(power, clip, num_samples, random)


def _quantized(values: Tensor) -> Tensor:
    """Values to 16-bit codes, int64."""
    scaled = (values.float().clamp(-_LARGEST, _LARGEST) / _LARGEST + 1) / 2
    return (scaled * _STEPS).round().long()


def _restored(codes: Tensor) -> Tensor:
    """Undo `_quantized`, float32."""
    return (codes.float() / _STEPS * 2 - 1) * _LARGEST

"""The network of the compact codec: log-mel frames to a clip latent and frame latents, and these to a power density.

A hierarchical variational autoencoder. The *clip latent* holds what is the same over a whole clip (spectrum, level,
noisiness, tones), the *frame latents* what changes (events). Given both, the power of every cell of the spectrogram is
gamma distributed with a mean and a shape: the fine noise is not coded, the decoder makes it anew. The first values of
the clip latent are coded by the network, the others are details that are measured after the training (`details`).

Sources: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014; A. Vahdat and J. Kautz, "NVAE: A
deep hierarchical variational autoencoder", NeurIPS 2020 (several levels of latents); C. Fevotte, N. Bertin and J.-L.
Durrieu, Neural Computation 21, 2009 (the gamma model of power spectrograms, there of shape 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from .spectra import STRIDE

__all__ = ["FRAME_LOG_VARIANCE", "LOG_10", "CompactNetwork", "Posterior", "Power", "excess", "gamma_nll"]

LOG_10 = math.log(10) / 10
"""Nepers of power in a decibel."""
_GROUPS = 8
_CLIP_LOG_VARIANCE = (-9.0, 3.0)
FRAME_LOG_VARIANCE = (-8.0, 3.0)
FRAME_TEMPERATURE = 0.5
"""Of draws of frame latents that are decoded: the part of a draw that the encoder left open is slow noise, which real
clips have once, in their fine noise."""
_CLIP_CALIBRATION = (-0.1, 0.1)
"""Limits of what a clip latent may add to the log variance: calibration tells percents, and is no model."""
_LOG_SHAPE = (-3.0, 6.0)
"""Log of the gamma's shape, relative to that of white noise."""


class Posterior(NamedTuple):
    """A normal distribution with independent values.

    Attributes:
        mean: shape (batch, ...).
        log_variance: of the same shape.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return the value for standard normal noise of the same shape."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence of each value from the standard normal distribution, in nats."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)


class Power(NamedTuple):
    """Gamma distribution of the power of each cell.

    Attributes:
        decibels: mean power in dB, shape (batch, bands, frames).
        log_shape: log of the gamma's shape, likewise; high where a cell varies little.
    """

    decibels: Tensor
    log_shape: Tensor


class _Residual(nn.Module):
    """Residual block over time."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.second(F.silu(self.first(F.silu(self.norm(hidden)))))


class CompactNetwork(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """Encoder and decoder.

    Attributes:
        bands: mel bands of the spectrogram.
        mean, std: of the log-mel frames of all training clips in dB, shape (bands, 1).
        noise_log_shape: log of the gamma's shape that white noise has in each band, shape (bands, 1).
        feature_mean, feature_std: of `features`, shape (4 * bands,).
        calibration: factor of the deviation of the log power in each band, measured after the training, shape (bands,).
        clip_calibration: by how much the log variance of a clip is more, for each value of the clip latent, and a
            constant; measured after the training, shape (clip_dim + 1,).
        chance: factor of what the fine noise does by chance to the mean of a band over the clip; measured after the
            training (`chance`), shape ().
        wander: relative deviation of the frequencies of lines over time, measured on the training clips, shape ().
        detail_mean: what decoded clips lack of the static level without details, in dB, shape (bands,).
        detail_basis: what each detail adds to the static level, in dB, shape (detail_dim, bands); see `details`.
        active: 1 for frame latents that say anything, else 0, shape (frame_dim,).
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_rate: int = 16000,
        window: int = 1024,
        bands: int = 128,
        clip_dim: int = 64,
        frame_dim: int = 16,
        width: int = 160,
        detail_dim: int = 0,
    ) -> None:
        """Build an untrained network.

        Args:
            sample_rate: of the sound, in Hz.
            window: samples of a frame of the spectrogram; the hop is a quarter of it.
            bands: mel bands of the spectrogram.
            clip_dim: values of the clip latent that are coded.
            frame_dim: values of a frame latent.
            width: channels of the convolutions.
            detail_dim: further values of the clip latent, for details of the static level.
        """
        super().__init__()
        self.bands = bands
        pair = STRIDE // 2  # frames that the convolutions at the full rate take as one
        self.enter = nn.Conv1d(pair * bands, width, 5, padding=2)
        self.enter_clip = nn.Linear(clip_dim, width)
        self.encode_fine = nn.Sequential(_Residual(width), _Residual(width))
        self.shrink = nn.Conv1d(width, width, 4, stride=2, padding=1)
        self.encode_coarse = nn.Sequential(_Residual(width), _Residual(width), _Residual(width, dilation=2))
        self.to_frames = nn.Conv1d(width, 2 * frame_dim, 1)

        self.from_frames = nn.Conv1d(frame_dim, width, 3, padding=1)
        self.coarse_clip = nn.Linear(clip_dim, width)
        self.decode_coarse = nn.Sequential(_Residual(width), _Residual(width), _Residual(width, dilation=2))
        self.grow = nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)
        self.fine_clip = nn.Linear(clip_dim, width)
        self.decode_fine = nn.Sequential(_Residual(width), _Residual(width))
        self.leave = nn.Conv1d(width, 2 * pair * bands, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

        features = 4 * bands
        self.clip_linear = nn.Linear(features, clip_dim)
        self.clip_deep = nn.Sequential(nn.Linear(features, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU())
        self.to_clip = nn.Linear(256, 2 * clip_dim)
        self.static_linear = nn.Linear(clip_dim, features)
        self.static_deep = nn.Sequential(nn.Linear(clip_dim, 128), nn.SiLU(), nn.Linear(128, features))
        for parameter in self.static_deep[2].parameters():
            nn.init.zeros_(parameter)

        for name in ("mean", "std", "noise_log_shape"):
            self.register_buffer(name, torch.zeros(bands, 1))
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        self.register_buffer("calibration", torch.ones(bands))
        self.register_buffer("clip_calibration", torch.zeros(clip_dim + 1))
        self.register_buffer("chance", torch.ones(()))
        self.register_buffer("wander", torch.zeros(()))
        self.register_buffer("active", torch.ones(frame_dim))
        self.register_buffer("detail_mean", torch.zeros(bands))
        self.register_buffer("detail_basis", torch.zeros(detail_dim, bands))

    def normalized(self, decibels: Tensor) -> Tensor:
        """Log-mel frames in units of their deviation over all training clips, shape (batch, bands, frames)."""
        return (decibels - self.mean) / self.std

    def features(self, frames: Tensor, lines: Tensor) -> Tensor:
        """What the clip latent is made from, shape (batch, 4 * bands).

        Args:
            frames: of a whole clip, as `normalized` returns them, shape (batch, bands, frames).
            lines: share and place of the line of each band, shape (batch, 2, bands).
        """
        share, place = lines.unbind(1)
        # A single frame does not vary; with the usual correction its deviation would not be a number.
        still = frames.std(dim=2, correction=min(1, frames.shape[2] - 1)).clamp(min=1e-3).log()
        return torch.cat([frames.mean(dim=2), still, share, share * place], dim=1)

    def encode_clip(self, features: Tensor) -> Posterior:
        """Return the distribution of the clip latent, each part of shape (batch, clip_dim)."""
        scaled = (features - self.feature_mean) / self.feature_std
        mean, log_variance = self.to_clip(self.clip_deep(scaled)).chunk(2, dim=1)
        return Posterior(mean + self.clip_linear(scaled), log_variance.clamp(*_CLIP_LOG_VARIANCE))

    def encode_frames(self, frames: Tensor, clip: Tensor) -> Posterior:
        """Return the distribution of the frame latents, each part of shape (batch, frame_dim, ceil(frames / 4))."""
        frames = F.pad(frames, (0, -frames.shape[-1] % STRIDE), mode="replicate")
        hidden = self.enter(_paired(frames)) + self.enter_clip(clip)[:, :, None]
        hidden = self.encode_coarse(self.shrink(self.encode_fine(hidden)))
        mean, log_variance = self.to_frames(hidden).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*FRAME_LOG_VARIANCE))

    def static(self, clip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the clip latent alone says: the static part of mean and shape, (batch, 2 * bands), share and place."""
        found = self.static_linear(clip) + self.static_deep(clip)
        bands = self.bands
        return found[:, : 2 * bands], found[:, 2 * bands : 3 * bands], found[:, 3 * bands :]

    def deviations(self, clip: Tensor) -> Tensor:
        """Factor of the deviation of the log power in each band, by calibration.

        Args:
            clip: shape (batch, clip_dim).

        Returns:
            Shape (batch, bands).
        """
        more = clip @ self.clip_calibration[:-1] + self.clip_calibration[-1]
        return self.calibration * (more.clamp(*_CLIP_CALIBRATION) / 2).exp()[:, None]

    def decode(self, latents: Tensor, clip: Tensor, details: Tensor | None = None) -> Power:
        """Return the distribution of the power.

        Args:
            latents: shape (batch, frame_dim, T).
            clip: shape (batch, clip_dim).
            details: shape (batch, detail_dim); None for a power without details.

        Returns:
            Parts of shape (batch, bands, 4 T).
        """
        hidden = self.decode_coarse(self.from_frames(latents) + self.coarse_clip(clip)[:, :, None])
        hidden = self.decode_fine(self.grow(hidden) + self.fine_clip(clip)[:, :, None])
        found = _unpaired(self.leave(hidden), 2 * self.bands) + self.static(clip)[0][:, :, None]
        level, log_shape = found.chunk(2, dim=1)
        decibels = level * self.std + self.mean
        if details is not None:
            decibels = decibels + (details @ self.detail_basis + self.detail_mean)[:, :, None]
        return Power(decibels, self.noise_log_shape + log_shape.clamp(*_LOG_SHAPE))


def _paired(frames: Tensor) -> Tensor:
    """Two frames side by side as channels: (batch, bands, T) to (batch, 2 * bands, T / 2)."""
    batch, bands, count = frames.shape
    return frames.reshape(batch, bands, count // 2, 2).transpose(2, 3).reshape(batch, 2 * bands, count // 2)


def _unpaired(frames: Tensor, rows: int) -> Tensor:
    """Undo `_paired`: (batch, 2 * rows, T / 2) to (batch, rows, T)."""
    batch, _, count = frames.shape
    return frames.reshape(batch, rows, 2, count).transpose(2, 3).reshape(batch, rows, 2 * count)


def gamma_nll(decibels: Tensor, power: Power) -> Tensor:
    """Negative log-likelihood of the log power of each cell, in nats, of the shape of the cells.

    With r the log power less the log mean, it is nu exp(r) - nu r - nu ln nu + ln Gamma(nu).

    Args:
        decibels: log-mel frames, shape (batch, bands, frames).
        power: their distribution.
    """
    away = (decibels - power.decibels) * LOG_10
    shape = power.log_shape.exp()
    return shape * away.exp() - shape * away - shape * power.log_shape + torch.lgamma(shape)


def excess(decibels: Tensor, power: Power) -> Tensor:
    """By how much the log power of each cell is above what its distribution has on average, in dB.

    The mean of the log of a gamma variable with mean P and shape nu is ln P + digamma(nu) - ln nu.

    Args:
        decibels: log-mel frames, shape (batch, bands, frames).
        power: their distribution, of as many frames or more.
    """
    count = decibels.shape[2]
    log_shape = power.log_shape[:, :, :count]
    return decibels - power.decibels[:, :, :count] - (torch.digamma(log_shape.exp()) - log_shape) / LOG_10

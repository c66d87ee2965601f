"""Losses of the reconstruction, and those of codec and discriminator against each other.

Source: Defossez et al., arXiv:2210.13438, section 3.4. Mel spectrograms are compared in decibel-like units (natural
logarithm of the power), because detectors take these as features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["MelLoss", "discriminator_loss", "feature_loss", "generator_loss", "mel_filters", "waveform_loss"]

_WINDOWS = tuple(2**exponent for exponent in range(5, 12))
_BANDS = 64
_FLOOR = 1e-7
"""Power below which mel bands count as silent; signals have unit power here, as the gain makes them."""


def waveform_loss(real: Tensor, made: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (real - made).abs().mean()


def mel_filters(sample_rate: int, window: int, bands: int) -> Tensor:
    """Triangular filters even in mel (2595 log10(1 + f / 700)), shape (bands, window // 2 + 1), each of unit sum.

    Filters that lie between two bins of a short window are left out, so there may be fewer.
    """
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.linspace(0, sample_rate / 2, window // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.clip(np.minimum(rising, falling), 0, None)
    sums = filters.sum(axis=1)
    return torch.from_numpy((filters[sums > 0] / sums[sums > 0, None]).astype(np.float32))


class MelLoss(nn.Module):
    """Mean over seven resolutions of the L1 and L2 distances of log-mel spectrograms.

    Windows of 2^5 to 2^11 samples with a hop of a quarter; the two distances weigh the same (alpha = 1 in the paper).
    The L2 distance is a root mean square, so that both are per value. Windows that the segment does not hold are left
    out.
    """

    def __init__(self, sample_rate: int, num_samples: int) -> None:
        super().__init__()
        self.windows = [window for window in _WINDOWS if window <= num_samples]
        for window in self.windows:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters_{window}", mel_filters(sample_rate, window, _BANDS), persistent=False)

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        """Compare waveforms of shape (batch, num_samples)."""
        losses = []
        for window in self.windows:
            wanted = self._logmel(real, window)
            difference = wanted - self._logmel(made, window)
            # The square root has no gradient at 0, where both are equal.
            losses.append(difference.abs().mean() + (difference.square().mean() + 1e-12).sqrt() - 1e-6)
        return torch.stack(losses).mean()

    def _logmel(self, waveforms: Tensor, window: int) -> Tensor:
        shape = self.get_buffer(f"window_{window}")
        spectrum = torch.stft(waveforms, window, window // 4, window=shape, return_complex=True, pad_mode="constant")
        power = torch.view_as_real(spectrum).square().sum(-1) / shape.square().sum()
        return (self.get_buffer(f"filters_{window}") @ power + _FLOOR).log()


def discriminator_loss(of_real: Sequence[Tensor], of_made: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the discriminator, mean over its scales: max(0, 1 - D(x)) + max(0, 1 + D(x'))."""
    pairs = zip(of_real, of_made, strict=True)
    return torch.stack([(1 - real).relu().mean() + (1 + made).relu().mean() for real, made in pairs]).mean()


def generator_loss(of_made: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the codec, mean over the scales: max(0, 1 - D(x'))."""
    return torch.stack([(1 - made).relu().mean() for made in of_made]).mean()


def feature_loss(of_real: Sequence[Sequence[Tensor]], of_made: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 distance of the discriminator's features, relative to the mean size of the real ones; mean over all layers."""
    losses = []
    for real_scale, made_scale in zip(of_real, of_made, strict=True):
        for real, made in zip(real_scale, made_scale, strict=True):
            losses.append((real - made).abs().mean() / real.abs().mean().clamp(min=1e-8))
    return torch.stack(losses).mean()

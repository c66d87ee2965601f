"""The embedding network: a residual CNN on the spectrogram beside a 1-D CNN on the spectrum.

No layer has a bias and no normalisation an affine map, so that no input-independent solution exists (K. Wilkinghoff,
"Design choices for learning embeddings from auxiliary tasks for domain generalization in anomalous sound detection",
ICASSP 2023, after L. Ruff et al., "Deep one-class classification", ICML 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shared.networks import seeded

DIMENSIONS = 128
"""Of the embedding of each branch."""

_BANDS = 4
"""Parts of the frequency axis that are pooled over time apart."""


class Embedder(nn.Module):
    """Both branches, their embeddings one after the other."""

    def __init__(self, width: int, bins: int, subtract_mean: bool) -> None:
        """Build the network.

        Args:
            width: channels of the first layer of the spectrogram's branch; all others grow with it.
            bins: size of the spectra, 376 or more.
            subtract_mean: take the temporal mean out of each band of the spectrograms.
        """
        super().__init__()
        self.subtract_mean = subtract_mean
        self.spectrogram = _SpectrogramBranch(width)
        self.spectrum = _SpectrumBranch(2 * width, bins)

    def forward(self, spectrograms: Tensor, spectra: Tensor) -> Tensor:
        """Return embeddings, shape (batch, 2 * DIMENSIONS).

        Args:
            spectrograms: shape (batch, frames, bands).
            spectra: shape (batch, bins).
        """
        if self.subtract_mean:
            spectrograms = spectrograms - spectrograms.mean(dim=1, keepdim=True)
        return torch.cat([self.spectrogram(spectrograms), self.spectrum(spectra)], dim=1)


def build_network(width: int, bins: int, subtract_mean: bool, seed: int) -> Embedder:
    """Build an `Embedder` whose weights depend on the seed only; torch's global random state is left as it was."""
    with seeded(seed):
        return Embedder(width, bins, subtract_mean)


class _SpectrogramBranch(nn.Module):
    """Four pre-activated residual blocks, then mean and maximum over time in each part of the spectrum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.start = nn.Sequential(
            nn.BatchNorm2d(1, affine=False),
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.blocks = nn.Sequential(
            _Block(width, width, 1),
            _Block(width, 2 * width, 2),
            _Block(2 * width, 4 * width, 2),
            _Block(4 * width, 4 * width, 2),
        )
        pooled = 2 * 4 * width * _BANDS
        self.end = nn.Sequential(nn.BatchNorm1d(pooled, affine=False), nn.Linear(pooled, DIMENSIONS, bias=False))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # half the time on a CPU

    def forward(self, spectrograms: Tensor) -> Tensor:
        hidden = self.blocks(self.start(spectrograms[:, None].contiguous(memory_format=torch.channels_last)))
        hidden = F.adaptive_avg_pool2d(hidden, (hidden.shape[2], _BANDS))
        pooled = torch.cat([hidden.mean(dim=2), hidden.amax(dim=2)], dim=1)
        return self.end(pooled.flatten(1))


class _Block(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), with a pooled and projected x where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(before, affine=False),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after, affine=False),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            # Rounded up, as the strided convolution rounds: a short clip may have one frame.
            self.shortcut = nn.Sequential(nn.MaxPool2d(stride, ceil_mode=True), nn.Conv2d(before, after, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.body(x) + self.shortcut(x)
        return hidden


class _SpectrumBranch(nn.Module):
    """Three strided convolutions, then three dense layers."""

    def __init__(self, width: int, bins: int) -> None:
        super().__init__()
        left = bins
        for size, stride in ((32, 8), (16, 4), (8, 2)):
            left = (left - size) // stride + 1
        self.convolutions = nn.Sequential(
            nn.BatchNorm1d(1, affine=False),
            nn.Conv1d(1, width, 32, stride=8, bias=False),
            nn.ReLU(),
            nn.Conv1d(width, width, 16, stride=4, bias=False),
            nn.ReLU(),
            nn.Conv1d(width, width, 8, stride=2, bias=False),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.dense = nn.Sequential(
            nn.Linear(width * left, DIMENSIONS, bias=False),
            nn.BatchNorm1d(DIMENSIONS, affine=False),
            nn.ReLU(),
            nn.Linear(DIMENSIONS, DIMENSIONS, bias=False),
            nn.BatchNorm1d(DIMENSIONS, affine=False),
            nn.ReLU(),
            nn.Linear(DIMENSIONS, DIMENSIONS, bias=False),
        )

    def forward(self, spectra: Tensor) -> Tensor:
        embeddings: Tensor = self.dense(self.convolutions(spectra[:, None]))
        return embeddings

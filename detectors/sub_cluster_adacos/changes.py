"""Synthetic classes: copies of clips that are changed in known ways, to be told from the clips as they are.

Labels say too little about a machine for a network to learn what its sound is made of; a clip with a little more or
less sound in one band, or at shifted frequencies, can only be told from what it was by hearing such things. Changed
pitch as a class: T. Inoue et al., "Detection of anomalous sounds for machine condition monitoring using classification
confidence", DCASE Workshop 2020. The changes are made in the log-magnitude inputs, where a gain is a sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Frequencies = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One change of both inputs.

    Attributes:
        warp: what is heard at a frequency f is taken from warp * f.
        centre: of the band that is changed, relative to half the sample rate; 0 for all frequencies.
        gain: added to the log-magnitudes in the band, in nepers.
        swing: by how much the deviations of the log-magnitude spectrogram from its temporal mean grow in the band, as a
            share.
        octaves: standard deviation of the Gaussian band, in octaves.
    """

    warp: float = 1.0
    centre: float = 0.0
    gain: float = 0.0
    swing: float = 0.0
    octaves: float = 0.4


CHANGES = (
    Change(),
    Change(warp=0.94),
    Change(warp=1.06),
    *(Change(centre=0.01 * 2**octave, gain=0.4, swing=0.3) for octave in range(7)),
    *(Change(centre=0.015 * 2**octave, gain=-0.4, swing=-0.3) for octave in range(7)),
)
"""The classes; the first leaves a clip as it is."""


class Changes:
    """Applies `CHANGES` to batches, one change a clip."""

    def __init__(self, bands: Frequencies, bins: Frequencies, device: torch.device) -> None:
        """Work out the changes.

        Args:
            bands: centre of each band of the spectrograms, relative to half the sample rate.
            bins: the same for the spectra.
            device: where the batches are.
        """
        self._bands, self._bins = _Axis(bands, device), _Axis(bins, device)

    def __call__(self, spectrograms: Tensor, spectra: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Change a batch.

        Args:
            spectrograms: shape (batch, frames, bands).
            spectra: shape (batch, bins).
            classes: index into `CHANGES` for each clip, shape (batch,).
        """
        spectrograms = self._bands.warp(spectrograms, classes)
        swing = self._bands.swings[classes][:, None] * (spectrograms - spectrograms.mean(dim=1, keepdim=True))
        spectrograms = spectrograms + swing + self._bands.gains[classes][:, None]
        spectra = self._bins.warp(spectra[:, None], classes)[:, 0]
        return spectrograms, spectra + self._bins.gains[classes]


class _Axis:
    """What the changes do along one axis of frequencies: arrays of shape (changes, frequencies)."""

    def __init__(self, frequencies: Frequencies, device: torch.device) -> None:
        bands = np.stack([_band(frequencies, change) for change in CHANGES])
        self.gains = _tensor(bands * [[change.gain] for change in CHANGES], device)
        self.swings = _tensor(bands * [[change.swing] for change in CHANGES], device)
        places = np.arange(len(frequencies))
        sources = np.stack([np.interp(change.warp * frequencies, frequencies, places) for change in CHANGES])
        self._lower = torch.from_numpy(np.floor(sources).astype(np.int64)).to(device)
        self._share = _tensor(sources % 1, device)

    def warp(self, values: Tensor, classes: Tensor) -> Tensor:
        """Interpolate linearly along the last axis of values of shape (batch, rows, size)."""
        lower = self._lower[classes][:, None].expand_as(values)
        share = self._share[classes][:, None]
        return (
            values.gather(2, lower) * (1 - share) + values.gather(2, (lower + 1).clamp(max=values.shape[2] - 1)) * share
        )


def _band(frequencies: Frequencies, change: Change) -> npt.NDArray[np.float64]:
    if not change.centre:
        return np.ones_like(frequencies)
    band: npt.NDArray[np.float64] = np.exp(-0.5 * (np.log2(frequencies / change.centre) / change.octaves) ** 2)
    return band


def _tensor(values: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)

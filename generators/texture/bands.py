"""Bands of a clip: their levels, what is left at unit level, how far they move, and groups of bands by pitch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["group_edges", "motion_of", "unit_bands"]

Array = npt.NDArray[np.float64]

_COARSE = 16
"""Groups of equal width in which motion is measured."""
_DEAD = 0.4
"""Nepers (3.5 dB) by which a sound must differ from its mean level to be away from it: two to three deviations of the
level of white noise over three frames of 32 bands."""
_QUIET = 1e-8
"""Least RMS: digital silence has a level too."""


def unit_bands(coefficients: Array) -> tuple[Array, Array]:
    """Return bands of unit RMS, shape (bands, T), and their levels in nepers, shape (bands,)."""
    levels = 0.5 * np.log(np.square(coefficients).mean(axis=1) + _QUIET**2)
    return coefficients / np.exp(levels)[:, None], levels


def motion_of(unit: Array) -> float:
    """Share of time and bands in which a clip of unit bands, shape (bands, T), is away from its mean level.

    The number of bands is a multiple of 16.
    """
    power = np.square(unit).reshape(_COARSE, -1, unit.shape[1]).mean(axis=1)
    padded = np.pad(power, ((0, 0), (1, 1)), mode="edge")
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    return float(np.mean(np.abs(0.5 * np.log(smooth + 1e-6)) > _DEAD))


def group_edges(bands: int, sample_rate: int, mel_width: float, least: int = 2) -> npt.NDArray[np.int64]:
    """First band of each group, and behind the last one.

    Args:
        bands: how many there are, from 0 Hz to half the sample rate.
        sample_rate: in Hz.
        mel_width: width of a group in mel on Slaney's scale, 66.7 Hz each below 1 kHz.
        least: bands of a group at least.
    """
    hz = np.arange(bands + 1) * (sample_rate / 2) / bands
    mel = np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))
    edges = [0]
    while edges[-1] < bands:
        width = int(np.searchsorted(mel, mel[edges[-1]] + mel_width)) - edges[-1]
        edges.append(min(bands, edges[-1] + max(least, width)))
    return np.array(edges, dtype=np.int64)

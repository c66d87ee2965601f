"""Tones that are locked to a rotating shaft, read from one-revolution tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import scipy.fft

from asdbench.audio import Waveform
from asdbench.datasets.simulated.grid import Grid
from asdbench.datasets.simulated.noise import fluctuation

TABLE_SIZE = 16384
"""Samples of one revolution; reading the nearest one puts the error of order k at -20 log10(9000 / k) dB."""

Revolutions = npt.NDArray[np.float64]
"""Angle of a shaft in revolutions at every sample, shape (num_samples,), never falling."""


def rotation(rng: np.random.Generator, grid: Grid, hz: float, wander: float = 0.001) -> Revolutions:
    """Return the angle of a shaft that turns at ``hz`` with a slow relative speed variation of deviation ``wander``."""
    speed = np.cumsum(fluctuation(rng, grid, wander, rate_hz=0.5), dtype=np.float64)
    speed *= hz / grid.sample_rate
    speed += grid.times * hz
    speed += rng.random()
    return speed


def order_table(
    rng: np.random.Generator | None, amplitudes: Mapping[int, float], highest: float
) -> npt.NDArray[np.float32]:
    """Return one revolution of a sum of cosines, shape (TABLE_SIZE,).

    Args:
        rng: where the phases come from; None puts every peak at angle 0, which makes a pulse of many orders.
        amplitudes: peak amplitude of each order (multiple of the shaft frequency).
        highest: orders at or above it are left out: the Nyquist frequency in revolutions.
    """
    coefficients = np.zeros(TABLE_SIZE // 2 + 1, dtype=np.complex128)
    # Phases are drawn for all orders: a change of one must not shift the phase of another.
    phases = np.zeros(len(amplitudes)) if rng is None else rng.random(len(amplitudes))
    for (order, amplitude), phase in zip(amplitudes.items(), phases, strict=True):
        if 0 < order < min(highest, TABLE_SIZE // 2):
            coefficients[order] += amplitude * np.exp(2j * np.pi * phase)
    table: npt.NDArray[np.float32] = scipy.fft.irfft(coefficients * (TABLE_SIZE / 2)).astype(np.float32)
    return table


def play(table: npt.NDArray[np.float32], revolutions: Revolutions) -> Waveform:
    """Read a one-revolution table at the given angles."""
    index = (revolutions * TABLE_SIZE).astype(np.int32)
    index &= TABLE_SIZE - 1
    return table.take(index)

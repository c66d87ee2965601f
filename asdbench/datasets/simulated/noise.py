"""Coloured noise, smooth random gains and slow fluctuations: the random building blocks of every sound."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from asdbench.audio import Waveform
from asdbench.datasets.simulated.grid import Grid, Spectrum

Float = TypeVar("Float", np.float32, np.float64)

Curve = tuple[tuple[float, float], ...]
"""A level in dB over frequency: (Hz, dB) knots in rising order, linear over log frequency, constant beyond the ends."""


@lru_cache(maxsize=256)
def gain(curve: Curve, grid: Grid) -> npt.NDArray[np.float32]:
    """Return a curve in dB as amplitude factors on the grid's frequencies; read-only."""
    knots = np.array(curve)
    log_frequencies = np.log(np.maximum(grid.frequencies, 1.0))
    levels = np.interp(log_frequencies, np.log(knots[:, 0]), knots[:, 1])
    factors: npt.NDArray[np.float32] = (10 ** (levels / 20)).astype(np.float32)
    factors.setflags(write=False)
    return factors


@lru_cache(maxsize=256)
def unit_shape(curve: Curve, grid: Grid) -> npt.NDArray[np.float32]:
    """Return the amplitude factors of `noise_spectrum` for noise of unit power whose spectral density is ``curve``."""
    shape = gain(curve, grid).copy()
    shape[0] = 0.0  # a microphone does not pass constant pressure
    shape /= np.sqrt(np.mean(shape.astype(np.float64) ** 2))
    shape.setflags(write=False)
    return shape


def noise_spectrum(rng: np.random.Generator, shape: npt.NDArray[np.float32], grid: Grid) -> Spectrum:
    """Return the spectrum of Gaussian noise, white noise of unit power times ``shape``.

    A real Gaussian process has independent complex Gaussian Fourier coefficients, so that drawing them costs one
    inverse transform where filtering would cost two.
    """
    parts = rng.standard_normal(2 * shape.size, dtype=np.float32)
    spectrum: Spectrum = parts.view(np.complex64)
    spectrum *= shape * np.float32(np.sqrt(grid.n_fft / 2))
    spectrum[0] = spectrum[0].real
    spectrum[-1] = spectrum[-1].real * np.float32(np.sqrt(2))
    return spectrum


def ripple(rng: np.random.Generator, grid: Grid, spread_db: float, bands: int = 16) -> npt.NDArray[np.float32]:
    """Return a smooth random gain over log frequency: one placement of machine and microphone differs from the next.

    Args:
        spread_db: standard deviation at each of the ``bands`` knots between 40 Hz and the Nyquist frequency.
    """
    knots = np.geomspace(40.0, grid.nyquist, bands)
    levels = rng.normal(0.0, spread_db, bands)
    coarse = grid.frequencies[::128]  # 13 Hz steps at 10 s, far finer than the knots
    factors = 10 ** (np.interp(np.log(np.maximum(coarse, 1.0)), np.log(knots), levels) / 20)
    return stretch(np.append(factors, factors[-1]).astype(np.float32), 128, grid.frequencies.size)


def fluctuation(rng: np.random.Generator, grid: Grid, spread: float, rate_hz: float) -> Waveform:
    """Return a slow Gaussian process of standard deviation ``spread`` whose bandwidth is about ``rate_hz``."""
    step = max(1, min(int(grid.sample_rate / (8 * rate_hz)), grid.num_samples // 4))
    count = grid.num_samples // step + 2
    memory = 16  # knots; averaging white noise over them gives the bandwidth and a continuous slope
    white = rng.standard_normal(count + memory)
    window = np.hanning(memory + 2)[1:-1]
    smooth = np.convolve(white, window / np.sqrt(np.sum(window**2)), mode="valid")[:count]
    return stretch((spread * smooth).astype(np.float32), step, grid.num_samples)


def stretch(values: npt.NDArray[Float], step: int, size: int) -> npt.NDArray[Float]:
    """Interpolate linearly between values that lie ``step`` samples apart, and keep the first ``size`` samples."""
    weights = (np.arange(step) / step).astype(values.dtype)
    lines = values[:-1, None] + np.diff(values)[:, None] * weights
    if lines.size < size:
        raise ValueError(f"{values.size} values {step} apart do not cover {size} samples")
    return np.ascontiguousarray(lines.reshape(-1)[:size])

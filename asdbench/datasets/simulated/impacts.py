"""Impacts and the structural resonances that they ring."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from asdbench.audio import Waveform
from asdbench.datasets.simulated.grid import Grid, Spectrum

Times = npt.NDArray[np.float64]
"""Times of events in seconds, shape (events,)."""

Modes = tuple[tuple[float, float, float], ...]
"""Resonances of a structure: (frequency in Hz, damping ratio, gain) each."""


def repeated(rng: np.random.Generator, grid: Grid, rate_hz: float, slip: float) -> Times:
    """Return the times of impacts whose spacings vary independently by the relative deviation ``slip``.

    Rolling elements slip, so that the error of their position grows with time: the impacts are not periodic but
    cyclostationary. Source: J. Antoni and R. B. Randall, "A stochastic model for simulation and diagnostics of rolling
    element bearings with localized faults", J. Vib. Acoust. 125, 2003.
    """
    count = int(grid.seconds * rate_hz * 1.1) + 8
    spacings = np.maximum(rng.normal(1.0, slip, count), 0.05) / rate_hz
    times = np.cumsum(spacings) - rng.random() / rate_hz
    return times[(times >= 0) & (times < grid.seconds)]


def scattered(rng: np.random.Generator, grid: Grid, rate_hz: float) -> Times:
    """Return the times of independent events, Poisson with ``rate_hz`` events a second on average."""
    return np.sort(rng.random(rng.poisson(rate_hz * grid.seconds))) * grid.seconds


def impulses(times: Times, strengths: npt.NDArray[np.floating] | float, grid: Grid) -> Waveform:
    """Return a train of unit-area impulses; one between two samples is shared by both."""
    position = np.asarray(times) * grid.sample_rate
    index = np.floor(position).astype(np.int64)
    inside = (index >= 0) & (index < grid.num_samples - 1)
    index, part = index[inside], (position - index)[inside]
    strength = np.broadcast_to(strengths, np.shape(times))[inside]
    train = np.bincount(index, strength * (1 - part), minlength=grid.num_samples)
    train += np.bincount(index + 1, strength * part, minlength=grid.num_samples)
    return train.astype(np.float32)


@lru_cache(maxsize=64)
def ringing(modes: Modes, grid: Grid) -> Spectrum:
    """Return the transfer function of damped modes: an impulse of 1 rings each as gain exp(-2 pi z f t) sin(2 pi f t).

    Modes above the Nyquist frequency are left out; read-only.
    """
    omega = 2j * np.pi * grid.frequencies.astype(np.float64)
    response = np.zeros(omega.shape, dtype=np.complex128)
    for hz, damping, strength in modes:
        if hz < grid.nyquist:
            decay, angular = 2 * np.pi * hz * damping, 2 * np.pi * hz * np.sqrt(1 - damping**2)
            response += strength * grid.sample_rate * angular / ((decay + omega) ** 2 + angular**2)
    transfer: Spectrum = response.astype(np.complex64)
    transfer.setflags(write=False)
    return transfer


@lru_cache(maxsize=64)
def transmission(modes: Modes, floor: float, grid: Grid) -> npt.NDArray[np.float32]:
    """Return the amplitude response of a structure to broadband forces: its modes over a ``floor``, unit power.

    Read-only.
    """
    response = np.full(grid.frequencies.shape, floor)
    for hz, damping, strength in modes:
        ratio = grid.frequencies.astype(np.float64) / hz
        response += strength * 2 * damping / np.abs(1 - ratio**2 + 2j * damping * ratio)
    factors: npt.NDArray[np.float32] = (response / np.sqrt(np.mean(response**2))).astype(np.float32)
    factors.setflags(write=False)
    return factors

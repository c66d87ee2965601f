"""Bands of frequencies with soft edges, applied to the spectrum of a whole clip (zero phase)."""

from __future__ import annotations

import numpy as np

from .effect import Signal

EDGE_OCTAVES = 1 / 6
"""Width of the edge of a band, centred on its nominal frequency."""


def smoothstep(position: Signal) -> Signal:
    """Rise from 0 at ``position`` <= 0 to 1 at >= 1 without a corner."""
    position = np.clip(position, 0, 1)
    return position * position * (3 - 2 * position)


def band_weights(octaves: Signal, low: float, high: float) -> Signal:
    """Weights of a band on a scale of octaves: 1 inside, 1/2 at its ends, 0 outside; none falls as it widens."""
    rise = smoothstep((octaves - low) / EDGE_OCTAVES + 0.5)
    fall = smoothstep((high - octaves) / EDGE_OCTAVES + 0.5)
    return rise * fall


def bin_frequencies(num_samples: int, sample_rate: int) -> Signal:
    """Frequency in Hz of each bin of ``rfft``."""
    return np.arange(num_samples // 2 + 1, dtype=np.float64) * (sample_rate / num_samples)


def bin_octaves(num_samples: int, sample_rate: int) -> Signal:
    """log2 of the frequency in Hz of each bin of ``rfft``; that of the constant is far below all others."""
    frequencies = bin_frequencies(num_samples, sample_rate)
    frequencies[0] = np.finfo(np.float64).tiny
    return np.asarray(np.log2(frequencies))


def weighted(signal: Signal, weights: Signal) -> Signal:
    """Multiply the spectrum of a signal by one weight a bin of ``rfft``."""
    import scipy.fft

    return np.asarray(scipy.fft.irfft(scipy.fft.rfft(signal) * weights, len(signal)))


def band_noise_signal(num_samples: int, sample_rate: int, low: float, high: float, rng: np.random.Generator) -> Signal:
    """Gaussian noise between two frequencies in Hz."""
    octaves = bin_octaves(num_samples, sample_rate)
    return weighted(rng.standard_normal(num_samples), band_weights(octaves, np.log2(low), np.log2(high)))

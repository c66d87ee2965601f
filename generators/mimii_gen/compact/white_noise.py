"""White noise as the mel bands of a frame show it: mean power, and mean and deviation of its log.

The power of a band is a quadratic form of the samples, X = sum_i m_i z_i^2 with independent standard normal z_i. Its
Laplace transform L(t) = prod_i (1 + 2 m_i t)^(-1/2) is the probability that T > t X for T exponential with mean 1. So
U = ln T - ln X has the survival function L(exp u), and its mean and variance, less those of ln T (-0.5772 and pi^2/6),
are those of -ln X. What is measured on a minute of noise is a tenth of a decibel off, and a detector that compares mean
levels of bands recognises that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NoiseStatistics", "noise_statistics"]

Array = npt.NDArray[np.float32]

_STEP = 0.02
_RANGE = 40.0
"""Of u about -ln(mean power): L falls as exp(-u/2) at the slowest."""


class NoiseStatistics(NamedTuple):
    """White noise of unit variance as the mel bands show it, each of shape (bands,).

    Attributes:
        power: mean power.
        log_mean: mean of the natural log of the power.
        log_std: standard deviation of that log.
    """

    power: Array
    log_mean: Array
    log_std: Array


def noise_statistics(window: Array, filters: Array) -> NoiseStatistics:
    """Return what white noise of unit variance looks like.

    Args:
        window: of a frame, shape (samples,).
        filters: power of the bins to power of the bands, shape (samples / 2 + 1, bands).
    """
    samples, bins = len(window), len(filters)
    angles = 2 * np.pi * np.outer(np.arange(bins), np.arange(samples)) / samples
    parts = np.stack([np.cos(angles), np.sin(angles)], axis=1) * window  # of the spectrum, as functions of the samples
    power, log_mean, log_std = [], [], []
    for weights in filters.T.astype(np.float64):
        used = weights > 0
        weighted = (np.sqrt(weights[used])[:, None, None] * parts[used]).reshape(-1, samples)
        mean, variance, total = _of_log(np.linalg.eigvalsh(weighted @ weighted.T))
        power.append(total)
        log_mean.append(mean)
        log_std.append(np.sqrt(variance))
    return NoiseStatistics(*(np.array(values, dtype=np.float32) for values in (power, log_mean, log_std)))


def _of_log(squares: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and variance of ln X for the eigenvalues ``squares`` of the form, and the mean of X."""
    total = float(squares.sum())
    u = np.arange(-_RANGE, _RANGE, _STEP) + _STEP / 2
    log_survival = -0.5 * np.log1p(2 * np.maximum(squares / total, 0.0)[:, None] * np.exp(u)).sum(axis=0)
    above, below = u > 0, u <= 0
    survival, passed = np.exp(log_survival), -np.expm1(log_survival)
    mean = _STEP * (survival[above].sum() - passed[below].sum())
    square = 2 * _STEP * ((u * survival)[above].sum() - (u * passed)[below].sum())
    return float(-np.euler_gamma - mean + np.log(total)), float(square - mean**2 - np.pi**2 / 6), total

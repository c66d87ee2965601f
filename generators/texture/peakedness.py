"""Noise that is less peaked than Gaussian noise, as the rings of impacts are.

The coefficients of a tone in a lapped transform are A cos(phase), with a phase that goes round: their kurtosis is 1.5,
where that of Gaussian noise is 3. A spectrogram measures the energy of both phases, which does not vary for a tone, and
varies as that of two coefficients for noise. To vary as little in a spectrogram, independent coefficients, which have
no other phase, need the kurtosis `independent_kurtosis`: 1 for a tone, one magnitude and random signs, and 3 for noise.

Such noise is made by a power of the magnitude of Gaussian noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["exponents_for", "independent_kurtosis", "shaped"]

Array = npt.NDArray[np.float64]

_LEAST = 0.2
"""Smallest exponent: with 0 all magnitudes are one."""


def independent_kurtosis(kurtosis: Array) -> Array:
    """Kurtosis of independent coefficients whose energy varies in a spectrogram as that of a signal of a kurtosis."""
    return np.asarray(4 * kurtosis / 3 - 1)


def exponents_for(kurtosis: Array) -> Array:
    """Exponent of the magnitude that gives Gaussian noise a kurtosis of 3 or less; `_LEAST` to 1."""
    return np.asarray(np.interp(kurtosis, _KURTOSES, _EXPONENTS))


def shaped(noise: Array, exponents: Array) -> Array:
    """Give Gaussian noise of unit power another kurtosis, with the same power; the two shapes are broadcast."""
    return np.asarray(np.sign(noise) * np.abs(noise) ** exponents / np.sqrt(_moment(2 * exponents)))


def _moment(order: Array) -> Array:
    """Mean of |x| ** order for standard normal x."""
    from scipy.special import gamma

    return np.asarray(2 ** (order / 2) * gamma((order + 1) / 2) / np.sqrt(np.pi))


_EXPONENTS = np.linspace(_LEAST, 1.0, 161)
_KURTOSES = _moment(4 * _EXPONENTS) / np.square(_moment(2 * _EXPONENTS))

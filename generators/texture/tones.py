"""Tones of machines that turn: sinusoids over noise, and how far what stands out of a spectrum is such tones.

Noise can have the level of a tone in every band and still sounds otherwise: it comes and goes from frame to frame, and
a tone is steady. So where a band stands out from those around it, the power that it has more than they have is made a
sinusoid, and only the rest noise (X. Serra and J. O. Smith, "Spectral modeling synthesis: a sound analysis/synthesis
system based on a deterministic plus stochastic decomposition", Computer Music Journal 14(4), 1990). All tones of a clip
follow one shaft, whose speed wanders a little. Whether what stands out is a tone or a narrow band of noise, such as a
resonance, is measured by how steady it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .lapped_transform import LappedTransform

__all__ = ["tonal_part", "tonal_shares", "with_tones"]

Array = npt.NDArray[np.float64]

_AROUND = 17
"""Bands that a band is compared with to see whether it stands out, itself among them."""
_STANDS_OUT = 0.5
"""Share of its power that a band must have more than those around it."""
_OF_A_TONE = 0.095
"""Variance of the power of three bands around a tone from frame to frame, relative to its square: the mean over all
places that a tone can have between two bands."""
_QUIET = 1e-8
"""Least RMS of noise."""
_FEWEST = 64
"""Frames of a clip whose steadiness can be measured: of fewer, noise may seem steady by chance."""
_WANDER = 0.001
"""Relative deviation of a shaft's speed."""
_WANDER_HZ = 0.5
"""How fast it wanders."""


def tonal_shares(coefficients: Array) -> Array:
    """For each band of a clip that stands out, the square of how far it is a tone, shape (peaks,).

    The power of a tone with a share d in it and noise varies by one minus d squared of what that of noise does. As
    measured on one band it scatters around 1 for a tone and around 0 for noise, also beyond. Short clips give none.

    Args:
        coefficients: of a lapped transform, shape (bands, T).
    """
    squares = np.square(coefficients)
    if squares.shape[1] < _FEWEST:
        return np.zeros(0)
    power = squares.mean(axis=1)
    above = _above(power)
    shares = []
    for peak in _peaks(power, above):
        near = slice(max(0, peak - 1), peak + 2)
        summed, mean = squares[near].sum(axis=0), power[near].sum()
        of_noise = 2 * np.square(power[near]).sum() / mean**2
        steadiness = (of_noise - summed.var() / mean**2) / (of_noise - _OF_A_TONE)
        shares.append(steadiness / np.square(above[peak] / power[peak]))
    return np.array(shares)


def tonal_part(shares: Sequence[Array]) -> float:
    """How far what stands out in some clips is tones, 0 to 1, from `tonal_shares` of each."""
    found = np.concatenate([np.zeros(0), *shares])
    return math.sqrt(float(np.clip(np.median(found), 0, 1))) if len(found) else 0.0


def with_tones(
    unit: Array, levels: Array, tonal: float, transform: LappedTransform, random: np.random.Generator
) -> Array:
    """Put tones into noise where a level stands out.

    Args:
        unit: noise of the same power in all frames, shape (bands, T).
        levels: that the bands are going to have, in nepers, shape (bands,).
        tonal: see `tonal_part`.
        transform: that the coefficients are of.
        random: for the phases and the speed of the shaft.

    Returns:
        Bands of unit power but for what tones and noise have in common by chance, shape (bands, T); without tones those
        that were given.
    """
    power = np.exp(2 * levels)
    above = _above(power)
    peaks = _peaks(power, above)
    if not tonal or not len(peaks):
        return unit
    waveform = np.zeros(unit.shape[1] * transform.bands, dtype=np.float32)
    turned = _turned(len(waveform), transform.sample_rate, random)
    for peak in peaks:
        near = np.arange(max(0, peak - 1), min(len(power), peak + 2))
        band = (above[near] * (near + 0.5)).sum() / above[near].sum()
        hz = band * transform.sample_rate / (2 * transform.bands)
        # The transform is orthonormal: a sinusoid of amplitude a has the power bands * a^2 / 2 in all bands together.
        amplitude = math.sqrt(2 * tonal * above[near].sum() / transform.bands)
        turns = hz * turned + random.random()
        turns -= np.floor(turns)  # in double precision; a cosine of single precision takes a fifth of the time
        waveform += np.float32(amplitude) * np.cos(np.float32(2 * np.pi) * turns.astype(np.float32))
    tones = transform.transform(waveform) / np.sqrt(power)[:, None]
    share = np.square(tones).mean(axis=1, keepdims=True)
    tones /= np.sqrt(np.maximum(share, 1))  # what a tone leaks into quiet bands is not more than they may have
    rms = np.sqrt(np.square(unit).mean(axis=1, keepdims=True))
    return np.asarray(tones + np.sqrt(np.maximum(1 - share, 0)) / np.maximum(rms, _QUIET) * unit)


def _above(power: Array) -> Array:
    """Power of each band above the median of those around it, 0 at least; shape (bands,)."""
    from scipy.ndimage import median_filter

    return np.asarray(np.maximum(0.0, power - median_filter(power, _AROUND, mode="nearest")))


def _peaks(power: Array, above: Array) -> npt.NDArray[np.intp]:
    """Bands that stand out and are louder than the two beside them."""
    edges = np.pad(power, 1)
    highest = (power > edges[:-2]) & (power >= edges[2:])
    return np.flatnonzero(highest & (above > _STANDS_OUT * power))


def _turned(samples: int, rate: int, random: np.random.Generator) -> Array:
    """Time in s at each sample as measured by the turns of a shaft whose speed wanders, shape (samples,)."""
    from scipy.ndimage import gaussian_filter1d

    step = rate // 32
    width = rate / (2 * np.pi * _WANDER_HZ * step)  # in steps
    pad = math.ceil(4 * width)  # where the filter ends
    knots = gaussian_filter1d(random.standard_normal(samples // step + 2 + 2 * pad), width)[pad:-pad]
    knots *= _WANDER * math.sqrt(2 * math.sqrt(np.pi) * width)  # a Gaussian of that width leaves this much of noise
    speed = 1 + np.interp(np.arange(samples) / step, np.arange(len(knots)), knots)
    return np.asarray(np.cumsum(speed) / rate)

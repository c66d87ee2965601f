"""Mean and deviation over time of the level in narrow bands, and how they differ from those of a model of the clip.

The short frames in which events are distinguished have bands of 60 Hz. They smear a ring over bands beside it, which
then come and go as it does, and a model that has the right power in every band may have it at the wrong times: a knock
a second has more power than the noise between, and hardly changes the mean of the log. So where ears and log-mel
detectors have narrower bands, below 500 Hz, mean and deviation over time of the log amplitude of groups of bands are
measured in training clips, relative to those of the model of each, and what is made of a model is made to differ from
it as they do: the means by a gain, the deviations by stretching the envelope around its mean. Moments of subband
envelopes are what J. H. McDermott and E. P. Simoncelli make textures from ("Sound texture perception via statistics of
the auditory periphery", Neuron 71, 2011).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .bands import group_edges
from .lapped_transform import LappedTransform

__all__ = ["group_count", "moments_of", "with_moments"]

Array = npt.NDArray[np.float64]

_GROUP_MEL = 0.45
"""Width of a group in mel, two bands at least: of 512 bands at 16 kHz, 31 Hz."""
_TOP_HZ = 500
"""Where groups end. Higher up, clips differ from their models by chance; an autoencoder then detects others."""
_OF_NOISE = 0.4
"""Deviation in nepers of white noise in a group of two bands."""
_STRETCHED, _FURTHER = 2.0, 1.0
"""How many times larger or smaller a deviation may become, and nepers by which that may move an envelope."""
_SILENT = 1e-5
"""Amplitude below which all groups of a frame are digital silence, which no model has."""
_QUIET = 1e-12
"""Least power: silence has a logarithm too."""
_STEADY = 1e-3
"""Least deviation in nepers, for the same reason."""


def group_count(transform: LappedTransform) -> int:
    """How many groups of bands there are."""
    return len(_edges(transform)) - 1


def moments_of(coefficients: Array, power: Array, transform: LappedTransform) -> tuple[Array, Array]:
    """Measure how a clip differs from a model of it.

    Args:
        coefficients: of the clip, shape (bands, T).
        power: that the model has in each band and frame, shape (bands, T).
        transform: that the coefficients are of.

    Returns:
        The mean over time of the log amplitude of each group less that of the model, in nepers, and the log of its
        deviation over time relative to that of noise with the power of the model; both of shape (groups,).
    """
    measured, expected = _measured(coefficients, transform), _log_amplitudes(power, transform)
    there = measured.max(axis=0) > np.log(_SILENT)
    if there.any():
        measured, expected = measured[:, there], expected[:, there]
    return (measured - expected).mean(axis=1), np.log(_deviations(measured) / _of_model(expected))


def with_moments(
    coefficients: Array, power: Array, transform: LappedTransform, means: Array, deviations: Array
) -> Array:
    """Make a clip differ from its model as another one does; the arguments are those of `moments_of` and its result.

    Groups leak into those beside them and frames overlap, so that deviations change less than they are asked to.
    """
    measured, expected = _measured(coefficients, transform), _log_amplitudes(power, transform)
    found = measured.mean(axis=1, keepdims=True)
    stretch = np.exp(deviations) * _of_model(expected) / _deviations(measured)
    further = (np.clip(stretch, 1 / _STRETCHED, _STRETCHED)[:, None] - 1) * (measured - found)
    gains = means[:, None] + expected.mean(axis=1, keepdims=True) - found + np.clip(further, -_FURTHER, _FURTHER)
    made, edges = coefficients.copy(), _edges(transform)
    made[: edges[-1]] *= np.exp(np.repeat(gains, np.diff(edges), axis=0))
    return made


def _edges(transform: LappedTransform) -> npt.NDArray[np.int64]:
    """First band of each group, and behind the last one."""
    edges = group_edges(transform.bands, transform.sample_rate, _GROUP_MEL)
    return edges[: 1 + int(np.searchsorted(edges[:-1], 2 * transform.bands * _TOP_HZ / transform.sample_rate))]


def _deviations(envelopes: Array) -> Array:
    """Deviation over time, shape (groups,)."""
    return np.asarray(np.maximum(envelopes.std(axis=1), _STEADY))


def _of_model(envelopes: Array) -> Array:
    """Deviation over time of noise with these envelopes."""
    return np.asarray(np.hypot(_deviations(envelopes), _OF_NOISE))


def _measured(coefficients: Array, transform: LappedTransform) -> Array:
    """Log amplitude of each group of bands in frames that lie where those of the coefficients do, shape (groups, T)."""
    from scipy.fft import rfft

    size, bands = transform.bands, int(_edges(transform)[-1])
    window = 0.5 - 0.5 * np.cos(np.pi / size * np.arange(2 * size))  # of Hann, periodic
    waveform = np.pad(transform.inverse(coefficients), size // 2)
    blocks = np.lib.stride_tricks.sliding_window_view(waveform, 2 * size)[::size] * window
    power = np.square(np.abs(rfft(blocks, axis=1)[:, : bands + 1])).T / np.square(window).sum()
    return _log_amplitudes((power[1:] + power[:-1]) / 2, transform)  # a band of the transform lies between two of these


def _log_amplitudes(power: Array, transform: LappedTransform) -> Array:
    """Of groups of bands, from the power of bands, shape (groups, T)."""
    edges = _edges(transform)
    sums = np.add.reduceat(power[: edges[-1]], edges[:-1], axis=0)
    return np.asarray(np.log(sums / np.diff(edges)[:, None] + _QUIET) / 2)

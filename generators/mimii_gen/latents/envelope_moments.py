"""How loud narrow bands are over time as ears and detectors hear them, and how that differs from a model of the clip.

The short frames in which events are told apart have bands of 60 Hz. They smear a ring over bands beside it, which then
come and go as it does, and a model that has the right power in every band may have it at the wrong times: a knock a
second has more power than the noise between, and hardly changes the mean of the log. So where the bands that are heard
are narrower, below 500 Hz, mean and deviation over time of the log amplitude of groups of bands are measured in
training clips, relative to those of the model of each, and what is made of a model is made to differ from it as they
do: the means by a gain, the deviations by stretching the envelope around its mean. Moments of subband envelopes are
what J. H. McDermott and E. P. Simoncelli make textures from ("Sound texture perception via statistics of the auditory
periphery", Neuron 71, 2011).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .lapped_transform import LappedTransform
from .levels import group_edges

__all__ = ["group_count", "moments_of", "with_moments"]

Array = npt.NDArray[np.float64]

_GROUP_MEL = 0.45
"""Width of a group in mel, two bands at least: of 512 bands at 16 kHz, 31 Hz."""
_TOP_HZ = 500
"""Where groups end. Higher up, clips differ from their models by chance; an autoencoder hears that put into others."""
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


def group_count(codec: LappedTransform) -> int:
    """How many groups of bands there are."""
    return len(_edges(codec)) - 1


def moments_of(latents: Tensor, power: Array, codec: LappedTransform) -> tuple[Array, Array]:
    """Measure how a clip differs from a model of it.

    Args:
        latents: of the clip, shape (dim, T).
        power: that the model has in each band and frame, shape (dim, T).
        codec: that the latents are of.

    Returns:
        The mean over time of the log amplitude of each group less that of the model, in nepers, and the log of its
        deviation over time relative to that of noise with the power of the model; both of shape (groups,).
    """
    heard, expected = _heard(latents, codec), _log_amplitudes(power, codec)
    there = heard.max(axis=0) > np.log(_SILENT)
    if there.any():
        heard, expected = heard[:, there], expected[:, there]
    return (heard - expected).mean(axis=1), np.log(_deviations(heard) / _of_model(expected))


def with_moments(latents: Tensor, power: Array, codec: LappedTransform, means: Array, deviations: Array) -> Tensor:
    """Make a clip differ from its model as another one does; the arguments are those of `moments_of` and its result.

    Groups leak into those beside them and frames overlap, so that deviations change less than they are told to.
    """
    heard, expected = _heard(latents, codec), _log_amplitudes(power, codec)
    found = heard.mean(axis=1, keepdims=True)
    stretch = np.exp(deviations) * _of_model(expected) / _deviations(heard)
    further = (np.clip(stretch, 1 / _STRETCHED, _STRETCHED)[:, None] - 1) * (heard - found)
    gains = means[:, None] + expected.mean(axis=1, keepdims=True) - found + np.clip(further, -_FURTHER, _FURTHER)
    made, edges = latents.clone(), _edges(codec)
    made[: edges[-1]] *= torch.from_numpy(np.exp(np.repeat(gains, np.diff(edges), axis=0))).to(latents)
    return made


def _edges(codec: LappedTransform) -> npt.NDArray[np.int64]:
    """First band of each group, and behind the last one."""
    edges = group_edges(codec.bands, _GROUP_MEL)
    return edges[: 1 + int(np.searchsorted(edges[:-1], 2 * codec.bands * _TOP_HZ / codec.sample_rate))]


def _deviations(envelopes: Array) -> Array:
    """Deviation over time, shape (groups,)."""
    return np.asarray(np.maximum(envelopes.std(axis=1), _STEADY))


def _of_model(envelopes: Array) -> Array:
    """Deviation over time of noise with these envelopes."""
    return np.asarray(np.hypot(_deviations(envelopes), _OF_NOISE))


def _heard(latents: Tensor, codec: LappedTransform) -> Array:
    """Log amplitude of each group of bands in frames that lie where those of the latents do, shape (groups, T)."""
    block, window = 2 * codec.bands, torch.hann_window(2 * codec.bands)
    waveform = torch.nn.functional.pad(codec.inverse(latents[None])[0].float().cpu(), (codec.bands // 2,) * 2)
    spectrum = torch.stft(waveform, block, codec.bands, window=window, center=False, return_complex=True)
    power = spectrum.abs().square().double().numpy() / float(window.square().sum())
    return _log_amplitudes((power[1:] + power[:-1]) / 2, codec)  # a band of the latents lies between two of these


def _log_amplitudes(power: Array, codec: LappedTransform) -> Array:
    """Of groups of bands, from the power of bands, shape (groups, T)."""
    edges = _edges(codec)
    sums = np.add.reduceat(power[: edges[-1]], edges[:-1], axis=0)
    return np.asarray(np.log(sums / np.diff(edges)[:, None] + _QUIET) / 2)

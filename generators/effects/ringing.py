"""A resonance that is struck once and dies away: the element of all impacts."""

from __future__ import annotations

import math

import numpy as np

from .effect import Signal

_DECAYS = 10
"""Decay times after which a resonance is taken as gone (-87 dB)."""


def add_ringing(sound: Signal, sample_rate: int, time: float, frequency: float, decay: float, amplitude: float) -> None:
    """Add ``amplitude exp(-(t - time) / decay) sin(2 pi frequency (t - time))`` for t >= time, in place.

    The impulse response of one damped mode (a second-order system). It is evaluated at the sampling instants, so that
    the time of the impact need not fall on one.

    Args:
        sound: shape (num_samples,); what lies beyond its ends is dropped.
        sample_rate: in Hz.
        time: of the impact, in seconds from the first sample; it may be negative.
        frequency: of the mode, in Hz.
        decay: time in seconds in which the amplitude falls to 1/e.
        amplitude: at the impact.
    """
    first = max(0, math.ceil(time * sample_rate))
    last = min(len(sound), math.ceil((time + _DECAYS * decay) * sample_rate))
    if first < last:
        elapsed = np.arange(first, last) / sample_rate - time
        sound[first:last] += amplitude * np.exp(-elapsed / decay) * np.sin(2 * np.pi * frequency * elapsed)

"""Pitch shift: everything sounds higher or lower for a time while the rhythm stays.

The clip is stretched in time without a change of pitch by waveform-similarity overlap-add (W. Verhelst and M. Roelands,
"An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993), then played back to its old length. How
long the pitch is off follows from the SNR; at -3 dB it is (nearly) the whole clip.
"""

from __future__ import annotations

import math

import numpy as np

from .effect import Parameters, Signal
from .episodes import in_episodes
from .shifting import draw_ratio, replayed, stretched, unlike


def pitch_shift(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Raise or lower the pitch of the host in episodes."""
    ratio = draw_ratio(rng)
    source = stretched(host, round(len(host) * ratio), sample_rate)
    shifted = unlike(host, replayed(source, host, sample_rate))
    change, episodes = in_episodes(host, shifted, sample_rate, power, rng)
    return change, {"pitch_ratio": ratio, "semitones": 12 * math.log2(ratio), **episodes}

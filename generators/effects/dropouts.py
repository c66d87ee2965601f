"""Dropouts: the machine falls nearly silent for moments, as with a loose contact, a missed stroke or a slipping belt.

During a dropout the sound falls by 20 dB and not to digital silence, since the room goes on sounding. How long the
dropouts last follows from the SNR. A gate in time and no more: the gaps of S. Godsill and P. Rayner, "Digital Audio
Restoration", Springer 1998, put in rather than filled.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal
from .episodes import in_episodes

REMAINS = 0.1
"""Amplitude that is left in a dropout, relative to the host."""
LEAST_SNR_DB = 1.0
"""With the whole clip 20 dB down it would be 0.92 dB."""


def dropouts(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Lower the host for moments."""
    return in_episodes(host, REMAINS * host, sample_rate, power, rng)

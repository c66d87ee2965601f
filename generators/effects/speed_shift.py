"""Speed shift: the machine runs faster or slower for a time, so all orders of the shaft and all rhythms shift together.

Every component of a rotating machine is tied to a multiple of its speed: R. B. Randall, "Vibration-based Condition
Monitoring", Wiley 2011, chapter 2. Wrong supply voltage is such a fault in Y. Koizumi et al., "ToyADMOS", WASPAA 2019.
The clip is played at another rate (resampled); a faster one is looped and a slower one cut to the length of the host.
How long the machine is off its speed follows from the SNR; at -3 dB it is (nearly) the whole clip.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal
from .episodes import in_episodes
from .shifting import draw_ratio, looped, replayed, unlike


def speed_shift(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Play the host faster or slower in episodes."""
    ratio = draw_ratio(rng)
    source = looped(host, round(len(host) * ratio), sample_rate)
    shifted = unlike(host, replayed(source, host, sample_rate))
    change, episodes = in_episodes(host, shifted, sample_rate, power, rng)
    return change, {"speed_ratio": ratio, **episodes}

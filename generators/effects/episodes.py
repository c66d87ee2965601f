"""Episodes: another sound takes the place of the host for part of the time.

This gives faults that have no depth of their own (a shift of pitch is there or it is not) a strength that can be solved
for: the share of the time. A fault that comes and goes is also how many begin.
"""

from __future__ import annotations

import numpy as np

from .bands import smoothstep
from .effect import Parameters, Signal, mean_square

EDGE_SECONDS = 0.01
"""Time in which the sound is faded over."""


def in_episodes(
    host: Signal, other: Signal, sample_rate: int, power: float, rng: np.random.Generator
) -> tuple[Signal, Parameters]:
    """Fade from the host to another sound and back around random times, for as long as gives a change of ``power``.

    The episodes, about one in two seconds and at least one, grow from points until they cover the clip, so more power
    means the same episodes, longer.

    Args:
        host: shape (num_samples,).
        other: same shape; the mean square of its difference from the host is ``power`` or more.
        sample_rate: in Hz.
        power: mean square of the change.
        rng: draws the times.

    Returns:
        The change and the times of the middle of the episodes, their length and the share of the time they take.
    """
    import scipy.optimize

    num_samples = len(host)
    duration = num_samples / sample_rate
    middles = np.sort(rng.uniform(0, duration, max(1, rng.poisson(duration / 2))))
    time = np.arange(num_samples) / sample_rate
    nearest = np.searchsorted((middles[1:] + middles[:-1]) / 2, time)
    distance = np.abs(time - middles[nearest])
    whole = other - host

    def gate(half_length: float) -> Signal:
        return smoothstep((half_length - distance) / EDGE_SECONDS)

    def missing(half_length: float) -> float:
        return mean_square(gate(half_length) * whole) - power

    longest = float(distance.max()) + EDGE_SECONDS
    half_length = longest
    if missing(longest) > 0:
        half_length = float(scipy.optimize.brentq(missing, 0, longest, xtol=1e-12))
    chosen = gate(half_length)
    return chosen * whole, {
        "middles_s": middles.tolist(),
        "length_s": 2 * half_length,
        "share": float(chosen.mean()),
    }

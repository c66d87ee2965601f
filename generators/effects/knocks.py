"""Knocks: a loose part that strikes now and then and rings in a few modes.

Impacts at random times (a Poisson process) of random strength on one body. A struck body sounds as a sum of damped
modes, which the point of contact weights: K. van den Doel and D. K. Pai, "The sounds of physical shapes", Presence
7(4), 1998.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal, log_uniform
from .ringing import add_ringing

MODES = 4


def knocks(num_samples: int, sample_rate: int, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Make the sound of a loose part; it knocks at least once."""
    duration = num_samples / sample_rate
    frequencies = np.sort([log_uniform(rng, 200, 3000) for _ in range(MODES)])
    decays = [rng.uniform(5, 20) / frequency for frequency in frequencies]  # some cycles, whatever the pitch
    weights = rng.uniform(0.3, 1, MODES)
    rate = rng.uniform(1, 4)
    # None falls into the last tenth of the shortest clip, so that each has time to ring.
    times = np.sort(rng.uniform(0, duration - 0.02, max(1, rng.poisson(rate * duration))))
    strengths = np.exp(0.3 * rng.standard_normal(len(times)))

    sound = np.zeros(num_samples)
    for time, strength in zip(times, strengths, strict=True):
        for frequency, decay, weight in zip(frequencies, decays, weights, strict=True):
            add_ringing(sound, sample_rate, time, frequency, decay, strength * weight)
    return sound, {
        "rate_hz": rate,
        "times_s": times.tolist(),
        "modes_hz": frequencies.tolist(),
        "decays_s": [float(decay) for decay in decays],
    }

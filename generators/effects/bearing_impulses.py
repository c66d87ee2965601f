"""Bearing impulses: a spall that is struck at a fault rate, rings a resonance and is loaded once a shaft turn.

The model of P. D. McFadden and J. D. Smith, "Model for the vibration produced by a single point defect in a rolling
element bearing", J. Sound and Vibration 96(1), 1984: a train of impulses at the characteristic defect rate, weighted by
the load at the contact, convolved with a decaying resonance of the structure. The intervals vary at random by about one
per cent because rolling elements slip: R. B. Randall and J. Antoni, "Rolling element bearing diagnostics - a tutorial",
Mechanical Systems and Signal Processing 25(2), 2011.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal
from .ringing import add_ringing

SLIP = 0.01
"""Standard deviation of the interval between impulses, relative to the interval."""


def bearing_impulses(num_samples: int, sample_rate: int, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Make the sound of a bearing with one defect."""
    fault_rate = rng.uniform(60, 160)
    shaft_rate = fault_rate / rng.uniform(3, 6)  # impulses per turn of common bearings
    resonance = rng.uniform(2000, min(6000, 0.4 * sample_rate))
    damping = rng.uniform(0.02, 0.05)  # ratio to critical damping
    depth, phase = rng.uniform(0.3, 1), rng.uniform(0, 2 * np.pi)
    decay = 1 / (2 * np.pi * resonance * damping)

    duration = num_samples / sample_rate
    intervals = (1 + SLIP * rng.standard_normal(int(2 * duration * fault_rate) + 10)) / fault_rate
    times = np.cumsum(intervals) - rng.uniform(1, 2) / fault_rate  # the first may have rung before the clip begins
    sound = np.zeros(num_samples)
    for time in times[times < duration]:
        load = 1 + depth * np.cos(2 * np.pi * shaft_rate * time + phase)
        add_ringing(sound, sample_rate, time, resonance, decay, load)
    return sound, {
        "fault_rate_hz": fault_rate,
        "shaft_rate_hz": shaft_rate,
        "resonance_hz": resonance,
        "decay_s": decay,
        "load_depth": depth,
    }

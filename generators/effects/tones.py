"""Tones: an added whine and its harmonics, as of a gear mesh or a fan blade that has come to sing.

Worn gears raise the mesh frequency and its harmonics: R. B. Randall, "A new method of modeling gear faults", J.
Mechanical Design 104(2), 1982.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal, log_uniform


def tones(num_samples: int, sample_rate: int, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Make a steady tone with harmonics whose amplitudes fall as 1/order."""
    fundamental = log_uniform(rng, 300, 3000)
    orders = np.arange(1, int(rng.integers(1, 6)) + 1)
    orders = orders[orders * fundamental < 0.45 * sample_rate]  # never empty: 3000 Hz < 0.45 * 8000 Hz
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    time = np.arange(num_samples) / sample_rate
    sound = np.zeros(num_samples)
    for order, phase in zip(orders, phases, strict=True):
        sound += np.sin(2 * np.pi * order * fundamental * time + phase) / order
    return sound, {"fundamental_hz": fundamental, "harmonics": len(orders)}

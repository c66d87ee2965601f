"""Rub: a rotor that scrapes over part of every turn, audible as bursts of band noise at the shaft rate.

Partial rub touches once per turn over an arc, and the contact is noise-like: A. Muszynska, "Rotor-to-stationary element
rub-related vibration phenomena in rotating machinery", The Shock and Vibration Digest 21(3), 1989.
"""

from __future__ import annotations

import math

import numpy as np

from .bands import band_noise_signal
from .effect import Parameters, Signal, log_uniform


def rub(num_samples: int, sample_rate: int, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Make the sound of a partial rub."""
    shaft_rate = log_uniform(rng, 5, 40)
    arc = rng.uniform(0.15, 0.5)  # share of a turn in contact
    centre = log_uniform(rng, 1000, 0.3 * sample_rate)
    low, high = centre / math.sqrt(2), centre * math.sqrt(2)
    turns = shaft_rate * np.arange(num_samples) / sample_rate + rng.uniform()
    # The force of a contact rises and falls as half a sine over the arc and differs from turn to turn.
    force = np.exp(0.2 * rng.standard_normal(int(turns[-1]) + 1))[turns.astype(int)]
    angle = turns % 1
    gate = np.where(angle < arc, np.sin(np.pi * np.minimum(angle / arc, 1)), 0.0) * force
    return gate * band_noise_signal(num_samples, sample_rate, low, high, rng), {
        "shaft_rate_hz": shaft_rate,
        "arc": arc,
        "band_hz": [low, high],
    }

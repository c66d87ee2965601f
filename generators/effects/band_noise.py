"""Band noise: an added hiss or roar, as of a leak or of air that passes an obstacle.

Turbulent flow radiates broadband noise with a hump whose frequency goes with speed over size: M. J. Lighthill, "On
sound generated aerodynamically I", Proc. Royal Society A 211, 1952. The hump is taken as a band of one to two octaves.
"""

from __future__ import annotations

import numpy as np

from .bands import band_noise_signal
from .effect import Parameters, Signal, log_uniform


def band_noise(num_samples: int, sample_rate: int, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Make steady Gaussian noise in a band."""
    centre = log_uniform(rng, 500, 0.25 * sample_rate)
    half = 2 ** (rng.uniform(1, 2) / 2)
    low, high = centre / half, centre * half
    return band_noise_signal(num_samples, sample_rate, low, high, rng), {"band_hz": [low, high]}

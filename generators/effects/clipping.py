"""Clipping: peaks are cut at a threshold, as by an overdriven microphone or a part that hits its stop.

y = max(-t, min(t, x)): the symmetric clipper, which adds odd harmonics; U. Zölzer (editor), "DAFX: Digital Audio
Effects", 2nd edition, Wiley 2011, chapter 4. The threshold t follows from the SNR.
"""

from __future__ import annotations

import numpy as np

from .effect import Parameters, Signal, mean_square

LEAST_SNR_DB = 0.1
"""At 0 dB nothing would be left."""


def clipping(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Cut the peaks on both sides of the mean."""
    import scipy.optimize

    peak = float(np.abs(host).max())
    magnitude = np.abs(host)

    def excess(threshold: float) -> float:
        return mean_square(np.maximum(magnitude - threshold, 0)) - power

    threshold = float(scipy.optimize.brentq(excess, 0, peak, xtol=1e-12 * peak))
    return np.clip(host, -threshold, threshold) - host, {"threshold": threshold, "peak": peak}

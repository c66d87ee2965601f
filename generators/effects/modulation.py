"""Modulation: the whole sound swells and fades at a low rate, as with an eccentric gear or a beating fan.

y = x (1 + m cos(2 pi f t + phase)): sidebands at f around every component, the sign of eccentricity and of distributed
wear; R. B. Randall, "A new method of modeling gear faults", J. Mechanical Design 104(2), 1982. The depth m follows from
the SNR. It stays at or below 1, so that the envelope never changes sign.
"""

from __future__ import annotations

import math

import numpy as np

from .effect import Parameters, Signal, log_uniform, mean_square

LEAST_SNR_DB = 10 * math.log10(2)
"""Reached with m = 1."""


def modulation(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Modulate the amplitude; at least two cycles fit into the clip."""
    rate = max(log_uniform(rng, 1, 30), 2 * sample_rate / len(host))
    phase = rng.uniform(0, 2 * np.pi)
    angle = 2 * np.pi * rate * np.arange(len(host)) / sample_rate + phase
    carriers = [host * np.cos(angle), host * np.sin(angle)]
    # Of a cosine and a sine one holds half of the host's power or more, even where the host is a single click.
    quadrature = int(np.argmax([mean_square(carrier) for carrier in carriers]))
    depth = math.sqrt(power / mean_square(carriers[quadrature]))
    return depth * carriers[quadrature], {"rate_hz": rate, "depth": depth}

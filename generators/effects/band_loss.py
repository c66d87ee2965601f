"""Band loss: part of the spectrum is weakened, as when a duct is blocked or a cover muffles the machine.

Either a band is weakened or everything above a frequency. It lies where the host sounds: its middle, or its lower edge,
is a random quantile of the host's power spectrum. The band, one octave wide at first, gets weaker as the SNR asks, but
by no more than 20 dB, since no blockage leaves a hole of digital silence; from there on it gets wider.
A blockage acts as an acoustic filter: L. E. Kinsler et al., "Fundamentals of Acoustics", chapter 10.
"""

from __future__ import annotations

import math

import numpy as np

from .bands import band_weights, bin_octaves
from .effect import Parameters, Signal

MOST = 0.9
"""Largest share of the amplitude that is taken away: -20 dB."""
LEAST_SNR_DB = 1.0
"""With the whole spectrum at -20 dB it would be 0.92 dB."""


def band_loss(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
    """Weaken a band of the host."""
    import scipy.fft
    import scipy.optimize

    low_pass = bool(rng.integers(2))
    quantile = rng.uniform(0.2, 0.8)
    spectrum = scipy.fft.rfft(host)
    octaves = bin_octaves(len(host), sample_rate)
    line_power = np.abs(spectrum) ** 2 * (2 / len(host) ** 2)  # Parseval: each line stands for two but the ends
    line_power[0] /= 2
    if len(host) % 2 == 0:
        line_power[-1] /= 2
    cumulated = np.cumsum(line_power)
    centre = octaves[max(1, int(np.searchsorted(cumulated, quantile * cumulated[-1])))]
    top = math.log2(sample_rate)  # above all lines, edge included

    def weights(wider: float) -> Signal:
        half = 0.0 if low_pass else 0.5
        return band_weights(octaves, centre - half - wider, top if low_pass else centre + half + wider)

    def missing(wider: float) -> float:
        return MOST**2 * float(np.sum(line_power * weights(wider) ** 2)) - power

    wider = 0.0
    if missing(0) < 0:
        everything = octaves[-1] - octaves[1] + 1  # octaves that cover all lines from any centre
        wider = float(scipy.optimize.brentq(missing, 0, everything, xtol=1e-12))
    chosen = weights(wider)
    depth = math.sqrt(power / float(np.sum(line_power * chosen**2)))
    change: Signal = -depth * scipy.fft.irfft(spectrum * chosen, len(host))
    low, high = centre - wider, octaves[-1]
    if not low_pass:
        low, high = low - 0.5, min(high, centre + wider + 0.5)
    return change, {
        "kind": "low_pass" if low_pass else "band_stop",
        "band_hz": [float(2**low), float(2**high)],
        "loss_db": -20 * math.log10(1 - depth),
    }

"""Factory noise: what a microphone hears beside the machine.

A reverberant hall of many distant sources gives Gaussian noise that falls by 3 to 6 dB an octave, whose level drifts
as work goes on; motors and transformers add hum at multiples of the mains and shaft frequencies; now and then metal
strikes metal. The spectral levels follow the recordings of MIMII DG (K. Dohi et al., "MIMII DG: Sound dataset for
malfunctioning industrial machine investigation and inspection for domain generalization task", DCASE Workshop 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asdbench.audio import Waveform
from asdbench.datasets.simulated.grid import Grid
from asdbench.datasets.simulated.impacts import Modes, impulses, ringing, scattered
from asdbench.datasets.simulated.noise import Curve, fluctuation, noise_spectrum, ripple, unit_shape

CLANK: Modes = ((830.0, 0.012, 1.0), (1760.0, 0.01, 0.7), (2930.0, 0.009, 0.45), (4410.0, 0.008, 0.25))
"""A dropped part or a closing gate, some metres away."""


@dataclass(frozen=True)
class Factory:
    """One place in a factory.

    Attributes:
        spectrum: level of the broadband noise over frequency.
        hum: (frequency in Hz, amplitude relative to the broadband RMS) of each steady tone.
        drift_db: standard deviation of the slow change of level within a clip.
        ripple_db: standard deviation of the spectrum from clip to clip, for each band.
        clank_rate: metallic impacts a second, on average.
    """

    spectrum: Curve
    hum: tuple[tuple[float, float], ...] = ((100.0, 0.12), (24.8, 0.1))
    drift_db: float = 0.7
    ripple_db: float = 1.0
    clank_rate: float = 0.05


HALL = Factory(
    spectrum=(
        (25.0, -74.0), (75.0, -70.0), (150.0, -72.0), (300.0, -75.0), (600.0, -80.0), (1200.0, -83.0),
        (2400.0, -88.0), (4100.0, -92.0), (5750.0, -96.0), (7250.0, -98.0),
    ),
    hum=((70.0, 0.25), (100.0, 0.15), (546.0, 0.06)),
)  # fmt: skip
"""Open hall: the background of most source domains."""

BAY = Factory(
    spectrum=(
        (25.0, -72.0), (75.0, -71.0), (150.0, -71.0), (300.0, -74.0), (600.0, -77.0), (1200.0, -80.0),
        (2400.0, -84.0), (4100.0, -88.0), (5750.0, -93.0), (7250.0, -96.0),
    ),
    hum=((70.0, 0.1), (101.0, 0.25), (359.0, 0.1), (1820.0, 0.03)),
    drift_db=1.2,
    clank_rate=0.12,
)  # fmt: skip
"""Bay beside other machines: the background of most target domains."""


def factory_noise(rng: np.random.Generator, grid: Grid, factory: Factory) -> Waveform:
    """Return background noise of unit power."""
    shape = unit_shape(factory.spectrum, grid) * ripple(rng, grid, factory.ripple_db)
    spectrum = noise_spectrum(rng, shape, grid)
    times = scattered(rng, grid, factory.clank_rate)
    strengths = rng.lognormal(0.0, 0.6, times.size) * rng.choice((-1.0, 1.0), times.size)
    if times.size:
        spectrum += grid.to_spectrum(impulses(times, strengths, grid)) * ringing(CLANK, grid)
    for hz, amplitude in factory.hum:
        # A steady tone is one line; detuning by a fraction of a bin is below what any clip resolves.
        line = round(hz * (1 + rng.normal(0, 0.002)) * grid.n_fft / grid.sample_rate)
        level = amplitude * rng.lognormal(0.0, 0.25) * grid.n_fft / 2
        turn = np.exp(2j * np.pi * rng.random())
        if line < spectrum.size - 1:
            spectrum[line] += np.complex64(level * turn)
    noise = grid.to_waveform(spectrum)
    noise *= np.exp(fluctuation(rng, grid, factory.drift_db * np.log(10) / 20, rate_hz=0.4))
    noise /= np.sqrt(np.mean(noise**2))
    return noise

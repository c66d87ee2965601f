"""Gearbox: mesh tones with sidebands, and a damaged tooth, overload or wear.

Meshing: the stiffness of a pair of gears changes with every tooth, which excites multiples of the mesh frequency, teeth
times shaft frequency; errors that repeat with either shaft modulate amplitude and phase and put sidebands at multiples
of the shaft frequencies beside each multiple (R. B. Randall, "A new method of modeling gear faults", J. Mech. Des. 104,
1982). The radiated level grows with transmitted load and speed (H. N. Özgüven and D. R. Houser, "Mathematical models
used in gear dynamics: a review", J. Sound Vib. 121, 1988).

Faults: a cracked or chipped tooth changes amplitude and phase of the mesh for a short part of each revolution and rings
the housing once per revolution (P. D. McFadden, "Detecting fatigue cracks in gears by amplitude and phase demodulation
of the meshing vibration", J. Vib. Acoust. Stress Reliab. Des. 108, 1986). Overload slows the motor, deflects the teeth,
which raises the higher mesh harmonics, and makes the load swing with the output shaft. Wear removes the involute: the
second and higher mesh harmonics rise first (J. D. Smith, "Gear Noise and Vibration", 2nd ed., Marcel Dekker, 2003), and
sliding contact adds broadband noise.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from asdbench.audio import Waveform
from asdbench.datasets.simulated.impacts import Modes, impulses, ringing, transmission
from asdbench.datasets.simulated.machine import Machine, Scene, machine
from asdbench.datasets.simulated.noise import Curve, noise_spectrum, ripple, unit_shape
from asdbench.datasets.simulated.tones import order_table, play, rotation

PINION_TEETH, WHEEL_TEETH = 19, 53
HZ_PER_VOLT = 18.0
"""Speed of the direct-current motor and pinion without load."""
DROOP = 0.0003
"""Relative loss of speed for each unit of the attribute ``wt``."""

HOUSING: Modes = (
    (460.0, 0.03, 1.0), (1130.0, 0.02, 0.9), (1780.0, 0.02, 0.7), (2800.0, 0.02, 0.5), (4300.0, 0.02, 0.35),
)  # fmt: skip
RUNNING: Curve = (
    (30.0, -6.0), (100.0, 0.0), (300.0, -2.0), (800.0, -6.0), (1600.0, -8.0), (3000.0, -13.0), (6000.0, -20.0),
    (8000.0, -25.0),
)  # fmt: skip
SLIDING: Curve = ((300.0, -25.0), (1200.0, -4.0), (2600.0, 0.0), (5000.0, -4.0), (8000.0, -12.0))
WEAK_TOOTH = {order: float(np.exp(-((order / 12) ** 2)) / 10.1) for order in range(1, 25)}
"""A pulse of height 1 that lasts about one tooth of the pinion, by order of its shaft."""

STRIKE, LAG, DIP, OVERLOAD, WORN, DRY = 1.1, 0.09, 0.45, 0.62, 0.45, 0.22
"""At severity 1: strike of the damaged tooth, its lag in mesh periods and loss of amplitude; load added to a nominal
load of 1; rise of the higher mesh harmonics and sliding noise of worn flanks."""


def shaft_frequencies(volt: float, weight: float) -> tuple[float, float, float]:
    """Return the frequencies of pinion shaft, wheel shaft and mesh in Hz."""
    pinion = HZ_PER_VOLT * volt / (1 + DROOP * weight)
    return pinion, pinion * PINION_TEETH / WHEEL_TEETH, pinion * PINION_TEETH


@machine("gearbox")
class Gearbox(Machine):
    """One stage of spur gears, driven by a direct-current motor that lifts a weight."""

    attributes: ClassVar = {
        "source": {"volt": ("1.0", "1.5", "2.0", "2.5", "3.0"), "wt": ("0", "50", "100", "150", "200", "250")},
        "target": {"volt": ("0.6", "0.8", "1.3", "1.8", "2.3", "2.8", "3.3"), "wt": ("30", "80", "130", "180", "230")},
    }
    faults: ClassVar = {
        "tooth_damage": "one tooth of the pinion is cracked",
        "overload": "the load exceeds the rating",
        "wear": "the tooth flanks are worn and dry",
    }
    level = 0.018
    snr_db = 6.0

    def sound(self, scene: Scene) -> Waveform:
        """Return modulated mesh tones over running noise; see `Machine.sound`."""
        grid, state = scene.grid, scene.rng("state")
        damage, overload, wear = (scene.fault(name) for name in self.faults)
        volt, weight = float(scene.attributes["volt"]), float(scene.attributes["wt"])
        pinion_hz, _, mesh_hz = shaft_frequencies(volt * (1 + state.normal(0, 0.01)), weight + 200 * overload)
        effort = (0.5 + weight / 250 + OVERLOAD * overload) ** 0.6
        speed = pinion_hz / (1.5 * HZ_PER_VOLT)
        highest = grid.nyquist / pinion_hz

        pinion = rotation(scene.rng("speed"), grid, pinion_hz, wander=0.002)
        wheel, mesh = pinion * (PINION_TEETH / WHEEL_TEETH), pinion * PINION_TEETH
        weak = play(order_table(None, WEAK_TOOTH, highest), pinion) if damage else None
        if weak is not None:
            mesh += LAG * damage * weak

        levels = effort * speed**0.5 * np.exp(state.normal(0, 0.12, 9))
        rise = 1 + 0.35 * overload + WORN * wear
        harmonics = {h: 0.5 * levels[h] * h**-1.1 * (rise if h > 1 else 1.0) for h in range(1, 9)}
        tones = play(order_table(scene.rng("mesh"), harmonics, grid.nyquist / mesh_hz), mesh)
        tones *= 1 + play(order_table(scene.rng("pinion"), {1: 0.18, 2: 0.08, 3: 0.04}, highest), pinion)
        swing = {1: 0.12 + min(0.25 * overload, 0.6), 2: 0.05 + min(0.1 * overload, 0.2)}
        tones *= 1 + play(order_table(scene.rng("wheel"), swing, highest), wheel)
        if weak is not None:
            tones *= 1 - np.float32(min(DIP * damage, 0.95)) * weak

        shape = unit_shape(RUNNING, grid) * (0.5 + 0.5 * transmission(HOUSING, 0.3, grid))
        shape *= ripple(scene.rng("ripple"), grid, 0.8) * np.float32(0.75 * speed**0.4 * np.exp(state.normal(0, 0.08)))
        spectrum = noise_spectrum(scene.rng("running"), shape, grid)
        if damage:
            turns = np.arange(np.ceil(pinion[0]), pinion[-1])
            times = np.interp(turns, pinion, grid.times)
            strikes = STRIKE * damage * effort * speed**0.5 * scene.rng("strikes").lognormal(0, 0.25, times.size)
            spectrum += grid.to_spectrum(impulses(times, strikes, grid)) * ringing(HOUSING, grid)
        sound = grid.to_waveform(spectrum) + tones
        if wear:
            sliding = grid.to_waveform(noise_spectrum(scene.rng("sliding"), unit_shape(SLIDING, grid), grid))
            sliding *= 1 + play(order_table(scene.rng("flanks"), {1: 0.7}, grid.nyquist / mesh_hz), mesh)
            sound += np.float32(DRY * wear * effort**0.5 * speed**0.8) * sliding
        return sound

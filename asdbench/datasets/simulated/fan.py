"""Axial fan: blade-pass harmonics, turbulence, and unbalance, a broken blade or clogging.

Tones: the steady and unsteady forces of B blades on the air radiate at multiples of B times the shaft frequency (M. V.
Lowson, "Theoretical analysis of compressor noise", J. Acoust. Soc. Am. 47, 1970; W. Neise, "Review of fan noise
generation mechanisms and control methods", Fan Noise Symposium, CETIM, 1992). Broadband: turbulence passing the blades
gives dipole noise, a broad hump that the passing blades modulate (I. J. Sharland, "Sources of noise in axial flow
fans", J. Sound Vib. 1, 1964).

Faults: the centrifugal force of an unbalance turns with the shaft (J. P. Den Hartog, "Mechanical Vibrations", 4th ed.,
McGraw-Hill, 1956, ch. 6); it shakes the frame at one per revolution and, as tip clearance now varies, modulates blade
tones and turbulence. Without one of B equal forces all multiples of the shaft frequency remain, not only those of B (S.
E. Wright, "Discrete radiation from rotating periodic sources", J. Sound Vib. 17, 1971), and the torn edge sheds
vortices. A clogged inlet throttles the fan towards stall: strong low-frequency noise modulated by the stall cell, which
travels at about half the speed of the rotor, weaker tones (Neise, cited above), and a whistle of the gaps that are left
(D. Rockwell and E. Naudascher, "Self-sustained oscillations of impinging free shear layers", Annu. Rev. Fluid Mech. 11,
1979).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from asdbench.audio import Waveform
from asdbench.datasets.simulated.background import Factory
from asdbench.datasets.simulated.machine import Machine, Scene, machine
from asdbench.datasets.simulated.noise import Curve, noise_spectrum, ripple, unit_shape
from asdbench.datasets.simulated.tones import Revolutions, order_table, play, rotation

BLADES = 7
SHAFT_HZ = 29.5
"""1770 rpm: four-pole induction motor at 60 Hz."""
BLADE_TONE = 0.30
"""Peak amplitude of the first blade-pass harmonic; sound powers are relative to that of the whole fan."""
MOTOR_TONES = {4: 0.10, 25: 0.05, 40: 0.07, 60: 0.05}
"""Electromagnetic and cooling-wheel tones of the motor, by order of the shaft."""
STALL_SPEED = 0.45
"""Speed of the stall cell over that of the rotor."""
SURGE_SPEED = 0.06
"""Rate at which the flow breaks down and recovers over the speed of the rotor."""

SHAKING, UNEVEN, TORN_EDGE, STALL, WHISTLE = 0.53, 0.42, 0.22, 0.4, 0.24
"""Amplitudes at severity 1: of the frame at one per revolution, of uneven blade forces, vortices, stall and whistle."""
MOST_MODULATION = 0.7

TURBULENCE: Curve = (
    (30.0, -14.0), (100.0, -4.0), (250.0, 0.0), (700.0, -3.0), (1500.0, -9.0), (3000.0, -13.0), (6000.0, -18.0),
    (8000.0, -21.0),
)  # fmt: skip
FAULT_NOISE: dict[str, Curve] = {
    "shedding": ((1400.0, -45.0), (1850.0, -12.0), (2200.0, 0.0), (2600.0, -12.0), (3400.0, -45.0)),
    "whistle": ((920.0, -45.0), (1080.0, -10.0), (1150.0, 0.0), (1220.0, -10.0), (1420.0, -45.0)),
    "stall": ((25.0, -20.0), (60.0, 0.0), (130.0, 0.0), (260.0, -15.0), (700.0, -40.0)),
}

MIXED_NOISE = {
    "W": Factory(
        spectrum=((25.0, -65.0), (75.0, -62.0), (150.0, -64.0), (300.0, -70.0), (600.0, -79.0), (1200.0, -82.0),
                  (2400.0, -88.0), (4100.0, -95.0), (7250.0, -102.0)),
        hum=((66.0, 0.15), (101.0, 0.25)), drift_db=1.5,
    ),
    "X": Factory(
        spectrum=((25.0, -73.0), (75.0, -68.0), (150.0, -70.0), (300.0, -75.0), (600.0, -76.0), (1200.0, -80.0),
                  (2400.0, -82.0), (4100.0, -86.0), (7250.0, -92.0)),
        hum=((62.0, 0.2), (1183.0, 0.05)), drift_db=0.5,
    ),
    "Y": Factory(
        spectrum=((25.0, -60.0), (75.0, -62.0), (150.0, -69.0), (300.0, -77.0), (600.0, -79.0), (1200.0, -83.0),
                  (2400.0, -90.0), (4100.0, -97.0), (7250.0, -104.0)),
        hum=((35.0, 0.3), (101.0, 0.15), (527.0, 0.06)), drift_db=1.8,
    ),
    "Z": Factory(
        spectrum=((25.0, -68.0), (75.0, -65.0), (150.0, -66.0), (300.0, -69.0), (600.0, -72.0), (1200.0, -77.0),
                  (2400.0, -82.0), (4100.0, -88.0), (7250.0, -97.0)),
        hum=((58.0, 0.2), (119.0, 0.2), (264.0, 0.1)), drift_db=1.2, clank_rate=0.15,
    ),
}  # fmt: skip
"""The attribute ``m-n``: which factory noise is mixed in."""


@machine("fan")
class Fan(Machine):
    """Axial fan of seven blades on a four-pole motor."""

    attributes: ClassVar = {"source": {"m-n": ("W", "X")}, "target": {"m-n": ("Y", "Z")}}
    faults: ClassVar = {
        "unbalance": "a weight off the axis shakes the frame once a revolution",
        "broken_blade": "a blade has lost a part",
        "clogging": "the inlet is partly blocked and the flow stalls",
    }
    level = 0.0095
    snr_db = 6.0

    def factory(self, scene: Scene) -> Factory:
        """Return the background that the attribute ``m-n`` names."""
        return MIXED_NOISE[scene.attributes["m-n"]]

    def sound(self, scene: Scene) -> Waveform:
        """Return blade tones and modulated turbulence; see `Machine.sound`."""
        grid, state = scene.grid, scene.rng("state")
        unbalance, broken, clogging = (scene.fault(name) for name in self.faults)
        shaft_hz = SHAFT_HZ * (1 + state.normal(0, 0.004)) * (1 + 0.012 * clogging)  # less air is moved: less load
        load = np.exp(state.normal(0, 0.08))
        shaft = rotation(scene.rng("speed"), grid, shaft_hz)
        highest = grid.nyquist / shaft_hz

        tones = {1: 0.06, 2: 0.03, **MOTOR_TONES}
        for harmonic in range(1, 17):
            tones[BLADES * harmonic] = BLADE_TONE * load * np.exp(state.normal(0, 0.1)) * harmonic**-0.9
            tones[BLADES * harmonic] /= 1 + 0.5 * clogging
        sound = play(order_table(scene.rng("tones"), tones, highest), shaft)

        shape = unit_shape(TURBULENCE, grid) * ripple(scene.rng("ripple"), grid, 0.8)
        turbulence = grid.to_waveform(noise_spectrum(scene.rng("turbulence"), shape, grid))
        turbulence *= np.float32(0.9 * load * (1 + 0.25 * clogging))
        turbulence *= 1 + play(order_table(scene.rng("modulation"), {BLADES: 0.2, 2 * BLADES: 0.1}, highest), shaft)
        sound += turbulence

        if unbalance:
            gap = play(order_table(scene.rng("gap"), {1: 1.0, 2: 0.35}, highest), shaft)
            sound *= 1 + np.float32(min(0.35 * unbalance, MOST_MODULATION)) * gap
            # The play of a loosened frame clips the sine of the force, which gives its multiples.
            shaking = {order: SHAKING * unbalance * order**-1.2 for order in range(1, 13)}
            sound += play(order_table(scene.rng("shaking"), shaking, highest), shaft)
        if broken:
            # Orders that B equal blades cancel are left by the one that differs.
            uneven = {order: UNEVEN * broken * order**-1.1 for order in range(1, 60) if order % BLADES}
            sound += play(order_table(scene.rng("uneven"), uneven, highest), shaft)
            sound += self._modulated_noise(scene, "shedding", TORN_EDGE * broken, {1: 0.7}, shaft)
        if clogging:
            flow = self._modulated_noise(scene, "stall", STALL * clogging, {1: 0.8, 2: 0.4}, shaft * STALL_SPEED)
            flow += self._modulated_noise(scene, "whistle", WHISTLE * clogging, {1: 0.3}, shaft * STALL_SPEED)
            flow *= 1 + play(order_table(scene.rng("surge"), {1: 0.8}, highest), shaft * SURGE_SPEED)
            sound += flow
        return sound

    def _modulated_noise(
        self, scene: Scene, name: str, strength: float, depths: dict[int, float], angle: Revolutions
    ) -> Waveform:
        """Return noise of a fault that comes and goes with the angle of the shaft or of the stall cell."""
        grid = scene.grid
        noise = grid.to_waveform(noise_spectrum(scene.rng(name), unit_shape(FAULT_NOISE[name], grid), grid))
        noise *= 1 + play(order_table(scene.rng(f"{name} angle"), depths, float("inf")), angle)
        noise *= np.float32(strength)
        return noise

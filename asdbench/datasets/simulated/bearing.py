"""Rolling bearing: resonances and rolling noise, and defects of outer race, inner race or rolling element.

Rolling: the roughness of races and elements excites the bearing and its housing broadband, more at speed; the number of
elements that carry load changes as they pass, which gives a tone at the ball-pass frequency (C. S. Sunnersjö, "Varying
compliance vibrations of rolling bearings", J. Sound Vib. 58, 1978; T. A. Harris, "Rolling Bearing Analysis", 4th ed.,
Wiley, 2001).

Faults: a localised defect strikes once for each element that passes it, and each strike rings the resonances. The rates
follow from the geometry; the load zone scales the strikes of whatever turns through it (P. D. McFadden and J. D. Smith,
"Model for the vibration produced by a single point defect in a rolling element bearing", J. Sound Vib. 96, 1984).
Slip makes the spacings vary by one or two per cent (R. B. Randall and J. Antoni, "Rolling element bearing diagnostics:
a tutorial", Mech. Syst. Signal Process. 25, 2011).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from asdbench.audio import Waveform
from asdbench.datasets.simulated.impacts import Modes, impulses, repeated, ringing, transmission
from asdbench.datasets.simulated.machine import Machine, Scene, machine
from asdbench.datasets.simulated.noise import Curve, gain, noise_spectrum, ripple, unit_shape
from asdbench.datasets.simulated.tones import order_table, play, rotation

ELEMENTS = 8
DIAMETER_RATIO = 0.26
"""Diameter of a ball over the pitch diameter; the contact angle is zero (deep groove)."""
SLIP = 0.012
"""Relative deviation of the spacing of strikes."""

OUTER, INNER, ELEMENT = 0.13, 0.25, 0.31
"""Impulses of a strike at severity 1 in the middle of the loaded zone: they follow the load, not the speed."""
UNLOADED = 0.1
"""Strike outside the loaded zone, relative to its middle: an element is never quite free."""

RESONANCES: Modes = (
    (1080.0, 0.03, 0.7), (1760.0, 0.025, 0.9), (2560.0, 0.02, 1.0), (3480.0, 0.02, 0.7), (5300.0, 0.02, 0.4),
)  # fmt: skip
ROLLING: Curve = (
    (40.0, -12.0), (200.0, -6.0), (700.0, -2.0), (1500.0, 0.0), (3000.0, -6.0), (5000.0, -13.0), (8000.0, -21.0),
)  # fmt: skip

PLACES: dict[str, Curve] = {
    "A": ((60.0, 0.0), (1000.0, 0.0), (8000.0, 0.0)),
    "B": ((60.0, 0.5), (500.0, -0.5), (1500.0, 1.0), (4000.0, -1.0), (8000.0, -1.5)),
    "C": ((60.0, -0.5), (600.0, 1.0), (2000.0, -1.0), (5000.0, 0.5), (8000.0, -0.5)),
    "D": ((60.0, 0.5), (900.0, 0.5), (2500.0, 0.5), (4000.0, -1.0), (8000.0, 0.5)),
    "E": ((60.0, 1.0), (500.0, 2.0), (1200.0, -2.0), (3000.0, -3.0), (8000.0, -4.0)),
    "F": ((60.0, 0.0), (700.0, -3.0), (1800.0, 2.0), (3500.0, -2.0), (8000.0, -5.0)),
    "G": ((60.0, 2.0), (400.0, -1.0), (1500.0, -3.0), (2800.0, 1.5), (8000.0, -3.0)),
    "H": ((60.0, -1.0), (800.0, 2.5), (2200.0, -3.0), (5000.0, -2.0), (8000.0, -6.0)),
}
"""The attribute ``loc``: the response from the housing to each position of the microphone."""


def defect_frequencies(shaft_hz: float) -> dict[str, float]:
    """Return the rates of a bearing with a fixed outer race, in Hz.

    Returns:
        ``ftf`` (cage), ``bpfo`` and ``bpfi`` (elements passing a point of the outer and inner race) and ``bsf`` (spin
        of an element), as in McFadden and Smith (1984) with a contact angle of zero.
    """
    return {
        "ftf": shaft_hz / 2 * (1 - DIAMETER_RATIO),
        "bpfo": shaft_hz / 2 * ELEMENTS * (1 - DIAMETER_RATIO),
        "bpfi": shaft_hz / 2 * ELEMENTS * (1 + DIAMETER_RATIO),
        "bsf": shaft_hz / 2 / DIAMETER_RATIO * (1 - DIAMETER_RATIO**2),
    }


def load_zone(angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the relative load at an angle (in revolutions) from the direction of the radial load.

    Stribeck's distribution for no clearance, where half of the elements carry load: cos(angle) ** 1.5, zero beyond a
    quarter turn.
    """
    return np.asarray(np.maximum(np.cos(2 * np.pi * angle), 0.0) ** 1.5)


@machine("bearing")
class Bearing(Machine):
    """Ball bearing of a spindle at 6,000 to 26,000 revolutions a minute."""

    attributes: ClassVar = {
        "source": {"vel": tuple(str(krpm) for krpm in range(6, 27)), "loc": ("A", "B", "C", "D")},
        "target": {"vel": tuple(str(krpm) for krpm in range(6, 27)), "loc": ("E", "F", "G", "H")},
    }
    faults: ClassVar = {
        "outer_race": "a pit in the loaded part of the outer race",
        "inner_race": "a pit in the inner race",
        "rolling_element": "a pit in one ball, which strikes both races",
    }
    level = 0.0075
    snr_db = 0.0

    def sound(self, scene: Scene) -> Waveform:
        """Return shaft tones and rolling noise through the housing; see `Machine.sound`."""
        grid, state = scene.grid, scene.rng("state")
        shaft_hz = float(scene.attributes["vel"]) * 1000 / 60 * (1 + state.normal(0, 0.006))
        speed = shaft_hz / (16000 / 60)
        rates = defect_frequencies(shaft_hz)
        strength = 0.7 * speed * np.exp(state.normal(0, 0.12))

        place = gain(PLACES[scene.attributes["loc"]], grid) * ripple(scene.rng("ripple"), grid, 1.0)
        shape = unit_shape(ROLLING, grid) * (0.3 + 0.7 * transmission(RESONANCES, 0.3, grid)) * np.float32(strength)
        spectrum = noise_spectrum(scene.rng("rolling"), shape, grid)

        shaft = rotation(scene.rng("speed"), grid, shaft_hz, wander=0.0015)
        levels = np.exp(state.normal(0, 0.3, 13))
        tones = {order: 0.16 * levels[order] * strength * order**-0.5 for order in (1, 2, 3, 4, 5, 6, 8, 10, 12)}
        sound = play(order_table(scene.rng("tones"), tones, grid.nyquist / shaft_hz), shaft)
        passing = {order: 0.08 * strength / order for order in (1, 2, 3)}
        cage = shaft * (rates["bpfo"] / shaft_hz)
        sound += play(order_table(scene.rng("passing"), passing, grid.nyquist / rates["bpfo"]), cage)

        strikes = self._strikes(scene, rates, shaft_hz)
        if strikes is not None:
            spectrum += grid.to_spectrum(strikes) * ringing(RESONANCES, grid)
        spectrum += grid.to_spectrum(sound)
        spectrum *= place
        return grid.to_waveform(spectrum)

    def _strikes(self, scene: Scene, rates: dict[str, float], shaft_hz: float) -> Waveform | None:
        """Return the impulses of a defect, or None where there is none."""
        outer, inner, element = (scene.fault(name) for name in self.faults)
        rng = scene.rng("strikes")
        if outer:  # the pit stays in the loaded zone
            times = repeated(rng, scene.grid, rates["bpfo"], SLIP)
            strengths = np.full(times.size, OUTER * outer)
        elif inner:  # the pit turns with the shaft
            times = repeated(rng, scene.grid, rates["bpfi"], SLIP)
            strengths = INNER * inner * (UNLOADED + load_zone(times * shaft_hz + rng.random()))
        elif element:  # the pit meets both races in every turn of the ball, which travels with the cage
            times = repeated(rng, scene.grid, 2 * rates["bsf"], SLIP)
            strengths = ELEMENT * element * (UNLOADED + load_zone(times * rates["ftf"] + rng.random()))
        else:
            return None
        return impulses(times, strengths * rng.lognormal(0, 0.2, times.size), scene.grid)

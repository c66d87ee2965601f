"""Solenoid valve: clicks in a pattern, and contamination, sticking or a leak.

Switching: the plunger of the solenoid strikes its stop when the coil is energised and its seat when the spring returns
it, and bounces a few milliseconds later (T. Kajima and Y. Kawamura, "Development of a high-speed solenoid valve:
investigation of solenoids", IEEE Trans. Ind. Electron. 42, 1995); each impact rings the body. While the coil is
energised it hums at twice the mains frequency. Closing vents the line: a short jet, whose noise has a broad peak at a
Strouhal number of about 0.2 and a power that grows with the eighth power of its velocity (M. J. Lighthill, "On sound
generated aerodynamically. I. General theory", Proc. R. Soc. Lond. A 211, 1952; H. D. Baumann, "On the prediction of
aerodynamically created sound pressure level of control valves", ASME paper 70-WA/FE-28, 1970).

Faults: dirt between plunger and sleeve grinds on every stroke (S. V. Angadi, R. L. Jackson and others, "Reliability and
life study of hydraulic solenoid valve. Part 2: experimental study", Eng. Fail. Anal. 16, 2009). A sticking plunger
stays until the force exceeds static friction and then jumps: strokes come late by a random time and end harder (M. A.
A. S. Choudhury, N. F. Thornhill and S. L. Shah, "Modelling valve stiction", Control Eng. Pract. 13, 2005). A seat that
leaks is a small jet for as long as the valve is shut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from asdbench.audio import Waveform
from asdbench.datasets.simulated.impacts import Modes, Times, impulses, ringing
from asdbench.datasets.simulated.machine import Machine, Scene, machine
from asdbench.datasets.simulated.noise import Curve, noise_spectrum, ripple, stretch, unit_shape
from asdbench.datasets.simulated.tones import order_table, play

PATTERNS: dict[str, tuple[float, ...]] = {
    "00": (0.50, 0.50),
    "01": (0.25, 0.75),
    "02": (0.20, 0.30, 0.20, 1.30),
    "03": (0.30, 0.30, 0.60, 0.80),
    "04": (0.15, 0.15, 0.15, 0.15, 0.15, 0.75),
    "05": (1.00, 0.40),
}
"""The attribute ``pat``: for how many seconds the valve is open, shut, open, shut, ... before the pattern repeats."""

BOUNCE = 0.009
"""Time in s from an impact of the plunger to its bounce."""
GRAIN, GRAINS, LATE, HARDER, LEAK = 0.65, 40, 0.04, 0.22, 0.25
"""At severity 1: impulse of a crushed grain and how many there are in a stroke, mean delay in s and mean gain in force
of a stuck plunger, amplitude of the leaking jet."""
LATEST = 0.12
"""Longest delay in s: the coil is driven harder until the plunger moves."""
STEP = 16
"""Samples between two points of an envelope."""

BODY: Modes = (
    (1190.0, 0.02, 0.5), (2500.0, 0.015, 0.6), (3500.0, 0.012, 1.0), (5210.0, 0.01, 0.9), (7150.0, 0.008, 0.8),
)  # fmt: skip
JET_HZ = 0.2 * 270.0 / 0.012
"""Peak of the jet: Strouhal number times velocity in m/s over the diameter of the exhaust in m."""
JET: Curve = ((JET_HZ / 16, -18.0), (JET_HZ / 4, -9.0), (JET_HZ / 2, -4.0), (JET_HZ, 0.0), (2 * JET_HZ, -4.0))


@dataclass(frozen=True)
class Switching:
    """When a valve is told to move, in s from the start of the clip; before 0 for what still sounds at the start."""

    opens: Times
    shuts: Times

    @classmethod
    def of(cls, pattern: str, seconds: float, offset: float = 0.0) -> Switching:
        """Repeat a pattern that is under way by ``offset`` seconds when the clip starts."""
        edges = np.cumsum((0.0, *PATTERNS[pattern]))
        starts = np.arange(-1, int((seconds + offset) / edges[-1]) + 1) * edges[-1] - offset
        opens = (starts[:, None] + edges[:-1:2]).ravel()
        shuts = (starts[:, None] + edges[1::2]).ravel()
        return cls(opens[opens < seconds], shuts[shuts < seconds])

    def is_open(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """1 where the valve is open at the given times, else 0."""
        opened = np.searchsorted(self.opens, times, side="right")
        shut = np.searchsorted(self.shuts, times, side="right")
        return (opened > shut).astype(np.float64)


@machine("valve")
class Valve(Machine):
    """Pneumatic solenoid valve that opens and shuts in a pattern."""

    attributes: ClassVar = {"source": {"pat": ("00", "01", "02")}, "target": {"pat": ("03", "04", "05")}}
    faults: ClassVar = {
        "contamination": "dirt grinds between plunger and sleeve",
        "sticking": "the plunger moves late and ends hard",
        "leak": "the shut valve lets air through",
    }
    level = 0.0035
    snr_db = -4.0

    def sound(self, scene: Scene) -> Waveform:
        """Return clicks, vented air and hum; see `Machine.sound`."""
        grid, state = scene.grid, scene.rng("state")
        dirt, sticking, leak = (scene.fault(name) for name in self.faults)
        pattern = PATTERNS[scene.attributes["pat"]]
        told = Switching.of(scene.attributes["pat"], grid.seconds, state.random() * sum(pattern))
        strength = np.exp(state.normal(0, 0.15))
        pressure = np.exp(state.normal(0, 0.2))

        moves = scene.rng("moves")
        opens, open_force = self._strokes(moves, told.opens, 0.012)
        shuts, shut_force = self._strokes(moves, told.shuts, 0.016)
        if sticking:
            opens, open_force = self._stick(scene.rng("stick open"), opens, open_force, sticking)
            shuts, shut_force = self._stick(scene.rng("stick shut"), shuts, shut_force, sticking)

        click = impulses(opens, 14.0 * strength * open_force, grid) + impulses(
            shuts, 10.0 * strength * shut_force, grid
        )
        click += impulses(opens + BOUNCE, 5.0 * strength * open_force, grid)
        click += impulses(shuts + 1.3 * BOUNCE, 3.0 * strength * shut_force, grid)
        if dirt:
            click += self._grit(scene, np.concatenate([opens, shuts]), dirt * strength)
        body = ringing(BODY, grid) * ripple(scene.rng("ripple"), grid, 1.0)
        sound = grid.to_waveform(grid.to_spectrum(click) * body)

        knots = grid.knots(STEP)
        venting = self._venting(knots, shuts) * (3.2 * pressure)
        if leak:
            venting += LEAK * leak * pressure * (1 - told.is_open(knots))
        jet = grid.to_waveform(noise_spectrum(scene.rng("jet"), unit_shape(JET, grid), grid))
        sound += jet * stretch(venting.astype(np.float32), STEP, grid.num_samples)

        hum = play(order_table(scene.rng("hum"), {1: 1.0, 2: 0.4, 3: 0.3}, grid.nyquist / 100), grid.times * 100)
        energised = stretch((0.5 * strength * told.is_open(knots)).astype(np.float32), STEP, grid.num_samples)
        sound += hum * energised
        return sound

    def _strokes(self, rng: np.random.Generator, told: Times, delay: float) -> tuple[Times, npt.NDArray[np.float64]]:
        """Return when the plunger strikes, and how hard; a healthy stroke repeats within half a millisecond."""
        return told + delay + rng.normal(0, 0.0004, told.size), rng.lognormal(0, 0.08, told.size)

    def _stick(
        self, rng: np.random.Generator, times: Times, force: npt.NDArray[np.float64], sticking: float
    ) -> tuple[Times, npt.NDArray[np.float64]]:
        """Return strokes that come late and end hard."""
        late = rng.exponential(1.0, times.size)
        return times + np.minimum(LATE * sticking * late, LATEST), force * (1 + HARDER * sticking * late)

    def _grit(self, scene: Scene, times: Times, strength: float) -> Waveform:
        """Return the impulses of grains that are crushed during each stroke."""
        rng = scene.rng("grit")
        grains = times[:, None] + rng.uniform(-0.03, 0.05, (times.size, GRAINS))
        return impulses(grains.ravel(), GRAIN * strength * rng.standard_normal(grains.size), scene.grid)

    def _venting(self, knots: npt.NDArray[np.float64], shuts: Times) -> npt.NDArray[np.float64]:
        """Return the amplitude of the jet: each closing empties the line within some 40 ms."""
        if not shuts.size:
            return np.zeros_like(knots)
        last = np.searchsorted(shuts, knots, side="right") - 1
        since = np.where(last >= 0, knots - shuts[np.maximum(last, 0)], np.inf)
        return np.asarray(np.exp(-since / 0.04))

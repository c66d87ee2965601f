"""Slide rail: reciprocating friction noise, and a cracked rail, missing grease or a loose belt.

Motion: a belt drives the carriage to and fro with a trapezoidal velocity; ``vel`` is the speed in mm/s and ``ac`` the
time in s that it takes to reach it. Rolling and sliding contacts radiate broadband noise whose level rises by 6 dB and
more for a doubling of speed (A. Akay, "Acoustics of friction", J. Acoust. Soc. Am. 111, 2002); balls that enter the
loaded zone strike the rail at the ball-pass rate (H. Ohta, "Sound of linear guideway type recirculating linear ball
bearings", J. Tribol. 121, 1999); the belt meshes with its pulley; the servo amplifier whistles.

Faults: the carriage strikes a crack whenever it passes that position, in both directions, harder at speed. Without
grease the contact enters the mixed regime of Stribeck's curve: friction noise rises, and at low speed, around each
reversal, stick-slip makes the rail squeal (Akay, cited above). A loose belt lets the carriage lag: it is caught with a
knock after every change of acceleration, and the slack span flaps at its string frequency (S. Abrate, "Vibrations of
belts and belt drives", Mech. Mach. Theory 27, 1992).
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

STROKE = 400.0
"""Way of the carriage in mm."""
DWELL = 0.12
"""Rest at each end in s."""
BALL_PITCH = 6.35
"""Distance of the balls in mm."""
BELT_PITCH = 5.0
"""Distance of the teeth of the belt in mm."""
CRACK, ROUGH, SQUEAL, CAUGHT = 2.6, 0.17, 0.3, 1.1
"""At severity 1: impulse of the crack at 600 mm/s, amplitude of rough sliding at 600 mm/s and of squeal at rest, and
impulse of the caught carriage relative to a healthy jerk."""
STEP = 32
"""Samples between two points of the motion."""

RAIL: Modes = ((640.0, 0.02, 0.8), (1340.0, 0.02, 1.0), (2150.0, 0.015, 0.8), (3750.0, 0.012, 0.7), (6110.0, 0.01, 0.4))
CARRIAGE: Modes = ((95.0, 0.08, 1.0), (215.0, 0.06, 0.8), (370.0, 0.05, 0.6), (860.0, 0.04, 0.3))
FRICTION: Curve = (
    (40.0, -6.0), (120.0, -1.0), (300.0, 0.0), (700.0, -3.0), (1400.0, -7.0), (2800.0, -13.0), (5000.0, -18.0),
    (8000.0, -22.0),
)  # fmt: skip
DRY: Curve = ((200.0, -25.0), (900.0, -6.0), (2000.0, 0.0), (4500.0, -3.0), (8000.0, -9.0))
SERVO_HZ = (6757.0, 7144.0)
SQUEAL_HZ = 2150.0
FLAP_HZ = 28.0
"""String frequency of the slack span of the belt."""


@dataclass(frozen=True)
class Motion:
    """The trapezoidal motion of the carriage.

    Attributes:
        speed: in mm/s, between two ramps; lower than asked for where the stroke is too short to reach it.
        ramp: duration of each ramp in s.
        offset: time in s by which the motion is under way at the start of the clip.
    """

    speed: float
    ramp: float
    offset: float

    @classmethod
    def of(cls, speed: float, ramp: float, offset: float = 0.0) -> Motion:
        """Limit the speed to what the stroke allows: two ramps cover speed times ramp."""
        reached = min(speed, 0.9 * STROKE / ramp)
        return cls(reached, ramp * reached / speed, offset)

    @property
    def one_way(self) -> float:
        """Time of one stroke in s, without the rest."""
        return STROKE / self.speed + self.ramp

    @property
    def period(self) -> float:
        """Time of a forward and a backward stroke and two rests, in s."""
        return 2 * (self.one_way + DWELL)

    def velocity(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Velocity in mm/s at the given times; negative on the way back."""
        half = self.period / 2
        stroke, within = np.divmod(times + self.offset, half)
        rise = np.minimum(within, self.one_way - within) / self.ramp
        return np.asarray(self.speed * np.clip(rise, 0.0, 1.0) * (1 - 2 * (stroke % 2)))

    def passages(self, position: float, seconds: float) -> Times:
        """Times within ``seconds`` at which the carriage passes a position (mm) of the constant part of the stroke."""
        forward = self.ramp / 2 + position / self.speed
        return self._repeat((forward, self.period / 2 + self.one_way - forward), seconds)

    def changes(self, seconds: float) -> Times:
        """Times within ``seconds`` at which the acceleration changes: the ends of all ramps."""
        once = (0.0, self.ramp, self.one_way - self.ramp, self.one_way)
        return self._repeat((*once, *(self.period / 2 + time for time in once)), seconds)

    def _repeat(self, once: tuple[float, ...], seconds: float) -> Times:
        cycles = np.arange(-1, int((seconds + self.offset) / self.period) + 1) * self.period
        times = np.sort((cycles[:, None] + np.array(once)).ravel()) - self.offset
        return times[(times >= 0) & (times < seconds)]


@machine("slider")
class Slider(Machine):
    """Belt-driven slide rail with a recirculating ball carriage."""

    attributes: ClassVar = {
        "source": {
            "vel": ("300", "400", "490", "500", "600", "700", "730", "800", "900", "1000"),
            "ac": ("0.05", "0.11", "0.15", "0.20", "0.25", "0.30"),
        },
        "target": {"vel": ("100", "200", "550", "620", "1100", "1200", "1300"), "ac": ("0.01", "0.03", "0.08")},
    }
    faults: ClassVar = {
        "cracked_rail": "the carriage strikes a crack at one position",
        "no_grease": "the guide runs dry: louder friction, squeal at low speed",
        "loose_belt": "the carriage is caught with a knock, the belt flaps",
    }
    level = 0.0085
    snr_db = 2.0

    def sound(self, scene: Scene) -> Waveform:
        """Return friction noise and drive tones that follow the motion; see `Machine.sound`."""
        grid, state = scene.grid, scene.rng("state")
        crack, dry, loose = (scene.fault(name) for name in self.faults)
        velocity, ramp = float(scene.attributes["vel"]), float(scene.attributes["ac"])
        motion = Motion.of(velocity * (1 + state.normal(0, 0.01)), ramp * (1 + state.normal(0, 0.02)))
        motion = Motion(motion.speed, motion.ramp, state.random() * motion.period)
        strength = np.exp(state.normal(0, 0.12))

        knots = grid.knots(STEP)
        speed = np.abs(motion.velocity(knots))
        way = stretch(np.cumsum(speed) * (STEP / grid.sample_rate), STEP, grid.num_samples)
        envelope = stretch((0.35 + speed / 600).astype(np.float32), STEP, grid.num_samples)  # motor holds at rest

        shape = unit_shape(FRICTION, grid) * ripple(scene.rng("ripple"), grid, 1.0)
        sound = grid.to_waveform(noise_spectrum(scene.rng("friction"), shape, grid))
        balls = {order: 0.22 / order for order in range(1, 7)}
        teeth = {order: 0.25 / order for order in range(1, 5)}
        sound += play(
            order_table(scene.rng("balls"), balls, grid.nyquist * BALL_PITCH / motion.speed), way / BALL_PITCH
        )
        sound += play(order_table(scene.rng("belt"), teeth, grid.nyquist * BELT_PITCH / motion.speed), way / BELT_PITCH)
        sound *= envelope * np.float32(0.75 * strength)

        spectrum = grid.to_spectrum(self._knocks(scene, motion, loose)) * ringing(CARRIAGE, grid)
        if crack:
            rng = scene.rng("crack")
            times = motion.passages(rng.uniform(0.2, 0.8) * STROKE, grid.seconds)
            strengths = CRACK * crack * motion.speed / 600 * rng.lognormal(0, 0.15, times.size)
            spectrum += grid.to_spectrum(impulses(times, strengths, grid)) * ringing(RAIL, grid)
        for hz in SERVO_HZ:
            line = round(hz * grid.n_fft / grid.sample_rate * (1 + state.normal(0, 0.001)))
            if line < spectrum.size - 1:
                spectrum[line] += np.complex64(0.01 * strength * grid.n_fft / 2)
        sound += grid.to_waveform(spectrum)
        if dry:
            sound += self._dry_friction(scene, dry, speed)
        return sound

    def _knocks(self, scene: Scene, motion: Motion, loose: float) -> Waveform:
        """Return the impulses on the carriage: jerks of the drive, and of a loose belt that goes taut."""
        times = motion.changes(scene.grid.seconds)
        jerk = 1.5 * (motion.speed / motion.ramp / 4000) ** 0.35
        train = impulses(times, jerk * scene.rng("jerks").lognormal(0, 0.3, times.size), scene.grid)
        if loose:
            rng = scene.rng("belt slack")
            caught = times + rng.uniform(0.015, 0.05, times.size)
            strengths = CAUGHT * loose * jerk * rng.lognormal(0, 0.3, times.size)
            train += impulses(caught, strengths, scene.grid)
            flaps = (caught[:, None] + np.arange(1, 7) / FLAP_HZ).ravel()
            train += impulses(flaps, np.repeat(strengths, 6) * np.tile(0.7 ** np.arange(1, 7), caught.size), scene.grid)
        return train

    def _dry_friction(self, scene: Scene, dry: float, speed: npt.NDArray[np.float64]) -> Waveform:
        """Return rough sliding noise, and squeal wherever the carriage moves slowly."""
        grid = scene.grid
        rough = grid.to_waveform(noise_spectrum(scene.rng("rough"), unit_shape(DRY, grid), grid))
        rough *= stretch((ROUGH * dry * np.sqrt(speed / 600)).astype(np.float32), STEP, grid.num_samples)
        slip = (speed > 0) * np.exp(-((speed / 120) ** 2))  # falling branch of Stribeck's curve
        pitch = SQUEAL_HZ * scene.rng("squeal").lognormal(0, 0.15)
        turns = np.cumsum(pitch * (1 + 0.03 * np.sqrt(speed / 120).clip(0, 1))) * (STEP / grid.sample_rate)
        squeal = order_table(scene.rng("squeal orders"), {1: 1.0, 2: 0.5, 3: 0.25}, grid.nyquist / (1.03 * pitch))
        whistle = play(squeal, stretch(turns, STEP, grid.num_samples))
        whistle *= stretch((SQUEAL * dry * slip).astype(np.float32), STEP, grid.num_samples)
        return rough + whistle

"""Each machine model against the closed forms of what it models; the machine is heard without background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal

from asdbench.datasets.simulated import Fault, Index, simulate
from asdbench.datasets.simulated import bearing as bearing_model
from asdbench.datasets.simulated.gearbox import shaft_frequencies
from asdbench.datasets.simulated.slider import DWELL, STROKE, Motion
from asdbench.datasets.simulated.valve import PATTERNS, Switching

RATE = 16000


def sound(machine: str, mechanism: str = "", severity: float = 0.0, number: int = 0, **attributes: str) -> npt.NDArray:
    clip = simulate(machine, Index(number=number), Fault(mechanism, severity), attributes=attributes or None)
    return clip.machine_sound.astype(np.float64)


def spectrum(waveform: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Frequencies and level in dB."""
    window = np.hanning(waveform.size)
    level = 20 * np.log10(np.abs(np.fft.rfft(waveform * window)) + 1e-12)
    return np.fft.rfftfreq(waveform.size, 1 / RATE), level


def envelope_spectrum(waveform: npt.NDArray, low: float, high: float) -> tuple[npt.NDArray, npt.NDArray]:
    sos = scipy.signal.butter(4, [low, high], "bandpass", fs=RATE, output="sos")
    envelope = np.abs(scipy.signal.hilbert(scipy.signal.sosfiltfilt(sos, waveform))) ** 2
    return spectrum(envelope - envelope.mean())


def peak(hz: npt.NDArray, level: npt.NDArray, low: float, high: float) -> float:
    inside = (hz >= low) & (hz <= high)
    return float(hz[inside][level[inside].argmax()])


def prominence(hz: npt.NDArray, level: npt.NDArray, at: float, width: float = 0.6, reach: float = 6.0) -> float:
    """Level of the line at a frequency above the median of its neighbourhood, in dB."""
    near, around = np.abs(hz - at) <= width, (np.abs(hz - at) > 2 * width) & (np.abs(hz - at) < reach)
    return float(level[near].max() - np.median(level[around]))


class TestFan:
    def test_blades_pass_at_blades_times_speed(self) -> None:
        passes = []
        for number in range(12):
            hz, level = spectrum(sound("fan", number=number))
            passes.append(peak(hz, level, 195, 218))
            assert prominence(hz, level, 2 * passes[-1]) > 15
        assert np.mean(passes) == pytest.approx(7 * 1770 / 60, rel=0.005)

    def test_unbalance_shakes_at_the_shaft_frequency(self) -> None:
        hz, healthy = spectrum(sound("fan"))
        shaft = peak(hz, healthy, 195, 218) / 7
        _, faulty = spectrum(sound("fan", "unbalance", 1.0))
        near = np.abs(hz - shaft) < 0.6
        assert faulty[near].max() > healthy[near].max() + 12

    def test_a_broken_blade_leaves_orders_between_the_blade_tones(self) -> None:
        healthy = sound("fan")
        hz, level = spectrum(healthy)
        shaft = peak(hz, level, 195, 218) / 7
        hz, extra = spectrum(sound("fan", "broken_blade", 1.0) - healthy)
        lines = {order: extra[np.abs(hz - order * shaft) < 0.6].max() for order in range(1, 16)}
        blade_tones = max(lines[7], lines[14])
        assert all(level > blade_tones + 20 for order, level in lines.items() if order % 7)

    def test_clogging_adds_low_noise_and_weakens_blade_tones(self) -> None:
        hz, healthy = spectrum(sound("fan"))
        _, faulty = spectrum(sound("fan", "clogging", 1.0))
        low = (hz > 40) & (hz < 100)
        assert np.median(faulty[low]) > np.median(healthy[low]) + 3
        first = (hz > 195) & (hz < 220)
        assert faulty[first].max() < healthy[first].max() - 1


class TestBearing:
    def test_defect_frequencies_are_those_of_the_geometry(self) -> None:
        n, ratio, shaft = 8, 0.26, 100.0
        rates = bearing_model.defect_frequencies(shaft)
        assert rates["bpfo"] == pytest.approx(n / 2 * shaft * (1 - ratio))
        assert rates["bpfi"] == pytest.approx(n / 2 * shaft * (1 + ratio))
        assert rates["bpfo"] + rates["bpfi"] == pytest.approx(n * shaft)  # every element passes both races
        assert rates["ftf"] == pytest.approx(rates["bpfo"] / n)
        assert rates["bsf"] == pytest.approx(shaft * (1 - ratio**2) / (2 * ratio))

    def test_load_zone_is_half_a_turn(self) -> None:
        angle = np.linspace(-0.5, 0.5, 101)
        load = bearing_model.load_zone(angle)
        assert load.max() == load[50] == 1.0
        assert not load[np.abs(angle) > 0.25].any()

    @pytest.mark.parametrize("vel", ["6", "12", "18"])
    def test_speed_is_in_thousands_of_revolutions_a_minute(self, vel: str) -> None:
        hz, level = spectrum(sound("bearing", vel=vel, loc="A"))
        shaft = float(vel) * 1000 / 60
        assert peak(hz, level, 0.97 * shaft, 1.03 * shaft) == pytest.approx(shaft, rel=0.02)

    @pytest.mark.parametrize(
        ("mechanism", "rate"), [("outer_race", 4 * 0.74), ("inner_race", 4 * 1.26), ("rolling_element", 0.9324 / 0.26)]
    )
    def test_a_defect_strikes_at_its_rate(self, mechanism: str, rate: float) -> None:
        shaft, strikes = self._strikes(mechanism)
        hz, level = envelope_spectrum(strikes, 1400, 4000)
        assert peak(hz, level, (rate - 0.3) * shaft, (rate + 0.3) * shaft) == pytest.approx(rate * shaft, rel=0.005)
        assert prominence(hz, level, rate * shaft, width=3, reach=20) > 15

    @pytest.mark.parametrize(
        ("mechanism", "rate", "turn"), [("inner_race", 4 * 1.26, 1.0), ("rolling_element", 0.9324 / 0.26, 0.37)]
    )
    def test_what_turns_through_the_load_zone_is_modulated(self, mechanism: str, rate: float, turn: float) -> None:
        shaft, strikes = self._strikes(mechanism)
        hz, level = envelope_spectrum(strikes, 1400, 4000)
        for line in (turn, 2 * turn, rate - turn, rate + turn):
            assert prominence(hz, level, line * shaft, width=3, reach=20) > 10
        _, steady = envelope_spectrum(self._strikes("outer_race")[1], 1400, 4000)
        assert prominence(hz, steady, turn * shaft, width=3, reach=20) < 10

    @pytest.mark.parametrize(("mechanism", "rate"), [("outer_race", 4 * 0.74), ("rolling_element", 0.9324 / 0.26)])
    def test_the_rate_stands_out_of_the_whole_sound(self, mechanism: str, rate: float) -> None:
        hz, level = spectrum(sound("bearing", vel="6", loc="A"))
        shaft = peak(hz, level, 97, 103)
        hz, healthy = envelope_spectrum(sound("bearing", vel="6", loc="A"), 1400, 4000)
        _, faulty = envelope_spectrum(sound("bearing", mechanism, 4.0, vel="6", loc="A"), 1400, 4000)
        line = np.abs(hz - rate * shaft) < 3
        assert faulty[line].max() > healthy[line].max() + 10

    @staticmethod
    def _strikes(mechanism: str) -> tuple[float, npt.NDArray]:
        """Frequency of the shaft, and what the defect adds to the sound."""
        healthy = sound("bearing", vel="6", loc="A")
        hz, level = spectrum(healthy)
        return peak(hz, level, 97, 103), sound("bearing", mechanism, 1.0, vel="6", loc="A") - healthy

    def test_faster_is_louder(self) -> None:
        power = [np.mean(sound("bearing", vel=vel, loc="A") ** 2) for vel in ("6", "12", "26")]
        assert power[0] < power[1] < power[2]


class TestGearbox:
    def test_frequencies_follow_from_teeth(self) -> None:
        pinion, wheel, mesh = shaft_frequencies(1.5, 0)
        assert mesh == pytest.approx(19 * pinion)
        assert mesh == pytest.approx(53 * wheel)
        assert shaft_frequencies(3.0, 0)[0] == pytest.approx(2 * pinion)
        assert shaft_frequencies(1.5, 250)[0] < pinion

    @pytest.mark.parametrize("volt", ["1.0", "1.5", "3.0"])
    def test_mesh_has_sidebands_at_the_shaft_frequency(self, volt: str) -> None:
        waveform = sound("gearbox", volt=volt, wt="250")
        hz, level = spectrum(waveform)
        _, _, expected = shaft_frequencies(float(volt), 250)
        mesh = peak(hz, level, 0.95 * expected, 1.05 * expected)
        assert mesh == pytest.approx(expected, rel=0.03)
        # Sidebands at multiples of both shaft frequencies are an envelope that repeats with both shafts.
        pinion, wheel = mesh / 19, mesh / 53
        hz, level = envelope_spectrum(waveform, mesh - 2.5 * pinion, mesh + 2.5 * pinion)
        assert peak(hz, level, 0.8 * pinion, 1.6 * pinion) == pytest.approx(pinion, rel=0.01)
        assert peak(hz, level, 0.6 * wheel, 1.6 * wheel) == pytest.approx(wheel, rel=0.02)

    def test_a_damaged_tooth_strikes_once_a_revolution(self) -> None:
        faulty = sound("gearbox", "tooth_damage", 3.0, volt="1.5", wt="100")
        pinion, _, _ = shaft_frequencies(1.5, 100)
        hz, level = envelope_spectrum(faulty, 2400, 6000)
        assert peak(hz, level, 0.8 * pinion, 1.2 * pinion) == pytest.approx(pinion, rel=0.03)
        _, healthy = envelope_spectrum(sound("gearbox", volt="1.5", wt="100"), 2400, 6000)
        line = np.abs(hz - peak(hz, level, 0.8 * pinion, 1.2 * pinion)) < 1
        assert level[line].max() > healthy[line].max() + 10

    def test_overload_slows_and_loudens(self) -> None:
        condition = {"volt": "2.0", "wt": "100"}
        hz, healthy = spectrum(sound("gearbox", **condition))
        _, faulty = spectrum(sound("gearbox", "overload", 1.0, **condition))
        _, _, mesh = shaft_frequencies(2.0, 100)
        before, after = (peak(hz, level, 0.85 * mesh, 1.05 * mesh) for level in (healthy, faulty))
        assert after < 0.95 * before
        assert np.mean(sound("gearbox", "overload", 1.0, **condition) ** 2) > np.mean(
            sound("gearbox", **condition) ** 2
        )

    def test_wear_raises_the_second_mesh_harmonic_first(self) -> None:
        condition = {"volt": "2.0", "wt": "100"}
        hz, healthy = spectrum(sound("gearbox", **condition))
        _, worn = spectrum(sound("gearbox", "wear", 1.0, **condition))
        _, _, mesh = shaft_frequencies(2.0, 100)
        rise = [worn[np.abs(hz / mesh - h) < 0.03].max() - healthy[np.abs(hz / mesh - h) < 0.03].max() for h in (1, 2)]
        assert rise[1] > rise[0] + 2


class TestSlider:
    @pytest.mark.parametrize(("speed", "ramp"), [(300, 0.3), (1000, 0.05), (1300, 0.3), (100, 0.01)])
    def test_the_carriage_covers_its_stroke_and_returns(self, speed: float, ramp: float) -> None:
        motion = Motion.of(speed, ramp)
        times = np.linspace(0, motion.period, 200001)
        velocity = motion.velocity(times)
        step = times[1]
        position = np.cumsum(velocity) * step
        assert position.max() == pytest.approx(STROKE, rel=1e-3)
        assert position[-1] == pytest.approx(0.0, abs=0.5)
        assert velocity.max() == pytest.approx(motion.speed)
        assert motion.period == pytest.approx(2 * (STROKE / motion.speed + motion.ramp + DWELL))
        assert np.abs(np.diff(velocity)).max() / step == pytest.approx(motion.speed / motion.ramp, rel=1e-3)

    def test_passages_are_where_the_carriage_is(self) -> None:
        motion = Motion.of(500, 0.2, offset=0.7)
        times = np.linspace(0, 10, 400001)
        before = np.trapezoid(motion.velocity(np.linspace(-0.7, 0, 20001)), dx=0.7 / 20000)
        position = before + np.cumsum(motion.velocity(times)) * times[1]
        crossed = times[1:][np.diff(position > 150.0)]
        np.testing.assert_allclose(motion.passages(150.0, 10.0), crossed, atol=1e-3)

    @pytest.mark.parametrize(("vel", "ac"), [("500", "0.20"), ("800", "0.11"), ("300", "0.30")])
    def test_the_sound_repeats_with_every_stroke(self, vel: str, ac: str) -> None:
        waveform = sound("slider", vel=vel, ac=ac)
        power = (waveform.reshape(-1, 80) ** 2).mean(axis=1)  # 5 ms
        power = np.log(power) - np.log(power).mean()
        correlation = np.correlate(power, power, "full")[power.size - 1 :]
        half = STROKE / float(vel) + float(ac) + DWELL  # to and fro sound alike
        lags = np.arange(correlation.size) * 0.005
        inside = (lags > 0.7 * half) & (lags < 1.3 * half)
        assert lags[inside][correlation[inside].argmax()] == pytest.approx(half, rel=0.03)

    def test_friction_grows_with_speed(self) -> None:
        power = [np.mean(sound("slider", vel=vel, ac="0.05") ** 2) for vel in ("300", "600", "1000")]
        assert power[0] < power[1] < power[2]

    def test_a_crack_is_struck_twice_a_period(self) -> None:
        condition = {"vel": "400", "ac": "0.20"}
        extra = sound("slider", "cracked_rail", 2.0, **condition) - sound("slider", **condition)
        power = (extra.reshape(-1, 80) ** 2).mean(axis=1)
        strikes = np.flatnonzero((power[1:] > 0.05 * power.max()) & (power[:-1] <= 0.05 * power.max())) * 0.005
        period = 2 * (STROKE / 400 + 0.2 + DWELL)
        np.testing.assert_allclose(strikes[2:] - strikes[:-2], period, rtol=0.04)

    def test_a_dry_guide_squeals_at_low_speed_only(self) -> None:
        condition = {"vel": "1000", "ac": "0.30"}
        extra = sound("slider", "no_grease", 2.0, **condition) - sound("slider", **condition)
        _, _, power = scipy.signal.spectrogram(extra, RATE, nperseg=512, noverlap=256)
        tonality = power.max(axis=0) / (power.mean(axis=0) + 1e-20)
        loud = power.sum(axis=0) > 0.05 * power.sum(axis=0).max()
        squealing = loud & (tonality > 60)
        assert 0.02 < squealing.mean() < 0.6

    def test_a_loose_belt_knocks_after_the_drive(self) -> None:
        condition = {"vel": "400", "ac": "0.20"}
        extra = sound("slider", "loose_belt", 2.0, **condition) - sound("slider", **condition)
        power = (extra.reshape(-1, 80) ** 2).mean(axis=1)
        # Four changes of acceleration a stroke, each followed by knock and flapping for some 0.25 s.
        assert 0.2 < (power > 0.02 * power.max()).mean() < 0.9


class TestValve:
    @pytest.mark.parametrize("pattern", sorted(PATTERNS))
    def test_switching_follows_the_pattern(self, pattern: str) -> None:
        told = Switching.of(pattern, 10.0, offset=0.33)
        steps = PATTERNS[pattern]
        for opened in told.opens[told.opens > 0]:
            later = told.shuts[told.shuts > opened]
            if later.size:
                assert min(abs(later[0] - opened - step) for step in steps[::2]) < 1e-9
        share = told.is_open(np.linspace(0, sum(steps) * 2, 20000, endpoint=False)).mean()
        assert share == pytest.approx(sum(steps[::2]) / sum(steps), abs=0.01)

    @pytest.mark.parametrize("pattern", sorted(PATTERNS))
    def test_clicks_are_heard_when_the_valve_moves(self, pattern: str) -> None:
        clicks = self._clicks(sound("valve", pat=pattern))
        period, steps = sum(PATTERNS[pattern]), PATTERNS[pattern]
        assert clicks.size == pytest.approx(10 / period * len(steps), abs=2)
        # Plungers need 12 ms to open and 16 ms to shut: a step is heard 4 ms longer or shorter than it was told.
        intervals = np.diff(clicks)
        for interval in intervals:
            assert min(abs(interval - step) for step in steps) < 0.008
        repeats = clicks[len(steps) :] - clicks[: -len(steps)]
        np.testing.assert_allclose(repeats, period, atol=0.003)

    def test_a_sticking_valve_is_late(self) -> None:
        spread = {}
        for severity in (0.0, 1.0):
            clicks = self._clicks(sound("valve", "sticking", severity, pat="00"))
            spread[severity] = np.std(clicks[2:] - clicks[:-2])
        assert spread[0.0] < 0.002
        assert spread[1.0] > 0.01

    def test_a_leak_hisses_while_the_valve_is_shut(self) -> None:
        extra = sound("valve", "leak", 1.0, pat="05") - sound("valve", pat="05")
        silent = np.abs(extra.reshape(-1, 160)).max(axis=1) < 1e-9
        assert silent.mean() == pytest.approx(1.0 / 1.4, abs=0.08)  # pattern 05: open for 1 s, shut for 0.4 s
        hz, density = scipy.signal.welch(extra, RATE, nperseg=1024)
        assert 3000 < hz[density.argmax()] < 6500

    def test_dirt_grinds_around_the_strokes(self) -> None:
        extra = sound("valve", "contamination", 1.0, pat="05") - sound("valve", pat="05")
        power = (extra.reshape(-1, 160) ** 2).mean(axis=1)
        loud = power > 0.01 * power.max()
        assert 0.05 < loud.mean() < 0.35  # some 0.1 s around each of 14 strokes

    @staticmethod
    def _clicks(waveform: npt.NDArray) -> npt.NDArray:
        """Onsets in s of whatever rises steeply above 1 kHz; a bounce belongs to its click."""
        sos = scipy.signal.butter(4, 1000, "highpass", fs=RATE, output="sos")
        level = np.abs(scipy.signal.sosfilt(sos, waveform)).reshape(-1, 16).max(axis=1)  # 1 ms
        loud = np.flatnonzero(level > 0.25 * level.max()) / 1000
        return loud[np.insert(np.diff(loud) > 0.06, 0, True)]

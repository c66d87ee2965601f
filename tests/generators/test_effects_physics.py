"""Each effect against what its physical model says of the sound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import scipy.stats

from asdbench.generators.effects import EFFECTS
from asdbench.generators.effects.bands import band_noise_signal
from asdbench.generators.effects.effect import Parameters
from asdbench.generators.effects.episodes import in_episodes
from asdbench.generators.effects.ringing import add_ringing
from asdbench.generators.effects.shifting import looped, stretched

RATE = 16000
SEEDS = pytest.mark.parametrize("seed", range(4))
Signal = npt.NDArray[np.float64]


def noise(seconds: float = 4, seed: int = 100) -> Signal:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def tone(frequency: float, seconds: float = 4, rate: int = RATE) -> Signal:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def change(name: str, host: Signal, seed: int, snr_db: float = 6, rate: int = RATE) -> tuple[Signal, Parameters]:
    """What the effect adds to a host, in float64, free of the rounding of the sum."""
    effect = EFFECTS[name]
    power = np.var(host) / 10 ** (snr_db / 10)
    return effect.change(host - host.mean(), rate, float(power), np.random.default_rng(seed))


def line(signal: Signal, low: float, high: float, rate: int = RATE) -> float:
    """Frequency of the strongest line between two frequencies; windowed and interpolated by zero padding."""
    size = 4 * len(signal)
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return float(frequencies[np.argmax(spectrum)])


def squared_envelope(signal: Signal) -> Signal:
    envelope = np.abs(scipy.signal.hilbert(signal)) ** 2
    return np.asarray(envelope - envelope.mean())


def share_of_power(signal: Signal, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / RATE)
    return float(power[(frequencies >= low) & (frequencies <= high)].sum() / power.sum())


def level_db(signal: Signal, host: Signal, low: float, high: float) -> float:
    """Mean level in a band relative to the host."""
    frequencies, ours = scipy.signal.welch(signal, RATE, nperseg=2048)
    _, theirs = scipy.signal.welch(host, RATE, nperseg=2048)
    band = (frequencies >= low) & (frequencies <= high)
    return float(10 * np.log10(ours[band].sum() / theirs[band].sum()))


class TestRinging:
    def test_is_the_impulse_response_of_a_damped_mode(self) -> None:
        # A struck oscillator x'' + 2 a x' + (w^2 + a^2) x = w delta: scipy's response of that system.
        decay, frequency = 0.004, 500.0
        omega, a = 2 * np.pi * frequency, 1 / decay
        time = np.arange(600) / RATE
        _, expected = scipy.signal.impulse(([omega], [1, 2 * a, omega**2 + a**2]), T=time)
        sound = np.zeros(700)
        add_ringing(sound, RATE, 100 / RATE, frequency, decay, 1)
        np.testing.assert_allclose(sound[100:], expected, atol=1e-4)
        assert not sound[:100].any()

    def test_an_impact_before_the_clip_is_heard_as_its_tail(self) -> None:
        whole, tail = np.zeros(800), np.zeros(700)
        add_ringing(whole, RATE, 0.0, 300, 0.01, 1)
        add_ringing(tail, RATE, -100 / RATE, 300, 0.01, 1)
        np.testing.assert_allclose(tail, whole[100:], atol=1e-12)


class TestBearingImpulses:
    @SEEDS
    @pytest.mark.parametrize("rate", [8000, 16000, 44100])
    def test_envelope_spectrum_shows_the_fault_rate(self, seed: int, rate: int) -> None:
        sound, parameters = change(
            "bearing_impulses", np.random.default_rng(1).standard_normal(3 * rate), seed, 6, rate
        )
        found = line(
            squared_envelope(sound), 0.7 * parameters["fault_rate_hz"], 1.3 * parameters["fault_rate_hz"], rate
        )
        assert found == pytest.approx(parameters["fault_rate_hz"], rel=0.01)

    @SEEDS
    def test_envelope_spectrum_shows_the_shaft_rate(self, seed: int) -> None:
        sound, parameters = change("bearing_impulses", noise(), seed)
        shaft = parameters["shaft_rate_hz"]
        assert line(squared_envelope(sound), 0.7 * shaft, 1.3 * shaft) == pytest.approx(shaft, rel=0.03)

    @SEEDS
    def test_power_lies_at_the_resonance(self, seed: int) -> None:
        sound, parameters = change("bearing_impulses", noise(), seed)
        frequencies, power = scipy.signal.welch(sound, RATE, nperseg=512)
        assert frequencies[np.argmax(power)] == pytest.approx(parameters["resonance_hz"], rel=0.05)

    def test_is_impulsive(self) -> None:
        sound, _ = change("bearing_impulses", noise(), 0)
        assert scipy.stats.kurtosis(sound) > 2  # Gaussian noise: 0


class TestKnocks:
    @SEEDS
    def test_strikes_at_the_stated_times(self, seed: int) -> None:
        sound, parameters = change("knocks", noise(), seed)
        first = int(np.ceil(parameters["times_s"][0] * RATE))
        assert not sound[:first].any()
        times = np.array(parameters["times_s"])
        apart = times[1:][np.diff(times) > 0.15]  # the one before has died away
        assert len(apart)
        for at in (apart * RATE).astype(int):
            assert np.sum(sound[at + 1 : at + 65] ** 2) > 20 * np.sum(sound[at - 64 : at] ** 2)

    @SEEDS
    def test_rings_in_its_modes(self, seed: int) -> None:
        sound, parameters = change("knocks", noise(), seed)
        modes = parameters["modes_hz"]
        assert share_of_power(sound, 0.7 * modes[0], 1.3 * modes[-1]) > 0.8
        found = line(sound, 20, 7900)
        assert min(abs(found / mode - 1) for mode in modes) < 0.05

    def test_even_the_shortest_clip_gets_one(self) -> None:
        for seed in range(20):
            assert len(change("knocks", noise(0.2), seed)[1]["times_s"]) >= 1


class TestRub:
    @SEEDS
    def test_scrapes_once_a_turn_over_the_arc(self, seed: int) -> None:
        sound, parameters = change("rub", noise(), seed)
        shaft = parameters["shaft_rate_hz"]
        assert line(squared_envelope(sound), 0.6 * shaft, 1.4 * shaft) == pytest.approx(shaft, rel=0.03)
        assert np.mean(sound != 0) == pytest.approx(parameters["arc"], abs=0.02)

    @SEEDS
    def test_is_noise_of_its_band(self, seed: int) -> None:
        sound, parameters = change("rub", noise(), seed)
        low, high = parameters["band_hz"]
        assert share_of_power(sound, 0.9 * low - 100, 1.1 * high + 100) > 0.98


class TestTones:
    @SEEDS
    @pytest.mark.parametrize("rate", [8000, 16000, 44100])
    def test_fundamental_is_the_strongest_line(self, seed: int, rate: int) -> None:
        sound, parameters = change("tones", np.random.default_rng(1).standard_normal(2 * rate), seed, 6, rate)
        assert line(sound, 20, rate / 2, rate) == pytest.approx(parameters["fundamental_hz"], abs=0.5)

    def test_harmonics_fall_as_one_over_order(self) -> None:
        many = [result for seed in range(30) if (result := change("tones", noise(), seed))[1]["harmonics"] >= 3]
        assert many
        for sound, parameters in many:
            time = np.arange(len(sound)) / RATE
            amplitudes = [
                abs(
                    np.mean(
                        sound
                        * np.hanning(len(sound))
                        * np.exp(-2j * np.pi * order * parameters["fundamental_hz"] * time)
                    )
                )
                for order in range(1, parameters["harmonics"] + 1)
            ]
            expected = amplitudes[0] / np.arange(1, len(amplitudes) + 1)
            np.testing.assert_allclose(amplitudes, expected, rtol=0.01)


class TestBandNoise:
    @SEEDS
    def test_power_lies_in_its_band(self, seed: int) -> None:
        sound, parameters = change("band_noise", noise(), seed)
        low, high = parameters["band_hz"]
        assert share_of_power(sound, low, high) > 0.94
        assert share_of_power(sound, low / 1.1, high * 1.1) > 0.9999
        assert high / low == pytest.approx(2**1.5, rel=0.5)

    def test_is_gaussian_and_flat_inside(self) -> None:
        sound = band_noise_signal(200_000, RATE, 1000, 4000, np.random.default_rng(0))
        assert abs(scipy.stats.kurtosis(sound)) < 0.1
        frequencies, power = scipy.signal.welch(sound, RATE, nperseg=512)
        inside = power[(frequencies > 1200) & (frequencies < 3500)]
        assert inside.max() / inside.min() < 1.6


class TestModulation:
    @SEEDS
    def test_envelope_of_a_tone_swings_by_the_depth(self, seed: int) -> None:
        host = tone(2000)
        sound, parameters = change("modulation", host, seed, 9)
        inner = slice(2000, -2000)
        envelope = np.abs(scipy.signal.hilbert(host + sound))[inner] / 0.5
        assert envelope.max() == pytest.approx(1 + parameters["depth"], rel=0.01)
        assert envelope.min() == pytest.approx(1 - parameters["depth"], rel=0.01)
        # A sinusoid on a steady host: SNR = 2 / m^2.
        assert parameters["depth"] == pytest.approx(np.sqrt(2 / 10**0.9), rel=0.01)
        low, high = 2000 + 0.5 * parameters["rate_hz"], 2000 + 1.5 * parameters["rate_hz"]
        assert line(sound, low, high) == pytest.approx(2000 + parameters["rate_hz"], abs=0.2)

    def test_two_cycles_fit_into_the_shortest_clip(self) -> None:
        assert all(change("modulation", noise(0.2), seed)[1]["rate_hz"] >= 10 for seed in range(10))

    @SEEDS
    def test_envelope_never_changes_sign(self, seed: int) -> None:
        _, parameters = change("modulation", noise(0.3), seed, EFFECTS["modulation"].least_snr_db)
        assert 0.9 < parameters["depth"] <= 1


class TestBandLoss:
    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("snr_db", [2, 6, 15])
    def test_level_falls_in_the_band_and_nowhere_else(self, seed: int, snr_db: float) -> None:
        host = noise(8)
        sound, parameters = change("band_loss", host, seed, snr_db)
        low, high = parameters["band_hz"]
        loss = parameters["loss_db"]
        assert 0 < loss <= 20.000001
        inside = level_db(host + sound, host, low * 1.15, min(8000, high / 1.15))
        assert inside == pytest.approx(-loss, abs=0.3)
        if low > 200:
            assert level_db(host + sound, host, 0, low / 1.15) == pytest.approx(0, abs=0.05)
        if parameters["kind"] == "low_pass":
            assert high == pytest.approx(8000, abs=1)
        elif high < 6500:
            assert level_db(host + sound, host, high * 1.15, 8000) == pytest.approx(0, abs=0.05)

    def test_gets_weaker_first_and_wider_once_it_is_20_db_down(self) -> None:
        results = [change("band_loss", noise(), 3, snr_db)[1] for snr_db in (30, 20, 12, 4, 1)]
        widths = [result["band_hz"][1] / result["band_hz"][0] for result in results]
        losses = [result["loss_db"] for result in results]
        assert widths == sorted(widths)
        assert losses == sorted(losses)
        assert widths[0] == widths[1]
        assert widths[-1] > widths[0]
        assert losses[-1] == pytest.approx(20)

    def test_both_kinds_occur(self) -> None:
        kinds = {change("band_loss", noise(0.3), seed)[1]["kind"] for seed in range(20)}
        assert kinds == {"low_pass", "band_stop"}


class TestClipping:
    def test_is_a_symmetric_limiter(self) -> None:
        host = noise()
        host -= host.mean()
        sound, parameters = change("clipping", host, 0)
        threshold = parameters["threshold"]
        np.testing.assert_allclose(host + sound, np.clip(host, -threshold, threshold), atol=1e-12)
        mirrored, again = change("clipping", -host, 0)
        np.testing.assert_allclose(mirrored, -sound, atol=1e-12)
        assert again["threshold"] == pytest.approx(threshold)

    @pytest.mark.parametrize("snr_db", [1, 6, 20])
    def test_threshold_of_a_ramp_is_the_closed_form(self, snr_db: float) -> None:
        # Uniform on [-1, 1]: power 1/3, power of what is cut (1 - t)^3 / 3.
        _, parameters = change("clipping", np.linspace(-1, 1, 100_001), 0, snr_db)
        assert parameters["threshold"] == pytest.approx(1 - 10 ** (-snr_db / 30), abs=1e-4)

    def test_a_sine_gets_odd_harmonics_only(self) -> None:
        sound, _ = change("clipping", tone(500), 0)
        spectrum = np.abs(np.fft.rfft(sound))
        lines = [spectrum[4 * 500 * order] for order in range(1, 8)]  # 4 s: bins of 1/4 Hz
        assert max(lines[1::2]) < 1e-6 * min(lines[0:4:2])


class TestDropouts:
    @SEEDS
    def test_host_falls_by_20_db_for_the_stated_share(self, seed: int) -> None:
        host = np.where(np.random.default_rng(0).integers(2, size=4 * RATE), 0.2, -0.2)  # of constant magnitude
        host -= host.mean()
        sound, parameters = change("dropouts", host, seed, 8)
        gain = (host + sound) / host
        assert gain.min() == pytest.approx(0.1, abs=1e-9)
        assert gain.max() == pytest.approx(1, abs=1e-12)
        assert np.mean(1 - gain) / 0.9 == pytest.approx(parameters["share"], rel=1e-6)
        middles = (np.array(parameters["middles_s"]) * RATE).astype(int)
        np.testing.assert_allclose(gain[middles], 0.1, atol=1e-9)


class TestShifts:
    @SEEDS
    @pytest.mark.parametrize("name", ["pitch_shift", "speed_shift"])
    @pytest.mark.parametrize("rate", [8000, 16000, 44100])
    def test_a_tone_moves_by_the_ratio(self, name: str, seed: int, rate: int) -> None:
        host = tone(1000, 3, rate)
        sound, parameters = change(name, host, seed, -3, rate)
        ratio = parameters["pitch_ratio" if name == "pitch_shift" else "speed_ratio"]
        assert 1.1 <= max(ratio, 1 / ratio) <= 1.3
        assert parameters["share"] > 0.97
        assert line(host + sound, 50, 0.5 * rate, rate) == pytest.approx(1000 * ratio, rel=0.002)
        assert np.var(host + sound) == pytest.approx(np.var(host), rel=0.03)

    @SEEDS
    @pytest.mark.parametrize("name", ["pitch_shift", "speed_shift"])
    def test_pitch_keeps_the_rhythm_and_speed_scales_it(self, name: str, seed: int) -> None:
        # Noise that swells five times a second.
        time = np.arange(6 * RATE) / RATE
        host = noise(6) * (1 + np.cos(2 * np.pi * 5 * time))
        sound, parameters = change(name, host, seed, -3)
        expected = 5 * parameters["speed_ratio"] if name == "speed_shift" else 5
        assert line(squared_envelope(host + sound), 3, 8) == pytest.approx(expected, abs=0.12)

    @pytest.mark.parametrize("name", ["pitch_shift", "speed_shift"])
    def test_top_of_the_spectrum_is_not_left_empty(self, name: str) -> None:
        for seed in range(6):
            host = noise()
            sound, _ = change(name, host, seed, -3)
            assert abs(level_db(host + sound, host, 6000, 8000)) < 1

    @SEEDS
    @pytest.mark.parametrize("name", ["pitch_shift", "speed_shift"])
    def test_share_of_the_time_is_proportional_to_severity(self, name: str, seed: int) -> None:
        host = noise(10)
        snrs = -3 - 10 * np.log10([0.25, 0.5, 1])
        shares = np.array([change(name, host, seed, snr_db)[1]["share"] for snr_db in snrs])
        np.testing.assert_allclose(shares / shares[2], [0.25, 0.5, 1], atol=0.02)
        assert 0.75 < shares[2] <= 1


class TestEpisodes:
    def test_more_power_means_the_same_episodes_longer(self) -> None:
        host, other = noise(3, 1), noise(3, 2)
        changes = [
            np.abs(in_episodes(host, other, RATE, share * 0.02, np.random.default_rng(5))[0])
            for share in (0.1, 0.4, 0.8)
        ]
        assert (changes[0] <= changes[1] + 1e-12).all()
        assert (changes[1] <= changes[2] + 1e-12).all()

    def test_all_the_power_there_is_replaces_the_clip(self) -> None:
        host, other = noise(1, 1), noise(1, 2)
        sound, parameters = in_episodes(
            host, other, RATE, float(np.mean((other - host) ** 2)), np.random.default_rng(0)
        )
        np.testing.assert_allclose(host + sound, other, atol=1e-9)
        assert parameters["share"] == pytest.approx(1)


class TestStretching:
    @pytest.mark.parametrize("factor", [0.77, 0.9, 1.1, 1.3])
    def test_a_tone_keeps_its_pitch_and_level(self, factor: float) -> None:
        host = tone(440)
        longer = stretched(host, round(len(host) * factor), RATE)
        assert len(longer) == round(len(host) * factor)
        assert line(longer, 50, 4000) == pytest.approx(440, abs=0.5)
        assert np.std(longer) == pytest.approx(np.std(host), rel=0.01)
        assert np.abs(np.diff(longer)).max() < 1.05 * np.abs(np.diff(host)).max()  # no clicks where blocks join

    def test_noise_does_not_flutter(self) -> None:
        host = noise(8)
        longer = stretched(host, round(len(host) * 1.2), RATE)
        block = round(0.025 * RATE)
        phase = np.mean(np.square(longer[: len(longer) // block * block]).reshape(-1, block), axis=0)
        smooth = phase.reshape(10, -1).mean(axis=1)  # power over the course of a block
        assert smooth.max() / smooth.min() < 1.25

    def test_a_clip_of_unchanged_length_is_unchanged(self) -> None:
        host = tone(300) + noise()
        np.testing.assert_allclose(stretched(host, len(host), RATE), host, atol=1e-9)


class TestLooping:
    def test_cuts_or_repeats_without_a_gap_in_power(self) -> None:
        host = noise(1)
        np.testing.assert_array_equal(looped(host, 5000, RATE), host[:5000])
        longer = looped(host, 40_000, RATE)
        assert len(longer) == 40_000
        power = np.square(longer).reshape(-1, 400).mean(axis=1)
        assert power.min() > 0.6 * power.mean()

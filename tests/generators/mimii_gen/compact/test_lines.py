from __future__ import annotations

import math

import numpy as np
import pytest

from asdbench.generators.mimii_gen.compact.lines import LineAnalysis, Lines, _turned
from asdbench.generators.mimii_gen.compact.spectra import Spectra

RATE, BANDS = 16000, 64
ANALYSIS = LineAnalysis(Spectra(RATE, 1024, BANDS))


def noise(seconds: float, level: float = 0.02, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def tone(seconds: float, hz: float, amplitude: float) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE + 1)).astype(np.float32)


def middle_of(band: int) -> float:
    return float(ANALYSIS.edges[band : band + 2].mean())


def mel_of(waveform: np.ndarray) -> np.ndarray:
    return ANALYSIS.spectra.mel(ANALYSIS.spectra.transform(waveform)).mean(axis=0, dtype=np.float64)


@pytest.mark.parametrize("band", [6, 22, 45])
def test_a_tone_in_noise_is_found_at_its_frequency_with_its_power(band: int) -> None:
    hz = middle_of(band) + 0.3
    waveform = tone(8, hz, 0.03) + noise(8)
    lines = ANALYSIS.find(waveform)
    assert np.flatnonzero(lines.share).tolist() == [band]
    assert abs(ANALYSIS.frequencies(lines)[band] - hz) < 1
    powers, _ = ANALYSIS.powers(lines, mel_of(waveform))
    assert powers[band] == pytest.approx(0.03**2 / 2, rel=0.05)
    alone = ANALYSIS.find(tone(8, hz, 0.03))
    assert alone.share[band] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("seconds", [2.1, 4, 10])
def test_noise_alone_has_no_lines(seconds: float) -> None:
    for seed in range(4):
        assert not ANALYSIS.find(noise(seconds, seed=seed)).share.any()


def test_clips_shorter_than_two_long_windows_and_silence_have_no_lines() -> None:
    assert not ANALYSIS.find(tone(2.04, 1000, 0.1)).share.any()
    assert ANALYSIS.find(tone(2.05, 1000, 0.1)).share.any()
    assert not ANALYSIS.find(np.zeros(3 * RATE, np.float32)).share.any()


@pytest.mark.parametrize("number", [523, 1024, 4100, 7003])
def test_the_response_is_what_a_sinusoid_of_unit_power_gives(number: int) -> None:
    waveform = tone(2, float(ANALYSIS.hz[number]), math.sqrt(2))
    direct = ANALYSIS.spectra.mel(ANALYSIS.spectra.transform(waveform))[4:-4].mean(axis=0)
    np.testing.assert_allclose(ANALYSIS.response[number], direct, atol=0.01 * direct.max())


def some_lines() -> tuple[Lines, np.ndarray]:
    share, place, powers = np.zeros(BANDS), np.zeros(BANDS), np.zeros(BANDS)
    for band, at, power in ((5, -0.5, 1e-3), (30, 0.2, 4e-3), (50, 0.7, 2e-4)):
        share[band], place[band], powers[band] = 1.0, at, power
    return Lines(share, place), powers


@pytest.mark.parametrize("wander", [0.0, 1e-3])
def test_sound_has_the_powers_that_are_asked_for(wander: float) -> None:
    lines, powers = some_lines()
    waveform = ANALYSIS.sound(lines, powers, 8 * RATE, wander, np.random.default_rng(0))
    assert float(np.square(waveform, dtype=np.float64).mean()) == pytest.approx(powers.sum(), rel=0.01)
    found, _ = ANALYSIS.powers(ANALYSIS.find(waveform), mel_of(waveform))
    bands = np.flatnonzero(powers)
    np.testing.assert_allclose(found[bands], powers[bands], rtol=0.05)


def test_what_lines_add_to_a_band_is_what_it_has() -> None:
    lines, powers = some_lines()
    waveform = ANALYSIS.sound(lines, powers, 8 * RATE, 0.0, np.random.default_rng(0))
    mel = mel_of(waveform)
    _, of_lines = ANALYSIS.powers(lines, mel)
    bands = np.flatnonzero(powers)
    np.testing.assert_allclose(of_lines[bands], mel[bands], rtol=0.03)


def test_a_shaft_wanders_as_far_as_it_is_asked_to() -> None:
    turned = _turned(320 * 3000, 320, 1e-2, np.random.default_rng(0))
    speed = np.diff(turned) * 320
    assert speed.mean() == pytest.approx(1.0, abs=1e-3)
    assert speed.std() == pytest.approx(1e-2, rel=0.05)


@pytest.mark.parametrize("wander", [5e-4, 1e-3])
def test_the_wander_that_is_measured_is_the_one_that_was_put_in(wander: float) -> None:
    samples, band = 10 * RATE, 45
    lines = Lines(np.eye(BANDS)[band], np.zeros(BANDS))
    powers = 0.01 * np.eye(BANDS)[band]
    waveform = ANALYSIS.sound(lines, powers, samples, wander, np.random.default_rng(2)) + noise(10, 0.003)
    speed = np.diff(_turned(samples, RATE, wander, np.random.default_rng(2))) * RATE
    hann = np.square(np.hanning(len(speed)))  # of this clip, as its window weights it
    mean = (hann * speed).sum() / hann.sum()
    put_in = math.sqrt((hann * np.square(speed - mean)).sum() / hann.sum())
    (measured,) = ANALYSIS.wander(waveform, ANALYSIS.find(waveform))
    assert measured == pytest.approx(put_in, rel=0.2)


def test_a_steady_tone_does_not_wander() -> None:
    waveform = tone(10, middle_of(45), 0.1) + noise(10, 0.003)
    (measured,) = ANALYSIS.wander(waveform, ANALYSIS.find(waveform))
    assert measured < 1e-4


def test_lines_that_are_too_weak_are_left_out() -> None:
    lines = Lines(np.array([0.04, 0.06, 1.2]), np.array([0.5, 2.0, -0.5])).clear()
    assert lines.share.tolist() == [0.0, 0.06, 1.0]
    assert lines.place.tolist() == [0.0, 1.0, -0.5]
    assert lines.array().shape == (2, 3)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("power", [0.0, 5e-324, 1e-16, 1e30, 1e308, math.inf])
def test_powers_are_finite_however_strong_the_bands_are(power: float) -> None:
    lines, largest = Lines(np.ones(BANDS), np.zeros(BANDS)), float(np.finfo(np.float32).max)
    powers, of_lines = ANALYSIS.powers(lines, np.full(BANDS, power))
    assert np.isfinite(powers).all() and np.isfinite(of_lines).all()
    unit, of_unit = ANALYSIS.powers(lines, np.ones(BANDS))
    np.testing.assert_allclose(powers, min(power, largest) * unit, rtol=1e-12, atol=1e-320)
    np.testing.assert_allclose(of_lines, min(power, largest) * of_unit, rtol=1e-12, atol=1e-318)

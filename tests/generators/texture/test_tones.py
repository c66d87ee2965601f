"""Tones over noise: their frequency, power and steadiness, and how tones differ from narrow bands of noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import iirpeak, lfilter, periodogram

from asdbench.generators.texture.bands import unit_bands
from asdbench.generators.texture.lapped_transform import LappedTransform
from asdbench.generators.texture.tones import _WANDER, _turned, tonal_part, tonal_shares, with_tones

RATE, SECONDS = 16000, 10
TRANSFORM = LappedTransform(512, RATE)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(RATE * SECONDS)


def coefficients_of(waveform: np.ndarray) -> np.ndarray:
    return TRANSFORM.transform(waveform)


def sinusoids(*frequencies: float) -> np.ndarray:
    time = np.arange(RATE * SECONDS) / RATE
    return np.sum([np.cos(2 * np.pi * hz * time + number) for number, hz in enumerate(frequencies)], axis=0)


def levels_of(waveform: np.ndarray) -> np.ndarray:
    return unit_bands(coefficients_of(waveform))[1]


def made_like(waveform: np.ndarray, tonal: float, seed: int = 1) -> np.ndarray:
    """A waveform of tones and noise with the levels of another one."""
    random, levels = np.random.default_rng(seed), levels_of(waveform)
    white = random.standard_normal((512, RATE * SECONDS // 512 + 1))
    unit = with_tones(white, levels, tonal, TRANSFORM, random)
    return TRANSFORM.inverse(unit * np.exp(levels)[:, None])


def unsteadiness(waveform: np.ndarray, hz: float) -> float:
    """Deviation in dB of the power within 30 Hz of a frequency, over pieces of 64 ms."""
    pieces = waveform[: len(waveform) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(pieces)) ** 2
    near = np.abs(np.fft.rfftfreq(1024, 1 / RATE) - hz) < 30
    return float((10 * np.log10(power[:, near].sum(axis=1))).std())


def test_steady_tones_are_distinguished_from_noise(noise: np.ndarray) -> None:
    # Frequencies at all places between two bands: a single one may seem steadier or less steady than it is.
    tones = [
        coefficients_of(sinusoids(503 + step, 1991 + step, 4007 + step) + 0.01 * noise) for step in range(0, 16, 2)
    ]
    assert tonal_part([tonal_shares(tone) for tone in tones]) == pytest.approx(1, abs=0.05)
    narrow = sum(lfilter(*iirpeak(hz, 80, fs=RATE), noise) for hz in (1000.0, 3000.0, 5000.0)) + 0.03 * noise
    resonances = [tonal_shares(coefficients_of(narrow))]
    assert len(resonances[0]) >= 3
    assert (
        tonal_part(resonances) < 0.45
    )  # of 0 and chance: 312 frames cannot distinguish a share of 0.2 in the squares from none


def test_a_tone_of_half_the_power_is_half_a_tone(noise: np.ndarray) -> None:
    shares = []
    for step in range(16):
        narrow = lfilter(*iirpeak(2000.0 + step, 100, fs=RATE), np.roll(noise, 9999 * step))
        tone = sinusoids(2000.0 + step) * narrow.std() * np.sqrt(2)
        shares.append(tonal_shares(coefficients_of(narrow + tone)))
    assert tonal_part(shares) == pytest.approx(0.5, abs=0.15)


def test_white_noise_and_silence_have_no_tones(noise: np.ndarray) -> None:
    assert len(tonal_shares(coefficients_of(noise))) == 0
    assert len(tonal_shares(np.zeros((512, 20)))) == 0
    assert tonal_part([]) == tonal_part([np.zeros(0)]) == 0


def test_a_tone_is_made_at_its_frequency_with_its_power(noise: np.ndarray) -> None:
    wanted = 0.3 * sinusoids(1003.7) + 0.01 * noise
    made = made_like(wanted, 1.0)
    frequencies, density = periodogram(made, RATE)
    assert frequencies[np.argmax(density)] == pytest.approx(1003.7, abs=4)
    near = np.abs(frequencies - 1003.7) < 40
    assert density[near].sum() * frequencies[1] == pytest.approx(0.3**2 / 2, rel=0.05)


def test_a_tone_is_steady_where_noise_is_not(noise: np.ndarray) -> None:
    wanted = sinusoids(1003.7) + 0.01 * noise
    real, tone, without = (unsteadiness(one, 1003.7) for one in (wanted, made_like(wanted, 1), made_like(wanted, 0)))
    assert real < 0.1
    assert tone < 0.7
    assert without > 3


def test_levels_are_those_that_are_asked_for(noise: np.ndarray) -> None:
    wanted = 0.3 * sinusoids(503.0, 1003.7, 5200.0) + 0.02 * noise
    found, levels = levels_of(made_like(wanted, 1.0)), levels_of(wanted)
    loud = levels > np.median(levels) + 1
    assert np.abs(found - levels)[loud].max() < 0.3
    assert np.abs(found - levels).mean() < 0.06


def test_noise_stays_as_it_is_where_nothing_stands_out_or_nothing_is_tonal(noise: np.ndarray) -> None:
    white = np.random.default_rng(2).standard_normal((512, 40))
    random = np.random.default_rng(3)
    assert with_tones(white, np.zeros(512), 1.0, TRANSFORM, random) is white
    assert with_tones(white, levels_of(sinusoids(1003.7) + 0.01 * noise), 0.0, TRANSFORM, random) is white


def test_tones_depend_on_the_random_numbers_alone(noise: np.ndarray) -> None:
    wanted = sinusoids(1003.7) + 0.01 * noise
    first, again, other = (made_like(wanted, 0.9, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_shaft_wanders_as_much_in_short_clips_as_in_long_ones() -> None:
    random = np.random.default_rng(6)
    for seconds in (0.25, 8):
        turned = [_turned(int(RATE * seconds), RATE, random) for _ in range(400 if seconds < 1 else 60)]
        speeds = np.array([np.diff(one)[:: RATE // 8] * RATE - 1 for one in turned])
        assert np.sqrt(np.square(speeds).mean()) == pytest.approx(_WANDER, rel=0.15)
    assert np.abs(np.diff(speeds, axis=1)).mean() < 0.5 * _WANDER  # slowly


def test_few_frames_have_no_steadiness() -> None:
    tone = sinusoids(1003.7)
    assert len(tonal_shares(coefficients_of(tone)[:, :63])) == 0
    assert len(tonal_shares(coefficients_of(tone)[:, :64])) >= 1


def test_tones_of_two_clips_have_phases_of_their_own(noise: np.ndarray) -> None:
    wanted = sinusoids(503.0, 1003.7) + 0.01 * noise
    spectra = [np.fft.rfft(made_like(wanted, 1.0, seed)[:RATE])[[503, 1004]] for seed in range(8)]
    turned = np.angle(np.array(spectra))
    assert np.abs(np.exp(1j * turned).mean(axis=0)).max() < 0.8  # 1 if all were alike
    assert np.abs(np.exp(1j * (turned[:, 0] - turned[:, 1])).mean()) < 0.8


def test_half_a_tone_has_half_the_power(noise: np.ndarray) -> None:
    wanted = sinusoids(1003.7) + 0.01 * noise
    time = np.arange(RATE) / RATE
    carrier = np.exp(-2j * np.pi * 1003.7 * time)
    steady = {
        tonal: np.mean([abs((made_like(wanted, tonal, seed)[:RATE] * carrier).mean()) for seed in range(6)])
        for tonal in (0.5, 1.0)
    }
    assert (steady[0.5] / steady[1.0]) ** 2 == pytest.approx(0.5, abs=0.1)

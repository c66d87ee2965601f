from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from asdbench import LogmelSettings, UserError, logmel
from asdbench.generators.mimii_gen.compact.settings import CompactSettings
from asdbench.generators.mimii_gen.compact.spectra import Spectra

SPECTRA = Spectra(16000, 1024, 32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 255, 4000, 8192])
def test_the_log_mel_frames_are_those_of_the_detectors(samples: int) -> None:
    waveform = 0.1 * noise(samples)
    expected = logmel(waveform, LogmelSettings(16000, 1024, 256, 32))
    found = SPECTRA.decibels(waveform)
    assert found.shape == expected.shape == (SPECTRA.num_frames(samples), 32)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_digital_silence_has_the_least_power() -> None:
    np.testing.assert_allclose(SPECTRA.decibels(np.zeros(1000, np.float32)), -160, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 300, 1024, 5000, 5119])
def test_the_inverse_of_a_transform_is_the_waveform(samples: int) -> None:
    waveform = noise(samples)
    np.testing.assert_allclose(SPECTRA.inverse(SPECTRA.transform(waveform), samples), waveform, atol=1e-5)


def test_the_inverse_of_any_spectrum_is_the_least_squares_solution() -> None:
    spectra, samples = Spectra(16000, 16, 2), 26
    random = np.random.default_rng(1)
    frames, bins = spectra.num_frames(samples), 9
    wanted = random.standard_normal((frames, bins)) + 1j * random.standard_normal((frames, bins))
    weights = np.full(bins, np.sqrt(2.0))  # the bins between the first and the last stand for two
    weights[[0, -1]] = 1.0
    wanted[:, [0, -1]] = wanted[:, [0, -1]].real

    def parts(spectrum: np.ndarray) -> np.ndarray:
        weighted = spectrum * weights
        return np.r_[weighted.real.ravel(), weighted.imag.ravel()]

    columns = [parts(spectra.transform(unit)) for unit in np.eye(samples, dtype=np.float32)]
    solution = np.linalg.lstsq(np.stack(columns, axis=1), parts(wanted), rcond=None)[0]
    found = spectra.inverse(wanted.astype(np.complex64), samples)
    np.testing.assert_allclose(found, solution, atol=1e-4)


def test_gains_change_the_power_by_as_many_nepers() -> None:
    spectrum = SPECTRA.transform(noise(4000))
    changed = SPECTRA.mel(spectrum * SPECTRA.gains(np.full((len(spectrum), 32), 1.7, np.float32)))
    np.testing.assert_allclose(changed, np.exp(1.7) * SPECTRA.mel(spectrum), rtol=1e-4)


def test_white_noise_has_the_power_and_the_fluctuations_of_its_degrees_of_freedom() -> None:
    filters = SPECTRA.filters.astype(np.float64)
    np.testing.assert_allclose(SPECTRA.noise.power, filters.sum(axis=0) * 1024 * 3 / 8, rtol=0.06)
    # The squared correlation of Hann-windowed bins that are one apart is 4/9, of those two apart 1/36.
    square = (filters**2).sum(axis=0)
    square += 2 * 4 / 9 * (filters[1:] * filters[:-1]).sum(axis=0) + 2 / 36 * (filters[2:] * filters[:-2]).sum(axis=0)
    shape = filters.sum(axis=0) ** 2 / square
    inner = slice(1, -1)  # bins at both ends of the spectrum are real numbers
    np.testing.assert_allclose(SPECTRA.noise.log_std[inner], np.sqrt(polygamma(1, shape))[inner], rtol=0.1)
    expected = np.log(SPECTRA.noise.power) + digamma(shape) - np.log(shape)
    np.testing.assert_allclose(SPECTRA.noise.log_mean[inner], expected[inner], atol=0.05)


def test_spreading_takes_the_gains_of_bands_to_bins_as_a_mean() -> None:
    sums = SPECTRA.spreading.sum(axis=0)
    np.testing.assert_allclose(sums[SPECTRA.covered], 1.0, rtol=1e-5)
    assert not sums[~SPECTRA.covered].any() and SPECTRA.empty_bands() == 0


@pytest.mark.parametrize(
    ("rates", "milliseconds"), [((8000, 16000, 32000), 64), ((11025, 22050, 44100), 46), ((12000, 24000, 48000), 85)]
)
def test_windows_are_powers_of_2_that_last_46_to_85_ms(rates: tuple[int, ...], milliseconds: int) -> None:
    for rate in rates:
        window = CompactSettings(sample_rate=rate).spectra.window
        assert window & (window - 1) == 0 and round(1000 * window / rate) == milliseconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"clip_dim": 1}, "clip_dim is 1, expected at least 2"),
        ({"width": 20}, "width is 20, expected a multiple of 8"),
        ({"clip_weight": 0.0}, "clip_weight is 0.0, expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number above 0"),
        ({"seconds": 0.2}, "seconds is 0.2, expected at least 0.256 s, 16 frames"),
        ({"bands": 500}, "bands is 500, expected so few that each has a bin"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CompactSettings(**changes)  # type: ignore[arg-type]


def test_the_learning_rate_rises_and_falls() -> None:
    settings = CompactSettings(learning_rate=1.0, warmup_steps=10, steps=1000)
    assert settings.learning_rate_at(0) == pytest.approx(0.1)
    assert settings.learning_rate_at(500) == pytest.approx(0.51)
    assert settings.learning_rate_at(999) == pytest.approx(0.02, abs=1e-4)

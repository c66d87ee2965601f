from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from asdbench.generators.mimii_gen.compact.beginning import log_shape_of
from asdbench.generators.mimii_gen.compact.lines import LineAnalysis, Lines
from asdbench.generators.mimii_gen.compact.spectra import Spectra
from asdbench.generators.mimii_gen.compact.vocoder import synthesize

RATE, BANDS, SECONDS = 16000, 32, 8.192
SAMPLES = round(SECONDS * RATE)
SPECTRA = Spectra(RATE, 1024, BANDS)
ANALYSIS = LineAnalysis(SPECTRA)
FRAMES = SPECTRA.num_frames(SAMPLES)
NONE = Lines(np.zeros(BANDS), np.zeros(BANDS))
LEVELS = -30 - 20 * np.sin(np.linspace(0, 5, BANDS))
"""Mean power of the bands in dB."""


def log_shape_of_noise() -> np.ndarray:
    import torch

    return log_shape_of(torch.from_numpy(np.square(SPECTRA.noise.log_std.astype(np.float64)))).numpy()


def make(levels: np.ndarray, log_shape: np.ndarray, lines: Lines = NONE, seed: int = 0, **others: Any) -> np.ndarray:
    settings = {
        "calibration": np.ones(BANDS, np.float32),
        "chance": 1.0,
        "wander": 0.0,
        "num_samples": SAMPLES,
    } | others
    frames = SPECTRA.num_frames(settings["num_samples"])
    return synthesize(
        SPECTRA,
        ANALYSIS,
        np.broadcast_to(levels, (frames, BANDS)).astype(np.float32),
        np.broadcast_to(log_shape, (frames, BANDS)).astype(np.float32),
        lines,
        random=np.random.default_rng(seed),
        **settings,
    )


@pytest.mark.parametrize("change", [-0.8, 0.0, 1.0])
def test_level_and_fluctuation_are_those_of_the_gamma_distributions(change: float) -> None:
    log_shape = log_shape_of_noise() + change
    found = SPECTRA.decibels(make(LEVELS, log_shape)).astype(np.float64)[4:-4] * np.log(10) / 10
    shape = np.exp(log_shape)
    mean = LEVELS * np.log(10) / 10 + digamma(shape) - log_shape
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.5 * np.log(10) / 10)
    deviation = found.std(axis=0) / np.sqrt(polygamma(1, shape))
    assert deviation.mean() == pytest.approx(1.0, abs=0.08)  # the calibration of a trained codec takes the rest back
    assert np.abs(deviation - 1).max() < 0.25  # of one band in 8 s


def test_the_calibration_scales_the_deviation() -> None:
    log_shape = log_shape_of_noise()
    plain, more = (
        SPECTRA.decibels(make(LEVELS, log_shape, calibration=np.full(BANDS, factor, np.float32))).std(axis=0)
        for factor in (1.0, 1.2)
    )
    assert (more / plain).mean() == pytest.approx(1.2, rel=0.03)


def test_the_mean_of_a_band_is_what_is_expected_but_for_the_share_of_chance_that_is_drawn() -> None:
    log_shape = log_shape_of_noise()
    expected = LEVELS + (digamma(np.exp(log_shape)) - log_shape) * 10 / np.log(10)
    away = {
        chance: np.array(
            [SPECTRA.decibels(make(LEVELS, log_shape, seed=seed, chance=chance)).mean(axis=0) for seed in range(6)]
        )
        - expected
        for chance in (0.0, 0.5, 1.0)
    }
    scatter = {chance: float(np.sqrt(np.square(values).mean())) for chance, values in away.items()}
    assert scatter[1.0] > 0.1 and scatter[0.0] < 0.02  # dB
    assert scatter[0.5] / scatter[1.0] == pytest.approx(0.5, abs=0.06)


def test_a_change_of_level_comes_when_it_is_due() -> None:
    levels = np.where(np.arange(FRAMES)[:, None] < FRAMES // 2, LEVELS, LEVELS + 20)
    found = SPECTRA.decibels(make(levels, log_shape_of_noise()))
    half = FRAMES // 2
    before, after = found[4 : half - 4].mean(axis=0), found[half + 4 : -4].mean(axis=0)
    np.testing.assert_allclose(after - before, 20, atol=1)


def height(waveform: np.ndarray, hz: float) -> float:
    """How far a line at a frequency is above the noise around it, in dB, in bins of 0.12 Hz."""
    power = np.abs(np.fft.rfft(waveform.astype(np.float64) * np.hanning(len(waveform)))) ** 2
    place = round(hz / RATE * len(waveform))
    around = np.r_[power[place - 240 : place - 40], power[place + 40 : place + 240]]
    return float(10 * np.log10(power[place - 4 : place + 5].max() / np.median(around)))


def test_a_line_stands_above_the_noise_as_in_a_real_tone_and_not_without_sinusoids() -> None:
    random = np.random.default_rng(5)
    band = 14
    hz = float(ANALYSIS.edges[band : band + 2].mean())
    hz = round(hz * SECONDS) / SECONDS  # a whole number of periods
    tone = 0.03 * np.sin(2 * np.pi * hz * np.arange(SAMPLES) / RATE)
    real = (tone + 0.02 * random.standard_normal(SAMPLES)).astype(np.float32)
    decibels, lines = ANALYSIS.analyse(real)
    assert np.flatnonzero(lines.share).tolist() == [band]
    log = decibels.astype(np.float64)[4:-4] * np.log(10) / 10
    levels = 10 * np.log10(np.exp(log).mean(axis=0))
    import torch

    log_shape = log_shape_of(torch.from_numpy(log.var(axis=0))).numpy()
    made, without = make(levels, log_shape, lines), make(levels, log_shape)
    found = float(ANALYSIS.frequencies(lines)[band])
    assert height(made, found) == pytest.approx(height(real, hz), abs=2)
    assert height(without, found) < height(real, hz) - 10
    apart = np.abs(np.arange(BANDS) - band) != 1  # a neighbour has more of the line's skirts than its own noise
    for waveform in (made, without):  # the log-mel frames do not distinguish them
        away = SPECTRA.decibels(waveform)[4:-4].mean(axis=0) - decibels[4:-4].mean(axis=0)
        assert np.abs(away[apart]).max() < 0.7


@pytest.mark.parametrize("samples", [1, 300, 5001])
def test_any_length_can_be_made_and_follows_from_the_seed(samples: int) -> None:
    first, again, other = (
        make(LEVELS, log_shape_of_noise(), seed=seed, num_samples=samples, rounds=2) for seed in (1, 1, 2)
    )
    assert first.shape == (samples,) and first.dtype == np.float32 and np.isfinite(first).all()
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_digital_silence_stays_silent() -> None:
    waveform = make(np.full(BANDS, -160.0), log_shape_of_noise(), num_samples=5000)
    assert np.isfinite(waveform).all() and np.abs(waveform).max() < 1e-6


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("level", [-1e4, 1e4])
def test_levels_that_no_sound_has_give_a_finite_waveform(level: float) -> None:
    lines = Lines(np.eye(BANDS)[9], np.zeros(BANDS))
    made = make(np.full(BANDS, level), log_shape_of_noise(), lines, num_samples=16000)
    assert np.isfinite(made).all()
    if level > 0:
        loudest = make(np.full(BANDS, 200.0), log_shape_of_noise(), lines, num_samples=16000)
        np.testing.assert_array_equal(made, loudest)

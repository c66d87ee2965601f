"""The building blocks of simulated sounds against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from asdbench.datasets.simulated.background import BAY, HALL, factory_noise
from asdbench.datasets.simulated.grid import Grid
from asdbench.datasets.simulated.impacts import impulses, repeated, ringing, scattered, transmission
from asdbench.datasets.simulated.noise import fluctuation, gain, noise_spectrum, ripple, stretch, unit_shape
from asdbench.datasets.simulated.tones import order_table, play, rotation

GRID = Grid(160000, 16000)
FLAT = ((20.0, 0.0), (8000.0, 0.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("num_samples", [160000, 16001, 23017])
def test_spectrum_and_back_is_the_identity(num_samples: int) -> None:
    grid = Grid(num_samples, 16000)
    waveform = rng().standard_normal(num_samples).astype(np.float32)
    assert grid.frequencies.size == grid.n_fft // 2 + 1
    np.testing.assert_allclose(grid.to_waveform(grid.to_spectrum(waveform)), waveform, atol=1e-5)


def test_knots_cover_the_clip() -> None:
    knots = Grid(1001, 16000).knots(16)
    assert knots[0] == 0.0
    assert knots[-2] * 16000 < 1001 <= knots[-1] * 16000
    np.testing.assert_allclose(np.diff(knots), 16 / 16000)


def test_gain_is_linear_in_decibels_over_log_frequency() -> None:
    factors = gain(((100.0, 0.0), (1000.0, -20.0)), GRID)
    at = {hz: 20 * np.log10(factors[hz * 10]) for hz in (50, 100, 316, 1000, 4000)}  # bins are 0.1 Hz apart
    assert at[50] == pytest.approx(0, abs=1e-4)
    assert at[316] == pytest.approx(-20 * np.log10(3.16), abs=1e-3)
    assert at[4000] == pytest.approx(-20, abs=1e-4)


def test_noise_has_unit_power_and_the_spectrum_that_was_asked_for() -> None:
    curve = ((100.0, 0.0), (1000.0, -6.0), (4000.0, -30.0))
    powers, densities = [], []
    for seed in range(8):
        noise = GRID.to_waveform(noise_spectrum(rng(seed), unit_shape(curve, GRID), GRID))
        powers.append(np.mean(noise**2))
        hz, density = scipy.signal.welch(noise, 16000, nperseg=1600)
        densities.append(density)
    assert np.mean(powers) == pytest.approx(1.0, rel=0.02)
    level = 10 * np.log10(np.mean(densities, axis=0))
    wanted = np.interp(np.log(hz[20:700]), np.log([100, 1000, 4000]), [0, -6, -30])
    deviation = level[20:700] - wanted
    assert np.std(deviation) < 0.4


def test_noise_is_gaussian_and_fresh() -> None:
    noise = GRID.to_waveform(noise_spectrum(rng(1), unit_shape(FLAT, GRID), GRID))
    assert scipy.stats.kurtosis(noise) == pytest.approx(0.0, abs=0.05)
    other = GRID.to_waveform(noise_spectrum(rng(2), unit_shape(FLAT, GRID), GRID))
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.02


def test_ripple_has_the_spread_that_was_asked_for() -> None:
    levels = np.array([20 * np.log10(ripple(rng(seed), GRID, 2.0)[[400, 80000]]) for seed in range(300)])
    np.testing.assert_allclose(levels.std(axis=0), 2.0, rtol=0.15)
    np.testing.assert_allclose(levels.mean(axis=0), 0.0, atol=0.4)


def test_fluctuation_has_spread_and_bandwidth() -> None:
    slow = [fluctuation(rng(seed), GRID, 0.3, rate_hz=2.0) for seed in range(30)]
    assert np.sqrt(np.mean(np.square(slow))) == pytest.approx(0.3, rel=0.12)
    spectrum = np.mean([np.abs(np.fft.rfft(one)) ** 2 for one in slow], axis=0)
    below = np.fft.rfftfreq(GRID.num_samples, 1 / 16000) < 4.0
    assert spectrum[below].sum() > 0.97 * spectrum.sum()


def test_stretch_is_linear_interpolation() -> None:
    values = rng().standard_normal(11)
    np.testing.assert_allclose(stretch(values, 7, 65), np.interp(np.arange(65) / 7, np.arange(11), values))
    with pytest.raises(ValueError, match="do not cover"):
        stretch(values, 7, 71)


def test_rotation_turns_at_its_speed() -> None:
    turns = rotation(rng(), GRID, 30.0, wander=0.002)
    assert (np.diff(turns) > 0).all()
    assert (turns[-1] - turns[0]) / GRID.seconds == pytest.approx(30.0, rel=0.005)


def test_order_table_is_a_sum_of_cosines() -> None:
    angle = np.linspace(0, 3, 1000, endpoint=False)
    wanted = 0.5 * np.cos(2 * np.pi * angle) + 0.2 * np.cos(2 * np.pi * 5 * angle)
    np.testing.assert_allclose(play(order_table(None, {1: 0.5, 5: 0.2}, 100), angle), wanted, atol=1e-3)


def test_order_table_leaves_out_what_would_alias_and_keeps_phases() -> None:
    full = np.fft.rfft(order_table(rng(3), {1: 1.0, 9: 1.0, 12: 1.0}, highest=100))
    cut = np.fft.rfft(order_table(rng(3), {1: 1.0, 9: 0.0, 12: 1.0}, highest=10))
    assert abs(cut[12]) < 1e-3 * abs(full[12])
    assert np.angle(cut[1]) == pytest.approx(np.angle(full[1]), abs=1e-4)


def test_repeated_impacts_drift_like_a_random_walk() -> None:
    times = repeated(rng(), GRID, 200.0, slip=0.02)
    assert times.size == pytest.approx(2000, abs=5)
    assert np.diff(times).std() * 200 == pytest.approx(0.02, rel=0.1)
    assert np.corrcoef(np.diff(times)[:-1], np.diff(times)[1:])[0, 1] == pytest.approx(0, abs=0.08)


def test_scattered_events_are_poisson() -> None:
    counts = [scattered(rng(seed), GRID, 0.5).size for seed in range(400)]
    assert np.mean(counts) == pytest.approx(5.0, abs=0.4)
    assert np.var(counts) == pytest.approx(5.0, abs=1.2)


def test_impulses_keep_area_and_centre() -> None:
    train = impulses(np.array([0.01003, 5.0]), np.array([2.0, -1.0]), GRID)
    assert train[:1000].sum() == pytest.approx(2.0, rel=1e-5)
    centre = (np.arange(1000) * train[:1000]).sum() / train[:1000].sum() / 16000
    assert centre == pytest.approx(0.01003, abs=1e-7)
    assert train[80000] == pytest.approx(-1.0)
    assert not impulses(np.array([-1.0, 10.5]), 1.0, GRID).any()


def test_ringing_is_a_damped_sine() -> None:
    train = np.zeros(16000, dtype=np.float32)
    train[100] = 1.0
    grid = Grid(16000, 16000)
    heard = grid.to_waveform(grid.to_spectrum(train) * ringing(((1000.0, 0.02, 0.7), (9000.0, 0.02, 5.0)), grid))
    time = np.arange(2000) / 16000
    wanted = 0.7 * np.exp(-2 * np.pi * 20 * time) * np.sin(2 * np.pi * 1000 * np.sqrt(1 - 0.02**2) * time)
    # The analogue response is cut at the Nyquist frequency, which rounds the first samples.
    np.testing.assert_allclose(heard[120:2000], wanted[20:1900], atol=0.02)


def test_transmission_peaks_at_its_modes() -> None:
    response = transmission(((500.0, 0.02, 1.0), (3000.0, 0.02, 0.5)), 0.1, GRID)
    peaks, _ = scipy.signal.find_peaks(response)
    np.testing.assert_allclose(GRID.frequencies[peaks], [500, 3000], rtol=0.005)
    assert np.mean(response.astype(float) ** 2) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("factory", [HALL, BAY])
def test_factory_noise_has_unit_power_and_hum(factory) -> None:
    spectra = []
    for seed in range(6):
        noise = factory_noise(rng(seed), GRID, factory)
        assert np.mean(noise.astype(float) ** 2) == pytest.approx(1.0, rel=1e-4)
        hz, density = scipy.signal.welch(noise, 16000, nperseg=16000)
        spectra.append(10 * np.log10(density))
    level = np.mean(spectra, axis=0)
    for tone, _ in factory.hum[:2]:
        near = np.abs(hz - tone) < 2
        around = (np.abs(hz - tone) > 5) & (np.abs(hz - tone) < 15)
        assert level[near].max() > np.median(level[around]) + 4
    assert level[hz == 200] > level[hz == 5000] + 10

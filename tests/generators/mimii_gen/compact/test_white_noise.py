from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from asdbench.generators.mimii_gen.compact.spectra import Spectra
from asdbench.generators.mimii_gen.compact.white_noise import noise_statistics


def test_a_bin_of_its_own_is_exponential_and_the_first_and_last_are_squares_of_normal_variables() -> None:
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)).astype(np.float32)
    found = noise_statistics(window, np.eye(33, dtype=np.float32)[:, [0, 10, 32]])
    power = np.array([1.0, 1.0, 1.0]) * np.square(window).sum()
    np.testing.assert_allclose(found.power, power, rtol=1e-6)
    shape = np.array([0.5, 1.0, 0.5])  # of gamma distributions
    np.testing.assert_allclose(found.log_mean, np.log(power) + digamma(shape) - np.log(shape), atol=1e-5)
    np.testing.assert_allclose(np.square(found.log_std), polygamma(1, shape), rtol=1e-4)


def test_bins_that_do_not_overlap_add_up_to_a_gamma_distribution() -> None:
    window = np.ones(64, dtype=np.float32)  # whose bins are independent
    filters = np.zeros((33, 1), dtype=np.float32)
    filters[5:12] = 0.25
    found = noise_statistics(window, filters)
    expected = np.log(7 * 0.25 * 64) + digamma(7) - np.log(7)
    assert float(found.log_mean[0]) == pytest.approx(expected, abs=1e-5)
    assert float(found.log_std[0]) == pytest.approx(np.sqrt(polygamma(1, 7)), rel=1e-3)


def test_mel_bands_are_as_in_noise_that_is_drawn() -> None:
    spectra = Spectra(16000, 1024, 32)
    random = np.random.default_rng(0)
    power = np.concatenate(
        [spectra.mel(spectra.transform(random.standard_normal(480000).astype(np.float32)))[4:-4] for _ in range(10)]
    )
    log, found = np.log(power), spectra.noise
    # 300 s hold some 12,000 frames that do not overlap by half.
    error = found.log_std / np.sqrt(12_000)
    assert (np.abs(log.mean(axis=0) - found.log_mean) < 4 * error).all()
    np.testing.assert_allclose(log.std(axis=0), found.log_std, rtol=0.03)
    np.testing.assert_allclose(power.mean(axis=0), found.power, rtol=0.04)

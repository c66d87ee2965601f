"""Noise that is less peaked than Gaussian noise: its kurtosis, its power, and what tones have."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.lapped_transform import LappedTransform
from asdbench.generators.texture.peakedness import exponents_for, independent_kurtosis, shaped


def kurtosis(values: np.ndarray) -> float:
    return float(np.mean(values**4) / np.mean(values**2) ** 2)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(400_000)


@pytest.mark.parametrize("wanted", [1.2, 1.5, 2.0, 2.5, 3.0])
def test_noise_has_the_kurtosis_that_is_asked_for_and_unit_power(noise: np.ndarray, wanted: float) -> None:
    made = shaped(noise, exponents_for(np.array(wanted)))
    assert kurtosis(made) == pytest.approx(wanted, rel=0.02)
    assert np.mean(made**2) == pytest.approx(1, rel=0.01)


def test_what_is_more_peaked_than_noise_stays_noise(noise: np.ndarray) -> None:
    np.testing.assert_allclose(shaped(noise, exponents_for(np.array(6.0))), noise)


def test_a_tone_has_half_the_kurtosis_of_noise_in_a_lapped_transform_and_varies_as_one_magnitude() -> None:
    transform, time = LappedTransform(512), np.arange(16000 * 60) / 16000
    tone = transform.transform(np.sin(2 * np.pi * 1003.7 * time))
    loudest = tone[np.argmax((tone**2).mean(axis=1)), 2:-2]
    assert kurtosis(loudest) == pytest.approx(1.5, abs=0.02)
    assert independent_kurtosis(np.array([1.5, 3.0])) == pytest.approx([1.0, 3.0])

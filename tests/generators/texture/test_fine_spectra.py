"""Spectra in narrow bands of a background and of events: against noise of known power, and a window's closed form."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.fine_spectra import fine_spectra, in_long_frames
from asdbench.generators.texture.lapped_transform import LappedTransform

BANDS, FRAMES = 16, 4000


def test_background_and_events_are_separated() -> None:
    random = np.random.default_rng(0)
    background, factor = random.uniform(1, 4, BANDS), random.uniform(0.3, 3, BANDS)
    added = np.where(np.arange(FRAMES) % 10 < 3, 10.0, 0.0) * np.ones((BANDS, 1))
    variance = background[:, None] + factor[:, None] * added
    power = variance * random.chisquare(1, variance.shape)
    found, ratio = fine_spectra(power, np.full(BANDS, background.mean()), added)
    np.testing.assert_allclose(found, background, rtol=0.12)
    np.testing.assert_allclose(ratio, factor, rtol=0.2)


def test_without_noise_both_are_exact() -> None:
    added = np.tile(np.r_[0.0, 5.0], (BANDS, 2500))
    background, factor = np.linspace(1, 2, BANDS), np.linspace(0.5, 2, BANDS)
    found, ratio = fine_spectra(background[:, None] + factor[:, None] * added, background, added)
    np.testing.assert_allclose(found, background, rtol=0.005)
    np.testing.assert_allclose(ratio, factor, rtol=0.02)


def test_what_has_no_evidence_stays_as_it_was() -> None:
    background = np.linspace(1, 2, BANDS)
    found, ratio = fine_spectra(np.tile(background[:, None], 50), background, np.zeros((BANDS, 50)))
    np.testing.assert_allclose(found, background, rtol=1e-6)
    np.testing.assert_allclose(ratio, 1, rtol=1e-6)


def test_silence_is_no_division_by_zero() -> None:
    with np.errstate(all="raise"):
        found, ratio = fine_spectra(np.zeros((BANDS, 50)), np.zeros(BANDS), np.zeros((BANDS, 50)))
    assert np.isfinite(found).all() and np.isfinite(ratio).all()


def test_long_frames_have_the_power_that_their_window_covers() -> None:
    """Noise whose power is known in short frames has the power that is predicted in those of a real long transform."""
    ratio, frames = 4, 64
    power = np.ones((128, frames))
    power[:, 30] = 400.0
    predicted = in_long_frames(power, ratio)
    assert predicted.shape == (512, frames // ratio)
    short, long = LappedTransform(128), LappedTransform(512)
    random = np.random.default_rng(0)
    waves = [short.inverse(random.standard_normal((128, frames)) * np.sqrt(power)) for _ in range(64)]
    measured = np.mean([np.square(long.transform(wave)).mean(axis=0) for wave in waves], axis=0)
    np.testing.assert_allclose(predicted[0], measured, rtol=0.3)
    assert predicted[0].sum() == pytest.approx(measured.sum(), rel=0.05)
    assert predicted[0].argmax() == measured.argmax() == 7


def test_a_cut_last_frame_counts() -> None:
    assert in_long_frames(np.ones((2, 9)), 4).shape == (8, 3)
    np.testing.assert_allclose(in_long_frames(np.ones((2, 9)), 4), 1)


def test_equal_frames_have_equal_power() -> None:
    power = np.random.default_rng(1).random((4, 9))
    np.testing.assert_array_equal(in_long_frames(power, 1), power)

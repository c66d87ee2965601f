"""Spectra in narrow bands of a background and of events: against noise of known power, and a window's closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asdbench.generators.mimii_gen.latents.fine_spectra import fine_spectra, in_long_frames
from asdbench.generators.mimii_gen.latents.lapped_transform import LappedTransform

BANDS, FRAMES = 16, 4000


def test_background_and_events_are_told_apart() -> None:
    random = np.random.default_rng(0)
    background, factor = random.uniform(1, 4, BANDS), random.uniform(0.3, 3, BANDS)
    added = np.where(np.arange(FRAMES) % 10 < 3, 10.0, 0.0) * np.ones((BANDS, 1))
    variance = background[:, None] + factor[:, None] * added
    power = variance * random.chisquare(1, variance.shape)
    found, heard = fine_spectra(power, np.full(BANDS, background.mean()), added)
    np.testing.assert_allclose(found, background, rtol=0.12)
    np.testing.assert_allclose(heard, factor, rtol=0.2)


def test_without_noise_both_are_exact() -> None:
    added = np.tile(np.r_[0.0, 5.0], (BANDS, 2500))
    background, factor = np.linspace(1, 2, BANDS), np.linspace(0.5, 2, BANDS)
    found, heard = fine_spectra(background[:, None] + factor[:, None] * added, background, added)
    np.testing.assert_allclose(found, background, rtol=0.005)
    np.testing.assert_allclose(heard, factor, rtol=0.02)


def test_what_is_not_heard_stays_as_it_was() -> None:
    background = np.linspace(1, 2, BANDS)
    found, heard = fine_spectra(np.tile(background[:, None], 50), background, np.zeros((BANDS, 50)))
    np.testing.assert_allclose(found, background, rtol=1e-6)
    np.testing.assert_allclose(heard, 1, rtol=1e-6)


def test_silence_is_no_division_by_zero() -> None:
    with np.errstate(all="raise"):
        found, heard = fine_spectra(np.zeros((BANDS, 50)), np.zeros(BANDS), np.zeros((BANDS, 50)))
    assert np.isfinite(found).all() and np.isfinite(heard).all()


def test_long_frames_hear_what_their_window_covers() -> None:
    """Noise whose power is known in short frames has the power that is told in those of a real long transform."""
    ratio, frames = 4, 64
    power = np.ones((128, frames))
    power[:, 30] = 400.0
    told = in_long_frames(power, ratio)
    assert told.shape == (512, frames // ratio)
    short, long = LappedTransform(128), LappedTransform(512)
    noise = torch.randn(64, 128, frames, generator=torch.Generator().manual_seed(0))
    waves = short.inverse(noise * torch.from_numpy(np.sqrt(power)).float())
    heard = long.transform(waves).square().mean(dim=(0, 1)).numpy()
    np.testing.assert_allclose(told[0], heard, rtol=0.3)
    assert told[0].sum() == pytest.approx(heard.sum(), rel=0.05)
    assert told[0].argmax() == heard.argmax() == 7


def test_a_cut_last_frame_counts() -> None:
    assert in_long_frames(np.ones((2, 9)), 4).shape == (8, 3)
    np.testing.assert_allclose(in_long_frames(np.ones((2, 9)), 4), 1)

"""Moments of the envelopes of narrow bands: measured against closed forms and SciPy's spectrogram, and given."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from asdbench.generators.texture.envelope_moments import group_count, moments_of, with_moments
from asdbench.generators.texture.lapped_transform import LappedTransform

RATE, SECONDS = 16000, 8
FRAMES = SECONDS * RATE // 512
ONE = np.ones((512, FRAMES))
OF_NOISE = 0.4


@pytest.fixture(scope="module")
def transform() -> LappedTransform:
    return LappedTransform(512)


def coefficients_of(waveform: np.ndarray, transform: LappedTransform) -> np.ndarray:
    return transform.transform(waveform)


def noise(seed: int, power: np.ndarray = ONE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((512, FRAMES)) * np.sqrt(power)


def events() -> np.ndarray:
    """Power of a sound that comes and goes, and has a colour."""
    colour = np.exp(np.random.default_rng(3).normal(0, 0.6, (512, 1)))
    return np.where(np.arange(FRAMES) % 50 < 20, 36.0, 1.0) * colour


def test_groups_are_two_bands_wide_and_end_at_500_hz(transform: LappedTransform) -> None:
    assert group_count(transform) == 500 / 31.25
    assert [found.shape for found in moments_of(noise(0), ONE, transform)] == [(16,), (16,)]
    assert group_count(LappedTransform(128)) == 4


def test_a_tone_that_is_loud_every_other_second(transform: LappedTransform) -> None:
    """Half of the time its amplitude is that of a, and else b: the mean of the logs, and half of their difference."""
    times, loud, soft = np.arange(SECONDS * RATE) / RATE, 0.5, 0.1
    tone = np.cos(2 * np.pi * 203.125 * times)  # in the middle of a group
    alternating = coefficients_of(np.where(times // 1 % 2, loud, soft) * tone, transform)
    means, deviations = moments_of(alternating, ONE, transform)
    assert np.exp(deviations[6]) * OF_NOISE == pytest.approx(np.log(loud / soft) / 2, rel=0.06)
    steady = moments_of(coefficients_of(np.sqrt(loud * soft) * tone, transform), ONE, transform)
    assert means[6] == pytest.approx(steady[0][6], abs=0.05)
    assert np.exp(steady[1][6]) * OF_NOISE < 0.1  # but for the ends of the clip


def test_they_are_those_of_a_spectrogram(transform: LappedTransform) -> None:
    """SciPy's frames begin elsewhere, which moments over a clip of noise do not show."""
    clip = noise(1, np.linspace(0.25, 4, 512)[:, None] * ONE)
    means, deviations = moments_of(clip, ONE, transform)
    window = hann(1024, sym=False)
    waveform = transform.inverse(clip)
    power = ShortTimeFFT(window, 512, RATE).spectrogram(waveform)[:, 1:-2] / np.square(window).sum()
    for group, first in ((2, 4), (10, 20)):
        beside = (power[first] + 2 * power[first + 1] + power[first + 2]) / 4
        assert means[group] == pytest.approx(np.log(beside).mean() / 2, abs=0.05)
        assert np.exp(deviations[group]) * OF_NOISE == pytest.approx(np.log(beside).std() / 2, rel=0.15)


def test_noise_with_the_power_of_its_model_differs_from_it_as_white_noise_does(transform: LappedTransform) -> None:
    white, like_its_model, unlike = (
        np.mean([moments_of(noise(seed, power), model, transform) for seed in range(8)], axis=0)
        for power, model in ((ONE, ONE), (events(), events()), (events(), ONE))
    )
    assert -0.2 < white[0].mean() < -0.1  # the log of the mean of few squares is less than that of many
    np.testing.assert_allclose(white[1], 0, atol=0.15)
    assert np.abs(like_its_model - white).mean() < 0.1 < 0.5 < np.abs(unlike - white).mean()


def test_a_louder_coefficients_of_a_louder_model_differs_as_much(transform: LappedTransform) -> None:
    soft, loud = (moments_of(noise(2, scale * ONE), scale * ONE, transform) for scale in (1, 1e4))
    for one, other in zip(soft, loud, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_clip_is_made_to_differ_from_its_model_as_another_one(transform: LappedTransform) -> None:
    clip, power = noise(3), ONE
    wanted = moments_of(noise(4, events()), power, transform)
    before, after = (
        moments_of(made, power, transform) for made in (clip, with_moments(clip, power, transform, *wanted))
    )
    left = [
        np.abs(became - aim).mean() / np.abs(was - aim).mean()
        for was, became, aim in zip(before, after, wanted, strict=True)
    ]
    assert left[0] < 0.3  # groups leak into each other
    assert left[1] < 0.6  # frames overlap


def test_own_moments_change_nothing(transform: LappedTransform) -> None:
    clip = noise(5, events())
    np.testing.assert_allclose(with_moments(clip, ONE, transform, *moments_of(clip, ONE, transform)), clip)


def test_an_envelope_is_stretched_where_it_is_loud_and_not_without_end(transform: LappedTransform) -> None:
    click = np.where(np.arange(FRAMES) == 100, 1e4, 1.0) * ONE
    clip = noise(6, click)
    means, deviations = moments_of(clip, ONE, transform)
    more, far = (with_moments(clip, ONE, transform, means, deviations + change) for change in (0.15, 5))
    less = with_moments(clip, ONE, transform, means, deviations - 5)
    np.testing.assert_allclose(less, with_moments(clip, ONE, transform, means, deviations - 1))  # to a half, at most
    gains = [np.log((made / clip)[:32]) for made in (more, far, less)]
    assert (gains[0][:, 80:120].argmax(axis=1) == 20).all()
    for gain in gains[1:]:
        assert np.abs(gain).max() == pytest.approx(1, abs=1e-3)
    assert (gains[2][:, 100] < -0.9).all()
    np.testing.assert_allclose(far[32:], clip[32:])


def test_digital_silence_in_part_of_a_clip_is_not_what_it_sounds_like(transform: LappedTransform) -> None:
    whole = noise(7)
    part = whole * (np.arange(FRAMES) < FRAMES * 0.8)
    for one, other in zip(moments_of(whole, ONE, transform), moments_of(part, ONE, transform), strict=True):
        assert np.abs(one - other).mean() < 0.1


def test_silence_has_moments_and_stays_silent(transform: LappedTransform) -> None:
    silent = np.zeros((512, FRAMES))
    for power in (ONE, 0 * ONE):
        means, deviations = moments_of(silent, power, transform)
        assert np.isfinite(means).all() and np.isfinite(deviations).all()
        assert not with_moments(silent, power, transform, means + 1, deviations + 1).any()

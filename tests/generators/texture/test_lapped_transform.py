"""The lapped transform: perfect reconstruction, orthogonality, and the formula that defines it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asdbench import UserError
from asdbench.generators.texture.lapped_transform import LappedTransform, default_bands


def sound(num_samples: int, scale: float = 0.1) -> np.ndarray:
    return scale * np.random.default_rng(0).standard_normal(num_samples)


@pytest.mark.parametrize("bands", [2, 16, 128, 512, 1408])
@pytest.mark.parametrize("extra", [0, 1, -1])
def test_reconstruction_is_perfect_for_any_length(bands: int, extra: int) -> None:
    transform = LappedTransform(bands)
    for frames in (1, 2, 7):
        waveform = sound(frames * bands + extra)
        coefficients = transform.transform(waveform)
        assert coefficients.shape == (bands, transform.num_frames(len(waveform)))
        back = transform.inverse(coefficients)
        np.testing.assert_allclose(back[: len(waveform)], waveform, atol=1e-14)
        np.testing.assert_allclose(back[len(waveform) :], 0, atol=1e-14)


def test_energy_is_kept() -> None:
    waveform = sound(64 * 20)
    energy = np.square(LappedTransform(64).transform(waveform)).sum()
    assert energy == pytest.approx(np.square(waveform).sum(), rel=1e-12)


def test_the_transform_is_orthogonal() -> None:
    transform = LappedTransform(8)
    rows = np.array([transform.transform(impulse).ravel() for impulse in np.eye(24)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(24), atol=1e-14)


def test_the_inverse_is_the_transpose() -> None:
    transform, random = LappedTransform(16), np.random.default_rng(1)
    waveform, coefficients = random.standard_normal(16 * 5), random.standard_normal((16, 5))
    there, back = transform.transform(waveform), transform.inverse(coefficients)
    assert np.vdot(there, coefficients) == pytest.approx(np.vdot(waveform, back))


def test_the_window_satisfies_princen_and_bradley() -> None:
    window = LappedTransform(128).window
    np.testing.assert_allclose(window[:128] ** 2 + window[128:] ** 2, 1, atol=1e-14)
    np.testing.assert_allclose(window, window[::-1], atol=1e-14)


@pytest.mark.parametrize("size", [2, 16, 96])
def test_coefficients_are_those_of_the_formula(size: int) -> None:
    frames = 6
    x = sound(size * frames)
    found = LappedTransform(size).transform(x)
    n, band = np.arange(2 * size), np.arange(size)
    cosines = np.cos(math.pi / size * (n[:, None] + 0.5 + size / 2) * (band + 0.5))
    window = np.sin(math.pi / (2 * size) * (n + 0.5))
    for frame in range(1, frames - 1):
        block = x[frame * size - size // 2 : frame * size + 3 * size // 2]
        np.testing.assert_allclose(found[:, frame], math.sqrt(2 / size) * (window * block) @ cosines, atol=1e-13)


def test_windows_are_cut_straight_at_the_ends() -> None:
    """The first block sees nothing before the clip, all of its first half frame, and then the usual slope."""
    size = 16
    x = sound(3 * size)
    n, band = np.arange(2 * size), np.arange(size)
    cosines = math.sqrt(2 / size) * np.cos(math.pi / size * (n[:, None] + 0.5 + size / 2) * (band + 0.5))
    window = np.sin(math.pi / (2 * size) * (n + 0.5))
    window[: size // 2], window[size // 2 : size] = 0, 1
    block = np.r_[np.zeros(size // 2), x[: 3 * size // 2]]
    found = LappedTransform(size).transform(x)
    np.testing.assert_allclose(found[:, 0], (window * block) @ cosines, atol=1e-13)
    block = np.r_[x[-3 * size // 2 :], np.zeros(size // 2)]
    np.testing.assert_allclose(found[:, -1], (window[::-1] * block) @ cosines, atol=1e-13)


def test_a_tone_lies_in_its_band() -> None:
    tone = np.sin(2 * math.pi * 1000 * np.arange(16000) / 16000)  # the middle of band 16 of 62.5 Hz each
    power = np.square(LappedTransform(128).transform(tone)[:, 2:-2]).mean(axis=1)
    assert power[15:17].sum() / power.sum() > 0.99


def test_what_cannot_be_transformed_is_refused() -> None:
    transform = LappedTransform(128)
    assert [transform.num_frames(n) for n in (1, 128, 129, 160000)] == [1, 1, 2, 1250]
    for waveform in (np.zeros(0), np.zeros((1, 100))):
        with pytest.raises(ValueError, match="expected a waveform of shape"):
            transform.transform(waveform)
    for coefficients in (np.zeros((64, 3)), np.zeros(128), np.zeros((128, 0))):
        with pytest.raises(ValueError, match="expected coefficients of shape"):
            transform.inverse(coefficients)


def test_frames_last_32_ms_by_default() -> None:
    assert default_bands(16000) == 512
    for rate in (8000, 22050, 32000, 44100, 48000):
        bands = default_bands(rate)
        assert bands % 64 == 0 and bands / rate == pytest.approx(0.032, rel=0.07)
    assert default_bands(1000) == 64 and default_bands(768000) == 4096


def test_a_transform_is_read_back() -> None:
    assert len({LappedTransform(*made).identity for made in ((128,), (512,), (128, 8000))}) == 3
    transform = LappedTransform(512, 8000)
    assert LappedTransform.from_dict(transform.to_dict()) == transform


@pytest.mark.parametrize("bands", [0, 7, 5000])
def test_what_is_no_transform_is_refused(bands: int) -> None:
    with pytest.raises(UserError, match=f"bands is {bands}, expected an even number"):
        LappedTransform(bands)


@pytest.mark.parametrize(
    "data",
    [None, {}, {"bands": 4}, {"bands": 4.0, "sample_rate": 1}, {"bands": 4, "sample_rate": 0}],
)
def test_what_describes_no_transform_is_refused(data: object) -> None:
    with pytest.raises(UserError, match="transform"):
        LappedTransform.from_dict(data)

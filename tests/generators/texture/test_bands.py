"""Bands of a clip: levels, motion, and groups by pitch."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.bands import group_edges, motion_of, unit_bands


def test_bands_are_levels_and_what_is_left_at_unit_level() -> None:
    coefficients = np.random.default_rng(0).standard_normal((64, 40)) * np.geomspace(1e-4, 10, 64)[:, None]
    unit, levels = unit_bands(coefficients)
    np.testing.assert_allclose(np.square(unit).mean(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(unit * np.exp(levels)[:, None], coefficients)


def test_silence_has_a_level() -> None:
    unit, levels = unit_bands(np.zeros((64, 10)))
    assert not unit.any() and np.isfinite(levels).all()


def test_motion_distinguishes_noise_from_what_comes_and_goes() -> None:
    noise = np.random.default_rng(0).standard_normal((512, 300))
    assert motion_of(unit_bands(noise)[0]) < 0.01
    assert motion_of(unit_bands(noise * (1 + 4 * (np.arange(300) % 50 < 5)))[0]) > 0.5


def test_groups_of_bands_fill_the_spectrum_and_grow() -> None:
    edges = group_edges(512, 16000, 0.75)
    assert edges[0] == 0 and edges[-1] == 512
    widths = np.diff(edges)[:-1]
    assert widths.min() == 4 and (np.diff(widths) >= -1).all() and widths[-1] > 10


@pytest.mark.parametrize("rate", [8000, 48000])
def test_groups_lie_at_the_same_frequencies_at_any_rate(rate: int) -> None:
    usual, other = group_edges(512, 16000, 0.75), group_edges(512 * rate // 16000, rate, 0.75)
    shared = min(len(usual), len(other)) - 1
    np.testing.assert_array_equal(usual[:shared], other[:shared])

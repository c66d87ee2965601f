"""The interval of the mean |gap|: closed forms, and how often it holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from asdbench.compare.gaps import mean_abs_interval


def interval(gaps: list[float], deviations: list[float] | float, confidence: float = 0.95) -> tuple[float, float]:
    found = np.asarray(gaps, dtype=float)
    return mean_abs_interval(found, np.broadcast_to(np.asarray(deviations, dtype=float), found.shape), confidence)


def test_without_noise_it_is_the_value() -> None:
    assert interval([0.1, -0.3, 0.2], 0.0) == (pytest.approx(0.2), pytest.approx(0.2))
    assert interval([0.0, 0.0], 0.0) == (0.0, 0.0)


def test_undefined_deviations_give_no_interval() -> None:
    assert all(math.isnan(limit) for limit in interval([0.1, 0.2], [0.1, math.nan]))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_far_from_zero_it_is_that_of_a_mean_of_normal_values(confidence: float) -> None:
    gaps, deviations = [0.5, -0.6, 0.9, 0.4], [0.01, 0.02, 0.015, 0.005]
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt(sum(s**2 for s in deviations)) / 4
    low, high = interval(gaps, deviations, confidence)
    assert low == pytest.approx(0.6 - half, abs=1e-9)
    assert high == pytest.approx(0.6 + half, abs=1e-9)


def test_one_machine_near_zero_is_a_folded_normal() -> None:
    """Limits solve E|N(t, s)| = |gap| ± z s, where scipy has the mean of the folded normal."""
    gap, spread = 0.05, 0.04
    half = stats.norm.ppf(0.975) * spread
    low, high = interval([-gap], [spread])
    assert low == 0.0
    assert stats.foldnorm.mean(high / spread, scale=spread) == pytest.approx(gap + half, rel=1e-9)


def test_gaps_of_zero_start_at_zero() -> None:
    low, high = interval([0.0, 0.0, 0.0], 0.05)
    assert low == 0.0
    half = stats.norm.ppf(0.975) * 0.05 / math.sqrt(3)
    assert 0 <= high <= half
    # The limits are folded means of equal truths.
    assert stats.foldnorm.mean(high / 0.05, scale=0.05) == pytest.approx(max(half, stats.foldnorm.mean(0, scale=0.05)))


def test_signs_and_the_order_of_machines_do_not_matter() -> None:
    gaps, deviations = [0.02, -0.07, 0.15], [0.03, 0.05, 0.04]
    expected = interval(gaps, deviations)
    assert interval([-gap for gap in gaps], deviations) == pytest.approx(expected)
    assert interval(gaps[::-1], deviations[::-1]) == pytest.approx(expected)


def test_it_scales_with_its_unit() -> None:
    low, high = interval([0.02, -0.07, 0.15], [0.03, 0.05, 0.04])
    assert interval([2, -7, 15], [3, 5, 4]) == (pytest.approx(100 * low), pytest.approx(100 * high))


def test_noise_moves_the_lower_limit_down_and_confidence_widens() -> None:
    gaps = [0.05, -0.06, 0.04, 0.07]
    lows = [interval(gaps, spread)[0] for spread in (0.001, 0.01, 0.03, 0.1)]
    assert lows == sorted(lows, reverse=True) and lows[-1] == 0
    narrow, wide = interval(gaps, 0.03, 0.5), interval(gaps, 0.03, 0.99)
    assert wide[0] <= narrow[0] <= narrow[1] < wide[1]


@pytest.mark.parametrize(
    "truth",
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.01, -0.01, 0.01, -0.01, 0.01],
        [0.06, 0.05, -0.07, 0.06, 0.05],
        [0.2, 0.0, 0.0, 0.0, 0.0],
        [0.3, -0.2, 0.25, 0.2, 0.1],
    ],
    ids=["none", "small", "of the size of the noise", "one machine", "large"],
)
def test_it_holds_the_truth_as_often_as_it_says(truth: list[float]) -> None:
    rng = np.random.default_rng(0)
    deviations = np.array([0.03, 0.05, 0.06, 0.04, 0.05])
    observed = truth + deviations * rng.standard_normal((400, 5))
    limits = np.array([mean_abs_interval(gaps, deviations, 0.95) for gaps in observed])
    value = np.abs(truth).mean()
    inside = np.mean((limits[:, 0] <= value + 1e-12) & (value <= limits[:, 1]))
    assert 0.92 <= inside <= 1


def test_gaps_that_are_large_against_their_noise_are_solved_too() -> None:
    """Where folding does not matter the expected value rounds to the truth, from either side."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        gaps, deviations = rng.uniform(0.25, 0.4, 5), rng.uniform(0.02, 0.03, 5)
        low, high = mean_abs_interval(gaps, deviations, 0.95)
        half = 1.959964 * np.sqrt((deviations**2).sum()) / 5
        np.testing.assert_allclose([low, high], [gaps.mean() - half, gaps.mean() + half], atol=1e-6)

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from asdbench.compare.estimates import placements
from asdbench.compare.perfect import MIN_SPLIT, Placed, Side, floor_draws, holm, perfect_p
from asdbench.compare.power import perfect_gap
from asdbench.compare.testsets import Replicate
from asdbench.compare.verdict import clips_for_equivalence, verdict

MADE = ("anomaly", "made", 0)


def placed(placements: np.ndarray) -> Placed:
    return Placed(placements, placements)


def side(real: np.ndarray, made: np.ndarray, other: int = 50) -> Side:
    return Side({0: placed(real)}, {MADE: {Replicate(0, 0): placed(made)}}, other)


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, then not below the one before: 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([0.5, math.nan, 0.9])
    assert found[0] == pytest.approx(1.0) and math.isnan(found[1]) and found[2] == 1.0
    assert holm([]) == []


def test_p_is_the_two_sample_test() -> None:
    """The classical test with the variance within sets, turned into total variance: t^2 / (1 + t^2 / f) here."""
    rng = np.random.default_rng(1)
    real, made = rng.random(30), rng.random(45) ** 2
    gap = made.mean() - real.mean()
    both = np.concatenate([real, made])
    statistic = gap / math.sqrt(both.var(ddof=1) * (1 / 30 + 1 / 45))
    # A permutation test knows the total variance only: its p-value is the oracle.
    draws = np.array([rng.permutation(both) for _ in range(20000)])
    permuted = draws[:, 30:].mean(axis=1) - draws[:, :30].mean(axis=1)
    assert np.std(permuted) == pytest.approx(gap / statistic, rel=0.02)
    assert perfect_p(gap, [side(real, made)]) == pytest.approx((np.abs(permuted) >= abs(gap)).mean(), abs=0.006)


def test_p_where_nothing_varies() -> None:
    ones = np.ones(25)
    assert perfect_p(0.0, [side(ones, ones)]) == 1
    # All clips of one set above, all of the other below: as far from a perfect generator as can be.
    assert perfect_p(-1.0, [side(ones, np.zeros(25))]) < 1e-6


def test_several_seeds_of_one_detector_are_one_seed_with_more_generated_clips() -> None:
    rng = np.random.default_rng(2)
    real, made = rng.random(40), [rng.random(20) for _ in range(3)]
    pools = {("anomaly", "made", k): {Replicate(k, k): placed(clips)} for k, clips in enumerate(made)}
    several = Side(dict.fromkeys(range(3), placed(real)), pools, 50)
    gap = float(np.mean([clips.mean() for clips in made]) - real.mean())
    one = perfect_p(gap, [side(real, np.concatenate(made))])
    assert perfect_p(gap, [several]) == pytest.approx(one, abs=0.02)


def test_the_same_clips_with_every_seed_are_one_seed() -> None:
    rng = np.random.default_rng(6)
    real, made = rng.random(40), rng.random(25)
    group = {Replicate(0, seed): placed(made) for seed in range(3)}
    again = Side({0: placed(real)}, {("anomaly", "made", "recordings"): group}, 50)
    gap = float(made.mean() - real.mean())
    assert perfect_p(gap, [again]) == pytest.approx(perfect_p(gap, [side(real, made)]), abs=0.01)
    draws, _ = floor_draws([again], 0.5, rng, draws=20000)
    assert draws.var() == pytest.approx(real.var(ddof=1) * (1 / 40 + 1 / 25), rel=0.04)


def test_halves_are_rescaled_to_the_sizes_of_the_sets() -> None:
    """Variance S^2 (1 / m + 1 / n), for even and odd m: not the twice as large one of a difference of halves."""
    rng = np.random.default_rng(3)
    for clips, size in ((40, 40), (41, 41), (30, 120)):
        real = rng.random(clips)
        draws, method = floor_draws([side(real, rng.random(size))], 0.7, rng, draws=20000)
        assert method == "split halves"
        assert draws.mean() == pytest.approx(0, abs=0.003)
        assert draws.var() == pytest.approx(real.var(ddof=1) * (1 / clips + 1 / size), rel=0.04)


def test_floor_is_that_of_repeated_experiments() -> None:
    """Expected |gap| of a perfect generator at 50 and 50 clips, from 50 real clips and from too few."""
    rng = np.random.default_rng(4)
    shift, found = 0.7, []
    for _ in range(40):
        normal, real = rng.normal(size=50), rng.normal(shift, size=50)
        own = placements(normal, real)[1]
        found.append(np.abs(floor_draws([side(own, own)], own.mean(), rng, draws=500)[0]).mean())
    truth = perfect_gap(0.6897, 50, 50, 50) * math.sqrt(2 / math.pi)
    assert np.mean(found) == pytest.approx(truth, rel=0.06)
    few = np.linspace(0, 1, MIN_SPLIT - 1)
    draws, method = floor_draws([side(few, few)], 0.6897, rng)
    assert method == "binormal"
    assert np.abs(draws).mean() == pytest.approx(
        perfect_gap(0.6897, 50, MIN_SPLIT - 1, MIN_SPLIT - 1) * math.sqrt(2 / math.pi), rel=0.01
    )


def test_floor_where_classes_are_separated_is_not_zero() -> None:
    ones = np.ones(50)
    draws, method = floor_draws([side(ones, ones)], 1.0, np.random.default_rng(5))
    assert method == "binormal"
    assert 0.001 < np.abs(draws).mean() < 0.02


INSIDE, OUTSIDE, NONE = (-0.03, 0.045), (-0.06, 0.03), (math.nan, math.nan)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.01, INSIDE, 0.9, 0.01, 0.02), "equivalent"),
        ((0.01, INSIDE, 0.01, 0.01, 0.02), "equivalent"),  # found not to be zero, and shown not to matter
        ((0.01, OUTSIDE, 0.9, 0.01, 0.02), "indistinguishable"),  # the interval leaves the margin
        ((0.0, (-0.49, 0.49), 1.0, 0.0, 0.3), "too few"),
        ((0.01, NONE, 0.9, 0.01, 0.02), "indistinguishable"),
        ((0.2, OUTSIDE, 0.01, 1.0, 0.1), "different"),
        ((0.04, OUTSIDE, 0.3, 0.4, 0.1), "too few"),
        ((0.04, OUTSIDE, 0.3, 0.4, 0.05), "indistinguishable"),
        ((0.04, NONE, math.nan, math.nan, 0.3), "too few"),
        ((0.04, NONE, math.nan, math.nan, math.nan), "too few"),
        ((math.nan, NONE, math.nan, math.nan, math.nan), ""),
    ],
)
def test_the_first_that_applies_is_the_verdict(arguments: Any, expected: str) -> None:
    assert verdict(*arguments, margin=0.05, alpha=0.05) == expected


def test_clips_that_equivalence_takes() -> None:
    """The rule of three."""
    assert clips_for_equivalence(0.05, 0.05) == 60
    assert clips_for_equivalence(0.03, 0.05) == 100
    assert clips_for_equivalence(0.1, 0.05) == 30

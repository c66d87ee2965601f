from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asdbench.compare import estimates
from asdbench.compare.bootstrap import delong_se, draw_weights, weighted_aucs, weighted_partial_aucs
from asdbench.compare.estimates import (
    Estimate,
    auc_estimate,
    equivalence_p,
    gap_interval,
    harmonic_mean_of,
    in_strata,
    mean_interval,
    mean_of,
    mover,
    newcombe_interval,
    partial_auc_estimate,
    score_interval,
)
from asdbench.metrics.detection import mann_whitney_auc, standardised_partial_auc
from asdbench.metrics.official import harmonic_mean

NORMAL, REAL, MADE = ("normal", "real", -1), ("anomaly", "real", -1), ("anomaly", "made", 0)

small = st.lists(st.integers(0, 6), min_size=2, max_size=20)


def scores(seed: int, n: int = 40, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(shift, size=n), rng.normal(shift, size=n)


@given(small, small)
def test_placements_are_shares_of_pairs(normal: list[int], anomaly: list[int]) -> None:
    x, y = np.array(normal, dtype=float), np.array(anomaly, dtype=float)
    wins = (y[None] > x[:, None]) + 0.5 * (y[None] == x[:, None])
    of_normal, of_anomaly = estimates.placements(x, y)
    np.testing.assert_allclose(of_normal, wins.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(of_anomaly, wins.mean(axis=0), atol=1e-12)


def test_delong_by_hand() -> None:
    # Normal 0, 2; anomalous 1, 3. Placements of the anomalies 1/2, 1, of the normal clips 1, 1/2: variance 1/8 each.
    estimate = auc_estimate(np.array([0.0, 2.0]), np.array([1.0, 3.0]), NORMAL, REAL)
    assert estimate.value == 0.75
    assert estimate.variance == pytest.approx(1 / 8 / 2 + 1 / 8 / 2)
    # 0.125 / (0.75 * 0.25) on the logit scale; one degree of freedom from each of two equal parts: two in all.
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.125) / (0.75 * 0.25)
    expected = [1 / (1 + math.exp(-(math.log(3) + sign * half))) for sign in (-1, 1)]
    assert score_interval(estimate, 0.95) == pytest.approx(expected)


@given(small, small)
def test_influences_of_the_partial_auc_are_its_derivatives(normal: list[int], anomaly: list[int]) -> None:
    """Weighting one clip a little more changes the value as its influence says."""
    rng = np.random.default_rng(len(normal) * 100 + len(anomaly))
    x = np.array(normal) + 0.01 * rng.random(len(normal))  # no ties: there the value has a kink
    y = np.array(anomaly) + 0.01 * rng.random(len(anomaly))
    max_fpr = 0.3123
    estimate = partial_auc_estimate(x, y, NORMAL, REAL, max_fpr)
    step = 10**6
    for pool, clips in ((NORMAL, x), (REAL, y)):
        influence = estimate.influence[pool] - estimate.influence[pool].mean()
        for clip in range(len(clips)):
            weights = [np.full((1, len(c)), step, dtype=np.uint32) for c in (x, y)]
            weights[pool is REAL][0, clip] += 1
            more = weighted_partial_aucs(x, y, weights[0], weights[1], max_fpr)[0]
            change = (more - estimate.value) * step * len(clips)
            assert change == pytest.approx(influence[clip], abs=1e-3)


@given(small, small)
def test_weighted_partial_aucs_are_those_of_the_resampled_clips(normal: list[int], anomaly: list[int]) -> None:
    x, y = np.array(normal, dtype=float), np.array(anomaly, dtype=float)
    rng = np.random.default_rng(2)
    of_normal, of_anomaly = draw_weights(len(x), 10, rng), draw_weights(len(y), 10, rng)
    found = weighted_partial_aucs(x, y, of_normal, of_anomaly)
    for b in range(10):
        expected = standardised_partial_auc(np.repeat(x, of_normal[b]), np.repeat(y, of_anomaly[b]))
        assert found[b] == pytest.approx(expected, abs=1e-9)


def test_variance_of_the_partial_auc_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(3)
    draws = [(rng.normal(size=150), rng.normal(1.5, size=150)) for _ in range(1500)]
    spread = np.std([standardised_partial_auc(x, y) for x, y in draws])
    claimed = np.mean([partial_auc_estimate(x, y, NORMAL, REAL).variance for x, y in draws[:300]])
    assert math.sqrt(claimed) == pytest.approx(spread, rel=0.07)


def test_means_share_the_clips() -> None:
    x, y, _ = scores(4)
    one = auc_estimate(x, y, NORMAL, REAL)
    assert mean_of([one, one, one]).variance == pytest.approx(one.variance)
    other = auc_estimate(x + 100, y + 100, ("normal", "other"), ("anomaly", "other"))
    assert mean_of([one, other]).variance == pytest.approx(one.variance / 2)
    values = [one.value, 0.8, 0.6]
    parts = [one, Estimate(0.8, {}), Estimate(0.6, {})]
    mean = harmonic_mean_of(parts)
    assert mean.value == pytest.approx(harmonic_mean(values))
    step = 1e-6
    slope = (harmonic_mean([values[0] + step, *values[1:]]) - mean.value) / step
    assert mean.variance == pytest.approx(slope**2 * one.variance, rel=1e-4)


def test_strata_of_one_kind_change_nothing_but_the_name() -> None:
    x, y, _ = scores(5)
    one = auc_estimate(x, y, NORMAL, REAL)
    same = np.array(["none"] * 40, dtype=object)
    assert in_strata(one, {NORMAL: same, REAL: same}).variance == pytest.approx(one.variance)
    # Half of each domain: the mean of the two means, so a quarter of each one's variance.
    half = np.array(["source", "target"] * 20, dtype=object)
    split = in_strata(one, {NORMAL: same, REAL: half})
    placements = one.influence[REAL]
    expected = (placements[::2].var(ddof=1) + placements[1::2].var(ddof=1)) / 4 / 20
    expected += one.influence[NORMAL].var(ddof=1) / 40
    assert split.variance == pytest.approx(expected)


def test_interval_of_the_gap_is_the_paired_one_where_scales_do_not_matter() -> None:
    """At an AUC of 0.5 and with many clips, logit and plain scale agree: DeLong's paired comparison."""
    x, y, z = scores(6, n=1500, shift=0.0)
    first, second = auc_estimate(x, y, NORMAL, REAL), auc_estimate(x, z, NORMAL, MADE)
    variance = (second.influence[NORMAL] - first.influence[NORMAL]).var(ddof=1) / 1500
    variance += first.influence[REAL].var(ddof=1) / 1500 + second.influence[MADE].var(ddof=1) / 1500
    gap, half = second.value - first.value, 1.96 * math.sqrt(variance)
    assert gap_interval(first, second, 0.95) == pytest.approx((gap - half, gap + half), abs=2e-4)


def test_equal_test_sets_have_no_gap_at_all() -> None:
    x, y, _ = scores(7)
    one = auc_estimate(x, y, NORMAL, REAL)
    assert gap_interval(one, one, 0.95) == pytest.approx((0, 0), abs=1e-12)


def test_swapping_the_sets_mirrors_the_interval() -> None:
    x, y, z = scores(8)
    first, second = auc_estimate(x, y, NORMAL, REAL), auc_estimate(x, z, NORMAL, MADE)
    low, high = gap_interval(first, second, 0.95)
    assert gap_interval(second, first, 0.95) == pytest.approx((-high, -low))
    # And so does turning all scores round.
    turned = [auc_estimate(-x, -s, NORMAL, pool) for s, pool in ((y, REAL), (z, MADE))]
    assert gap_interval(*turned, 0.95) == pytest.approx((-high, -low))


def test_newcombe_is_the_root_of_its_equation() -> None:
    for auc, n, m in ((0.5, 10, 20), (0.8, 50, 50), (1.0, 25, 25)):
        for limit in newcombe_interval(auc, n, m, 0.95):
            if limit != auc:
                size = (n + m) / 2 - 1
                spread = 1 + size * ((1 - limit) / (2 - limit) + limit / (1 + limit))
                assert abs(auc - limit) == pytest.approx(1.959964 * math.sqrt(limit * (1 - limit) / (n * m) * spread))
    low, high = newcombe_interval(0.2, 30, 40, 0.9)
    assert newcombe_interval(0.8, 30, 40, 0.9) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("shift", [100.0, -100.0])
def test_separated_classes_have_an_interval_with_width(shift: float) -> None:
    x, y, z = scores(9, n=25)
    first, second = (auc_estimate(x, s + shift, NORMAL, pool) for s, pool in ((y, REAL), (z, MADE)))
    low, high = score_interval(first, 0.95)
    assert (low, high) == newcombe_interval(first.value, 25, 25, 0.95)
    assert high - low == pytest.approx(0.081, abs=0.001)
    below, above = gap_interval(first, second, 0.95)
    assert -0.12 < below <= 0 <= above < 0.12 and above - below > 0.08


def test_all_scores_equal_is_chance_and_not_certain() -> None:
    one = auc_estimate(np.zeros(30), np.zeros(30), NORMAL, REAL)
    low, high = score_interval(one, 0.95)
    assert one.value == 0.5
    assert low < 0.4 and high > 0.6


def test_one_clip_has_no_interval() -> None:
    one = auc_estimate(np.array([0.0]), np.array([1.0, 2.0]), NORMAL, REAL)
    assert math.isnan(score_interval(one, 0.95)[0])
    assert math.isnan(gap_interval(one, one, 0.95)[0])
    assert math.isnan(equivalence_p(one, one, 0.05))


def test_equivalence_is_clopper_and_pearsons_test_where_clips_are_right_or_wrong() -> None:
    """Thousands of clips on the other sides: what counts is how many of 200 generated clips are out of place."""
    many, made = np.zeros(4000), np.r_[np.full(4, -1.0), np.full(196, 1.0)]
    first, second = auc_estimate(many, many + 1, NORMAL, REAL), auc_estimate(many, made, NORMAL, MADE)
    # 4 of 200 lie below all normal clips: the gap is -2 points, and the truth is a binomial share.
    assert second.value - first.value == pytest.approx(-0.02)
    p = equivalence_p(first, second, 0.05)
    assert p == pytest.approx(stats.binom.cdf(4, 200, 0.05), abs=0.01)


@pytest.mark.parametrize(("n", "p"), [(20, math.exp(-1)), (60, math.exp(-3)), (100, math.exp(-5))])
def test_no_variance_is_no_proof_of_equivalence(n: int, p: float) -> None:
    """Where nothing varies, only the number of clips tells what they may have missed."""
    normal, anomaly = np.zeros(n), np.ones(n)
    pair = auc_estimate(normal, anomaly, NORMAL, REAL), auc_estimate(normal, anomaly, NORMAL, MADE)
    assert equivalence_p(*pair, 0.05) == pytest.approx(p, abs=0.005)
    assert equivalence_p(*pair, 0.05) >= p


def two_rooms(rng: np.random.Generator, n: int) -> tuple[Estimate, Estimate]:
    """Normal clips in two clusters, anomalies between them, but a tenth of the generated ones: a gap of 5 points."""
    normal = np.r_[rng.normal(0, 1, n // 2), rng.normal(100, 1, n - n // 2)]
    made = np.where(rng.random(n) < 0.1, rng.normal(200, 1, n), rng.normal(50, 1, n))
    return auc_estimate(normal, rng.normal(50, 1, n), NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)


def separated(rng: np.random.Generator, n: int) -> tuple[Estimate, Estimate]:
    """All anomalies above all normal clips, but a twentieth of the generated ones below."""
    normal, made = rng.normal(size=n), np.where(rng.random(n) < 0.05, -50.0, 50.0) + rng.normal(size=n)
    return auc_estimate(normal, rng.normal(50, 1, n), NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)


def discrete(rng: np.random.Generator, n: int) -> tuple[Estimate, Estimate]:
    """Scores that are 0 or 1."""
    normal, real, made = (1.0 * (rng.random(n) < share) for share in (0.1, 0.9, 0.8))
    return auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)


@pytest.mark.parametrize("draw", [two_rooms, separated, discrete])
@pytest.mark.parametrize("n", [10, 60, 100, 200])
def test_a_gap_at_the_margin_is_seldom_accepted(draw: Callable[..., tuple[Estimate, Estimate]], n: int) -> None:
    """The whole grid is in tests/simulations/equivalence_cases.py."""
    rng = np.random.default_rng(n)
    accepted = sum(equivalence_p(*draw(rng, n), 0.05) <= 0.05 for _ in range(120))
    assert accepted <= stats.binom.ppf(0.999, 120, 0.05)
    if n < 60:
        assert accepted == 0


def test_equivalence_is_found_where_there_are_clips_enough() -> None:
    x, y, z = scores(10, n=1500, shift=2.0)
    pair = auc_estimate(x, y, NORMAL, REAL), auc_estimate(x, z, NORMAL, MADE)
    assert equivalence_p(*pair, 0.05) < 0.01
    assert equivalence_p(*pair, abs(pair[1].value - pair[0].value) / 2) == 1


def test_generated_clips_of_several_seeds_count_together() -> None:
    """Three seeds of 40 generated clips each miss as much as 120 clips of one do."""
    normal, anomaly = np.zeros(400), np.ones(400)
    first = auc_estimate(normal, anomaly, NORMAL, REAL)
    seeds = [auc_estimate(normal, np.ones(40), NORMAL, ("anomaly", "made", seed)) for seed in range(3)]
    assert equivalence_p(first, mean_of(seeds), 0.05) == pytest.approx((1 - 3 * 0.05) ** 40, abs=0.005)
    assert equivalence_p(first, seeds[0], 0.05) > 0.1


def test_mover_by_hand() -> None:
    # Uncorrelated: 0.2 - sqrt(0.3^2 + 0.4^2) and 0.2 + sqrt(0.1^2 + 0.2^2); fully correlated: differences of distances.
    limits = ((0.3, 0.9), (0.4, 0.8))
    assert mover(0.5, limits[0], 0.7, limits[1], 0.0) == pytest.approx((0.2 - 0.5, 0.2 + math.sqrt(0.05)))
    assert mover(0.5, limits[0], 0.7, limits[1], 1.0) == pytest.approx((0.2 - 0.1, 0.2 + 0.1))


def test_interval_of_a_mean_of_equal_cells() -> None:
    assert mean_interval([0.1, 0.1, 0.1, 0.1], [(0.0, 0.3)] * 4) == pytest.approx((0.05, 0.2))
    assert math.isnan(mean_interval([], [])[0])
    assert math.isnan(mean_interval([0.1], [(math.nan, math.nan)])[0])


def test_delong_se_agrees() -> None:
    x, y, _ = scores(11)
    assert math.sqrt(auc_estimate(x, y, NORMAL, REAL).variance) == pytest.approx(delong_se(x, y))
    weights = np.ones((1, 40), dtype=np.uint32)
    assert weighted_aucs(x, y, weights, weights)[0] == pytest.approx(mann_whitney_auc(x, y))

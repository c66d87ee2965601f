from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asdbench.compare import bootstrap
from asdbench.compare.estimates import Estimate
from asdbench.metrics.detection import mann_whitney_auc


@given(st.lists(st.integers(0, 5), min_size=1, max_size=15), st.lists(st.integers(0, 5), min_size=1, max_size=15))
@settings(max_examples=100, deadline=None)
def test_weighted_aucs_are_the_aucs_of_the_resampled_clips(normal: list[int], anomaly: list[int]) -> None:
    x, y = np.array(normal, dtype=float), np.array(anomaly, dtype=float)
    rng = np.random.default_rng(1)
    of_normal, of_anomaly = bootstrap.draw_weights(len(x), 20, rng), bootstrap.draw_weights(len(y), 20, rng)
    found = bootstrap.weighted_aucs(x, y, of_normal, of_anomaly)
    for b in range(20):
        expected = mann_whitney_auc(np.repeat(x, of_normal[b]), np.repeat(y, of_anomaly[b]))
        assert found[b] == pytest.approx(expected, abs=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> np.ndarray:
        rng = np.random.default_rng(2)
        x, y = rng.normal(size=30), rng.normal(size=20)
        return bootstrap.weighted_aucs(x, y, bootstrap.draw_weights(30, 50, rng), bootstrap.draw_weights(20, 50, rng))

    whole = run()
    monkeypatch.setattr(bootstrap, "CHUNK", 200)
    np.testing.assert_array_equal(run(), whole)


def test_weights_are_resamples() -> None:
    weights = bootstrap.draw_weights(40, 500, np.random.default_rng(3))
    assert weights.shape == (500, 40)
    assert (weights.sum(axis=1) == 40).all()
    # Multinomial: variance n p (1 - p) of each count, correlation -1 / (n - 1) between two of them.
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.05)
    assert np.corrcoef(weights.T)[np.triu_indices(40, 1)].mean() == pytest.approx(-1 / 39, abs=0.005)


@pytest.mark.parametrize(("n_normal", "n_anomaly", "shift"), [(50, 50, 0.5), (100, 40, 1.0), (200, 200, 0.0)])
def test_bootstrap_deviation_is_delongs(n_normal: int, n_anomaly: int, shift: float) -> None:
    rng = np.random.default_rng(4)
    normal, anomaly = rng.normal(size=n_normal), rng.normal(shift, size=n_anomaly)
    weights = [bootstrap.draw_weights(n, 4000, rng) for n in (n_normal, n_anomaly)]
    deviation = bootstrap.weighted_aucs(normal, anomaly, *weights).std()
    assert deviation == pytest.approx(bootstrap.delong_se(normal, anomaly), rel=0.06)


def test_delong_by_hand() -> None:
    # Placements: of the anomalies 1/2, 1; of the normal clips 1, 1/2.
    assert bootstrap.delong_se(np.array([0.0, 2.0]), np.array([1.0, 3.0])) == pytest.approx(np.sqrt(0.125 / 2 * 2))
    assert np.isnan(bootstrap.delong_se(np.array([0.0]), np.array([1.0, 3.0])))


def test_delong_is_the_deviation_of_repeated_experiments() -> None:
    rng = np.random.default_rng(5)
    draws = [(rng.normal(size=60), rng.normal(1, size=60)) for _ in range(1500)]
    spread = np.std([mann_whitney_auc(x, y) for x, y in draws])
    assert np.mean([bootstrap.delong_se(x, y) for x, y in draws[:200]]) == pytest.approx(spread, rel=0.06)


def test_resamples_of_another_size() -> None:
    weights = bootstrap.draw_weights(10, 200, np.random.default_rng(6), size=25)
    assert weights.shape == (200, 10)
    assert (weights.sum(axis=1) == 25).all()
    aucs = bootstrap.weighted_aucs(np.arange(10.0), np.arange(10.0) + 0.5, weights, weights)
    expected = mann_whitney_auc(np.repeat(np.arange(10.0), weights[7]), np.repeat(np.arange(10.0) + 0.5, weights[7]))
    assert aucs[7] == pytest.approx(expected)


def test_bca_of_a_symmetric_unbiased_bootstrap_is_the_percentiles() -> None:
    resampled = np.linspace(-1, 1, 2001)
    assert bootstrap.bca_interval(0.0, resampled, None, 0.9) == pytest.approx((-0.9, 0.9), abs=1e-3)


def test_bca_by_hand() -> None:
    """Efron's formulas with 40 % of the resamples below the value and a skewed influence."""
    resampled = np.linspace(0, 1, 100001)
    influence = np.array([0.0, 0.0, 0.0, 4.0])
    estimate = Estimate(0.4, {("anomaly",): influence})
    centred = influence - 1
    acceleration = (centred**3).sum() / 4**3 / (6 * (influence.var(ddof=1) / 4) ** 1.5)
    bias = stats.norm.ppf(0.4)
    expected = [
        stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in stats.norm.ppf([0.025, 0.975])
    ]
    assert bootstrap.bca_interval(0.4, resampled, estimate, 0.95) == pytest.approx(expected, abs=1e-4)


def test_bca_has_no_interval_without_width() -> None:
    assert np.isnan(bootstrap.bca_interval(1.0, np.ones(50), None, 0.95)[0])


def test_bootstrap_interval_of_a_gap_uses_the_correlation_of_the_draws() -> None:
    rng = np.random.default_rng(7)
    draws = rng.normal(size=4000)
    limits = (0.3, 0.7)
    same = bootstrap.bootstrap_gap_interval(0.5, limits, draws, 0.5, limits, draws)
    assert same == pytest.approx((0, 0), abs=1e-6)
    apart = bootstrap.bootstrap_gap_interval(0.5, limits, draws, 0.5, limits, rng.normal(size=4000))
    assert apart == pytest.approx((-0.2 * np.sqrt(2), 0.2 * np.sqrt(2)), abs=0.01)


def test_percentile_interval() -> None:
    assert bootstrap.percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))

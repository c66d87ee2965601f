from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asdbench.compare import bootstrap
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


def test_percentile_interval() -> None:
    assert bootstrap.percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))

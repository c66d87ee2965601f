"""Curves are those of scikit-learn, and the areas under them the metrics of the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc as area
from sklearn.metrics import det_curve, roc_curve

from asdbench.compare import compare
from asdbench.compare.operating import NAMES, RATES, curves_of_clips, curves_of_table
from asdbench.compare.testsets import ScoreTable, expand
from asdbench.metrics import detection


@pytest.fixture
def clips():
    """Scores with ties, within and between classes."""
    rng = np.random.default_rng(3)
    is_anomaly = rng.random(120) < 0.4
    score = np.round(rng.normal(size=120) + is_anomaly, 1)
    domain = np.array(["source", "target"], dtype=object)[rng.integers(0, 2, 120)]
    return is_anomaly, score, domain


def part(curves: pd.DataFrame, domain: str) -> pd.DataFrame:
    return curves[curves["domain"] == domain].reset_index(drop=True)


def test_points_are_those_of_scikit_learn(clips) -> None:
    is_anomaly, score, domain = clips
    curves = curves_of_clips(is_anomaly, score, domain, {"machine": "fan"})
    for name in ("all", "source", "target"):
        inside = np.ones(120, dtype=bool) if name == "all" else is_anomaly | (domain == name)
        fpr, tpr, thresholds = roc_curve(is_anomaly[inside], score[inside], drop_intermediate=False)
        mine = part(curves, name)
        assert mine["threshold"].tolist() == thresholds.tolist()
        np.testing.assert_array_equal(mine[["fpr", "tpr"]], np.c_[fpr, tpr])
        # det_curve leaves out where no rate changes any more, and may count from the other end.
        det_fpr, det_fnr, det_thresholds = det_curve(is_anomaly[inside], score[inside])
        points = {(f, round(m, 12), t) for f, m, t in zip(mine["fpr"], mine["fnr"], mine["threshold"], strict=True)}
        assert {(f, round(m, 12), t) for f, m, t in zip(det_fpr, det_fnr, det_thresholds, strict=True)} <= points


def test_a_point_is_what_the_decision_at_its_threshold_does(clips) -> None:
    is_anomaly, score, domain = clips
    for row in part(curves_of_clips(is_anomaly, score, domain, {}), "all").to_dict("records"):
        called = score >= row["threshold"]
        assert row["fpr"] == pytest.approx(called[~is_anomaly].mean())
        assert row["tpr"] == pytest.approx(called[is_anomaly].mean())
        assert row["fnr"] == pytest.approx(1 - row["tpr"])


def test_parts_that_cannot_be_drawn_are_left_out(clips) -> None:
    is_anomaly, score, domain = clips
    without = curves_of_clips(is_anomaly, score, np.full(120, "none", dtype=object), {})
    assert set(without["domain"]) == {"all"}
    assert curves_of_clips(np.zeros(120, dtype=bool), score, domain, {}).empty
    assert list(curves_of_table(ScoreTable(_empty(), []), []).columns) == [*NAMES, *RATES]


def _empty() -> pd.DataFrame:
    from asdbench.compare.testsets import COLUMNS

    return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})


def test_areas_are_the_metrics_of_the_comparison(make_scores, test_sets) -> None:
    scores = make_scores(machines=("fan", "valve"), detectors=("ae",), seeds=(0, 1))
    metrics = {name: getattr(detection, name) for name in ("auc", "auc_source", "auc_target")}
    found = compare(scores, test_sets, ["fan", "valve"], metrics=metrics, resamples=100).metrics
    found = found[found["section"] == "all"]
    table = ScoreTable(scores, ["fan", "valve"])
    curves = curves_of_table(table, expand(test_sets, table.generators))
    names = [name for name in NAMES if name != "domain"]
    areas = {key: area(one["fpr"], one["tpr"]) for key, one in curves.groupby([*names, "domain"])}
    assert len(areas) == len(found) == 2 * 2 * 2 * 3
    for row in found.to_dict("records"):
        domain = {"auc": "all"}.get(row["metric"], row["metric"].removeprefix("auc_"))
        assert areas[(*(row[name] for name in names), domain)] == pytest.approx(row["value"], abs=1e-12)

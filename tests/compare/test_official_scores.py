from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench.compare import compare
from asdbench.metrics import detection
from asdbench.metrics.official import official_score

MACHINES = ["fan", "slider", "valve"]


def row_of(found: pd.DataFrame, **names: object) -> dict[str, Any]:
    rows = found[np.logical_and.reduce([found[name] == value for name, value in names.items()])]
    assert len(rows) == 1
    return {str(k): v for k, v in rows.iloc[0].items()}


@pytest.mark.parametrize("year", [2020, 2021, 2023])
def test_mean_over_seeds_and_interval_of_resampled_clips(make_scores: Any, test_sets: Any, year: int) -> None:
    """The interval is about as wide as the spread of the official score of resampled tables."""
    scores = make_scores(clips=60, sections=("00", "01"), detectors=("ae",), seeds=(0,))
    made = compare(scores, test_sets, MACHINES, resamples=400, years=(year,))
    totals = made.official[made.official["row"] == "total"].set_index("source")["value"]
    row = row_of(made.official_summary, source="effects")
    assert row["value"] == pytest.approx(totals["effects"], abs=1e-12)
    assert row["gap"] == pytest.approx(totals["effects"] - totals["real"], abs=1e-12)
    assert row["low"] < row["value"] < row["high"] and row["gap_low"] < row["gap"] < row["gap_high"]
    rng = np.random.default_rng(1)
    test = scores[(scores["split"] == "test") & ((scores["source"] == "effects") | (scores["condition"] == "normal"))]
    strata = [rows for _, rows in test.groupby(["machine", "section", "domain", "condition"])]
    resampled = [
        official_score(pd.concat([s.iloc[rng.integers(len(s), size=len(s))] for s in strata]), year, MACHINES).total
        for _ in range(60)
    ]
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * np.std(resampled), rel=0.3)
    assert row["high_bootstrap"] - row["low_bootstrap"] == pytest.approx(row["high"] - row["low"], rel=0.3)


def test_seeds_and_missing_ones(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(clips=30, detectors=("ae",))
    made = compare(scores, test_sets, MACHINES, resamples=50, years=(2023,))
    totals = made.official[(made.official["row"] == "total") & (made.official["source"] == "effects")]["value"]
    row = row_of(made.official_summary, source="effects")
    assert row["value"] == pytest.approx(totals.mean())
    assert row["sd"] == pytest.approx(totals.std())
    lost = scores[~((scores["source"] == "effects") & (scores["seed"] == 1) & (scores["machine"] == "fan"))]
    row = row_of(compare(lost, test_sets, MACHINES, resamples=50, years=(2023,)).official_summary, source="effects")
    assert math.isnan(row["value"]) and math.isnan(row["low"])
    assert (row["n_seeds"], row["n_seeds_expected"]) == (2, 3)
    assert row["reason"] == "fan: no scores of effects clips"


def test_one_clip_in_a_stratum(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(clips=2, detectors=("ae",), seeds=(0,))
    row = row_of(compare(scores, test_sets, MACHINES, resamples=50, years=(2023,)).official_summary, source="real")
    assert not math.isnan(row["value"]) and math.isnan(row["low"])
    assert row["reason"] == "no interval: only 1 clip of a section, domain and class"


def test_metrics_have_intervals(make_scores: Any, test_sets: Any) -> None:
    metrics = {"auc": detection.auc, "pauc": detection.pauc, "own": lambda *_: 0.5}
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=40)
    found = compare(scores, test_sets, ["fan"], (), metrics, resamples=20).metrics
    known = found[found["metric"] != "own"]
    assert ((known["low"] < known["value"]) & (known["value"] < known["high"])).all()
    assert found[found["metric"] == "own"]["low"].isna().all()

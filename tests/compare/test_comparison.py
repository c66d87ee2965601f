from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench import UserError
from asdbench.compare import Comparison, compare
from asdbench.compare.heard import Heard
from asdbench.metrics import detection, threshold
from asdbench.metrics.official import official_score

MACHINES = ["valve", "fan", "slider"]
METRICS = {"auc": detection.auc, "auc_target": detection.auc_target, "pauc": detection.pauc}


def assert_same(first: Comparison, second: Comparison) -> None:
    for field in fields(Comparison):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        elif isinstance(one, Heard):
            for name, table in vars(one).items():
                pd.testing.assert_frame_equal(table, vars(other)[name])
        else:
            assert one == other


def test_the_order_of_the_rows_changes_nothing(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(sections=("00", "01"))
    problems = [{"machine": "fan", "reason": "a"}, {"detector": "ae", "seed": 1, "reason": "b"}]
    first = compare(scores, test_sets, MACHINES, problems, METRICS, resamples=50, years=(2020, 2023))
    shuffled = scores.sample(frac=1, random_state=1)
    second = compare(shuffled, test_sets, MACHINES, problems[::-1], METRICS, resamples=50, years=(2020, 2023))
    assert_same(first, second)


def test_a_cell_does_not_depend_on_what_else_is_compared(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(generators=("effects", "other"))
    whole = compare(scores, test_sets, MACHINES, resamples=50).gaps
    part = scores[(scores["machine"] == "fan") & (scores["detector"] == "knn") & (scores["source"] != "effects")]
    alone = compare(part, test_sets, ["fan"], resamples=50).gaps
    row = whole[(whole["machine"] == "fan") & (whole["detector"] == "knn") & (whole["generator"] == "other")]
    # What a cell is corrected for is how many there are.
    whole_only = ["p_holm", "n_comparisons", "verdict"]
    assert set(whole["n_comparisons"]) == {12} and set(alone["n_comparisons"]) == {1}
    row = row.drop(columns=whole_only).reset_index(drop=True)
    pd.testing.assert_frame_equal(row, alone.drop(columns=whole_only), check_exact=True)


def test_metrics_are_the_functions_on_the_clips(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(sections=("00", "01"))
    found = compare(scores, test_sets, MACHINES, (), METRICS, resamples=10).metrics
    assert len(found) == 3 * 3 * 2 * 2 * 3 * 3  # machine, section and all, detector, test set, seed, metric
    picked = found[(found["machine"] == "fan") & (found["section"] == "01") & (found["source"] == "effects")]
    picked = picked[(picked["detector"] == "knn") & (picked["seed"] == 2)].set_index("metric")
    clips = scores[(scores["machine"] == "fan") & (scores["section"] == "01") & (scores["detector"] == "knn")]
    clips = clips[(clips["seed"] == 2) & (clips["split"] == "test")]
    clips = clips[(clips["condition"] == "normal") | (clips["source"] == "effects")]
    truth, domain = (clips["condition"] == "anomaly").to_numpy(dtype=bool), clips["domain"].to_numpy(dtype=object)
    for name, metric in METRICS.items():
        assert picked.loc[name, "value"] == metric(truth, clips["score"].to_numpy(), domain)
    assert (picked["generation_seed"] == 2).all()
    assert tuple(picked.loc["auc", ["n_normal", "n_anomaly"]]) == (10, 10)
    assert tuple(picked.loc["auc_target", ["n_normal", "n_anomaly"]]) == (5, 10)
    assert (picked["reason"] == "").all()


def test_every_nan_has_a_reason(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores().assign(domain="none")
    scores = scores[~((scores["machine"] == "slider") & (scores["condition"] == "anomaly"))]
    scores = scores[~((scores["machine"] == "valve") & (scores["detector"] == "ae"))]

    def broken(is_anomaly: object, score: object, domain: object) -> float:
        raise ZeroDivisionError("oh")

    metrics = METRICS | {"broken": broken, "shy": lambda *_: math.nan}
    found = compare(scores, test_sets, MACHINES, (), metrics, resamples=10, years=(2020, 2023))
    for table in (found.metrics, found.official):
        assert table["value"].isna().any()
        assert (table["reason"][table["value"].isna()] != "").all()
    assert (found.metrics["reason"][found.metrics["value"].notna()] == "").all()
    assert (found.decisions["reason"][found.decisions["f1"].isna()] != "").all()
    reasons = found.metrics[found.metrics["machine"] == "fan"].groupby("metric")["reason"].unique()
    assert list(reasons["broken"]) == ["broken failed: ZeroDivisionError: oh"]
    assert list(reasons["shy"]) == ["shy is not defined on these clips"]
    assert list(reasons["auc_target"]) == ["no normal test clip in the target domain"]
    slider = found.metrics[(found.metrics["machine"] == "slider") & (found.metrics["metric"] == "auc")]
    assert set(slider["reason"]) == {"no anomalous test clip", "no scores of effects clips"}


def test_official_scores_are_those_of_each_seed_and_test_set(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores()
    found = compare(scores, test_sets, MACHINES, resamples=10, years=(2020, 2023)).official
    totals = found[found["row"] == "total"]
    assert len(totals) == 2 * 2 * 2 * 3  # year, detector, test set, seed
    clips = scores[(scores["detector"] == "ae") & (scores["seed"] == 1) & (scores["split"] == "test")]
    clips = clips[(clips["condition"] == "normal") | (clips["source"] == "effects")]
    row = totals[(totals["year"] == 2023) & (totals["detector"] == "ae") & (totals["source"] == "effects")]
    assert row.set_index("seed").loc[1, "value"] == official_score(clips, 2023, MACHINES).total
    assert "total of scored machines" not in set(found["row"])


def test_official_score_of_fewer_machines_is_a_row_of_its_own(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(seeds=(0,))
    gone = (scores["machine"] == "slider") & (scores["condition"] == "anomaly") & (scores["source"] == "real")
    found = compare(scores[~gone], test_sets, MACHINES, resamples=10, years=(2023,)).official
    original = found[(found["test_set"] == "original") & (found["detector"] == "ae")].set_index("row")
    assert math.isnan(original.loc["total", "value"])
    assert original.loc["total", "reason"] == "slider: no anomalous test clip"
    real = scores[(scores["source"] == "real") & (scores["split"] == "test") & (scores["detector"] == "ae")]
    expected = official_score(real, 2023, ["valve", "fan"]).total
    assert original.loc["total of scored machines", "value"] == pytest.approx(expected, abs=1e-12)
    assert original.loc["total of scored machines", "reason"] == "2 of 3 machines: valve, fan"


def test_decisions_use_the_threshold_of_the_training_clips(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,))
    found = compare(scores, test_sets, ["fan"], resamples=10).decisions
    limit = threshold.threshold(scores[scores["split"] == "train"]["score"])
    assert (found["threshold"] == limit).all()
    test = scores[(scores["split"] == "test") & (scores["source"] == "real") & (scores["domain"] == "source")]
    expected = threshold.precision_recall_f1(
        (test["condition"] == "anomaly").to_numpy(), (test["score"] > limit).to_numpy()
    )
    row = found[(found["domain"] == "source") & (found["source"] == "real")].iloc[0]
    assert tuple(row[["precision", "recall", "f1"]]) == expected
    without = compare(scores[scores["split"] == "test"], test_sets, ["fan"], resamples=10).decisions
    assert set(without["reason"]) == {"no training scores"}


def test_decisions_at_a_quantile_of_the_training_scores_themselves(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,))
    how = {"quantile": 0.75, "threshold_method": "empirical"}
    found = compare(scores, test_sets, ["fan"], resamples=10, **how).decisions
    limit = np.quantile(scores["score"][scores["split"] == "train"], 0.75)
    assert set(found["threshold"]) == {limit}
    for row in found[found["source"] == "real"].to_dict("records"):
        mine = scores[(scores["source"] == "real") & (scores["split"] == "test")]
        mine = mine if row["domain"] == "all" else mine[mine["domain"] == row["domain"]]
        anomalous = mine["condition"] == "anomaly"
        assert row["recall"] == pytest.approx((mine["score"][anomalous] > limit).mean())
        assert row["precision"] == pytest.approx(anomalous[mine["score"] > limit].mean())


def test_clips_are_counted_once_and_copies_seen(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores()
    copies = (scores["source"] == "effects") & scores["clip_id"].str.contains("000[0-4].wav")
    scores.loc[copies, "content_hash"] = "the same"
    found = compare(scores, test_sets, MACHINES, resamples=10).clips
    assert list(dict.fromkeys(found["machine"])) == MACHINES
    fan = found[found["machine"] == "fan"].set_index(["source", "generation_seed", "split", "condition"])
    assert tuple(fan.loc[("real", -1, "train", "normal"), ["n_clips", "n_different"]]) == (30, 30)
    assert tuple(fan.loc[("effects", 2, "test", "anomaly"), ["n_clips", "n_different"]]) == (20, 16)


def test_controls_name_a_generator_and_may_take_generated_normals(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",))
    normals = scores[scores["source"] == "effects"].assign(condition="normal")
    normals["clip_id"] += "_n"
    more = pd.concat([scores, normals], ignore_index=True)
    sets = test_sets | {
        "matched": {"normal": "generated", "anomaly": "generated"},
        "effects_only": {"normal": "effects", "anomaly": "real"},
    }
    found = compare(more, sets, ["fan"], resamples=50)
    matched = found.gaps.set_index("test_set").loc["matched"]
    assert matched["auc_generated"] == 0.5  # the same scores on both sides
    assert (matched["n_normal"], matched["reason"]) == (20, "")
    assert found.gaps.set_index("test_set").loc["effects_only", "generator"] == "effects"


def test_numpy_and_missing_fields_of_problems(make_scores: Any, test_sets: Any) -> None:
    problems = [{"machine": "pump", "detector": "", "source": np.nan, "seed": np.float64(1), "reason": "r"}]
    found = compare(make_scores(), test_sets, MACHINES, problems, resamples=10).problems
    assert found.iloc[0]["machine"] == "pump"
    assert found.iloc[0]["seed"] == 1
    assert found["detector"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns="score"), r"lacks the columns \['score'\]"),
        (lambda s: s.assign(condition="odd"), "has the condition 'odd'; expected one of: normal, anomaly, unknown"),
        (lambda s: s.assign(machine="pump"), "has the machine 'pump'; expected one of: valve, fan, slider"),
        (lambda s: pd.concat([s, s.head(1)]), "twice with detector 'ae' and seed 0; expected one score a clip"),
    ],
)
def test_malformed_tables(make_scores: Any, test_sets: Any, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(change(make_scores()), test_sets, MACHINES)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"normal": "real"}, "expected 'normal' and 'anomaly'"),
        ({"normal": "real", "anomaly": "efects"}, "'efects'; expected one of: real, generated, effects, other"),
        ({"normal": "other", "anomaly": "effects"}, "pairs two generators, 'other' and 'effects'"),
    ],
)
def test_malformed_test_sets(make_scores: Any, sides: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(make_scores(generators=("effects", "other")), {"odd": sides}, MACHINES)


def test_options_out_of_range(make_scores: Any, test_sets: Any) -> None:
    with pytest.raises(ValueError, match="confidence is 95"):
        compare(make_scores(), test_sets, MACHINES, confidence=95)
    with pytest.raises(ValueError, match="resamples is 1"):
        compare(make_scores(), test_sets, MACHINES, resamples=1)
    with pytest.raises(ValueError, match="margin is 5; expected a fraction"):
        compare(make_scores(), test_sets, MACHINES, margin=5)


def test_given_names_order_the_tables(make_scores: Any, test_sets: Any) -> None:
    found = compare(
        make_scores(generators=("effects", "other")),
        test_sets,
        MACHINES,
        detectors=["knn", "ae"],
        generators=["other", "effects"],
        resamples=10,
    )
    assert list(dict.fromkeys(found.gaps["detector"])) == ["knn", "ae"]
    assert list(dict.fromkeys(found.gaps["generator"])) == ["other", "effects"]
    assert list(dict.fromkeys(found.gaps["machine"])) == MACHINES

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asdbench.compare import agreement, compare
from asdbench.compare.agreement import CORRELATIONS, correlation_interval
from asdbench.metrics.detection import auc_source, mann_whitney_auc

MACHINES = ["fan", "slider", "valve"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=15))
def test_correlations_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    for ours, theirs in (
        (agreement.pearson, stats.pearsonr),
        (agreement.spearman, stats.spearmanr),
        (agreement.kendall, stats.kendalltau),
    ):
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            assert math.isnan(ours(x, y))
        else:
            assert ours(x, y) == pytest.approx(theirs(x, y).statistic, abs=1e-12)
        two = ours(np.stack([x, x + 1], axis=1), np.stack([y, y], axis=1))
        np.testing.assert_allclose(two, [ours(x, y)] * 2, atol=1e-12)
    np.testing.assert_array_equal(agreement.ranks(x), stats.rankdata(x))


def test_regret_by_hand() -> None:
    real = np.array([0.9, 0.8, 0.6])
    assert agreement.regret(real, np.array([0.7, 0.6, 0.5])) == 0
    assert agreement.regret(real, np.array([0.5, 0.6, 0.7])) == pytest.approx(0.3)
    # A tie between the best and the worst: each is picked half the time.
    assert agreement.regret(real, np.array([0.7, 0.6, 0.7])) == pytest.approx(0.15)


def test_pearsons_interval_knows_that_noise_hides_agreement() -> None:
    """Without noise there is nothing to be unsure of; with noise larger than the spread, nothing is known."""
    rng = np.random.default_rng(1)
    truth = np.linspace(0.55, 0.95, 7)
    aucs = np.array([truth, truth + 0.05 * np.array([1, -1, 1, -1, 1, -1, 1])])
    value = stats.pearsonr(*aucs).statistic
    exact = np.repeat(aucs[:, :, None], 500, axis=2) + 1e-6 * rng.normal(size=(2, 7, 500))
    assert agreement.correlation_interval("pearson", aucs, exact, 0.95) == pytest.approx((value, value), abs=1e-3)
    low, high = agreement.correlation_interval("pearson", aucs, exact + 0.05 * rng.normal(size=exact.shape), 0.95)
    assert low < value < high
    assert value < 0.5 * (low + high) + 0.2 and high > 0.99
    drowned = agreement.correlation_interval("pearson", aucs, exact + 0.5 * rng.normal(size=exact.shape), 0.95)
    assert drowned == (-1, 1)


def table(found: pd.DataFrame, detector: str, measure: str) -> dict[str, Any]:
    rows = found[(found["detector"] == detector) & (found["measure"] == measure)]
    assert len(rows) == 1
    return {str(k): v for k, v in rows.iloc[0].items()}


def test_cells_are_machines_sections_and_domains(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(clips=60, sections=("00", "01"), seeds=(0,))
    found = compare(scores, test_sets, MACHINES, resamples=100).agreement
    row = table(found, "ae", "pearson")
    assert (row["n_cells"], row["n_cells_expected"], row["reason"]) == (12, 12, "")
    aucs: dict[str, list[float]] = {"real": [], "effects": []}
    test = scores[(scores["detector"] == "ae") & (scores["split"] == "test")]
    for machine in MACHINES:
        for section in ("00", "01"):
            own = test[(test["machine"] == machine) & (test["section"] == section)]
            normal = own[own["condition"] == "normal"]
            for domain in ("source", "target"):
                for source, values in aucs.items():
                    anomaly = own[(own["condition"] == "anomaly") & (own["source"] == source)]["score"].to_numpy()
                    values.append(mann_whitney_auc(normal[normal["domain"] == domain]["score"].to_numpy(), anomaly))
    for measure, oracle in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        row = table(found, "ae", measure)
        assert row["value"] == pytest.approx(oracle(aucs["real"], aucs["effects"]).statistic, abs=1e-12)
        assert -1 <= row["low"] <= row["high"] <= 1
        assert -1 <= row["perfect"] <= 1


def test_cells_with_few_clips_are_left_out_and_named(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(clips=30)
    normal = (scores["source"] == "real") & (scores["condition"] == "normal") & (scores["split"] == "test")
    rare = scores[normal & (scores["machine"] == "fan") & (scores["domain"] == "target")]
    fewer = scores.drop(rare[~rare["clip_id"].isin(sorted(set(rare["clip_id"]))[:4])].index)
    row = table(compare(fewer, test_sets, MACHINES, resamples=50).agreement, "knn", "spearman")
    assert (row["n_cells"], row["n_cells_expected"]) == (5, 6)
    assert row["reason"] == "5 of 6 cells; missing: fan/00/target (4 clips of a class; expected at least 10)"
    one = compare(scores, test_sets, ["fan", "slider", "valve"], resamples=50, detectors=["ae", "knn"]).agreement
    assert table(one, "ae", "pearson")["reason"] == ""
    alone = scores[(scores["machine"] == "fan")]
    row = table(compare(alone, test_sets, ["fan"], resamples=50).agreement, "ae", "pearson")
    assert math.isnan(row["value"])
    assert row["reason"] == "no correlation over 2 cells (needs 3)"


def test_a_generator_that_copies_agrees_fully(make_scores: Any, test_sets: Any) -> None:
    """Its true agreement is 1; a perfect generator's, with fresh clips, is less."""
    scores = make_scores(seeds=(0,), clips=40)
    test = scores["split"] == "test"
    real = scores[test & (scores["source"] == "real") & (scores["condition"] == "anomaly")]
    order = ["machine", "detector", "clip_id"]
    generated = scores[scores["source"] == "effects"].sort_values(order)
    scores.loc[generated.index, "score"] = real.sort_values(order)["score"].to_numpy()
    found = compare(scores, test_sets, MACHINES, resamples=200).agreement
    for measure in ("pearson", "spearman", "kendall"):
        assert table(found, "ae", measure)["value"] == pytest.approx(1)
        assert table(found, "ae", measure)["perfect"] < 0.95
    assert table(found, "all", "detector kendall")["value"] == 1
    regret = table(found, "all", "selection regret")
    assert (regret["value"], regret["n_cells"], regret["low"]) == (0, 3, 0)


def test_detectors_are_compared_machine_by_machine(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(detectors=("a", "b", "c"), clips=30)
    made = compare(scores, test_sets, MACHINES, resamples=100)
    taus, regrets = [], []
    for _, cells in made.gaps.groupby("machine"):
        real, generated = cells["auc_original"].to_numpy(), cells["auc_generated"].to_numpy()
        taus.append(stats.kendalltau(real, generated).statistic)
        regrets.append(real.max() - real[generated.argmax()])
    assert table(made.agreement, "all", "detector kendall")["value"] == pytest.approx(np.mean(taus))
    row = table(made.agreement, "all", "selection regret")
    assert row["value"] == pytest.approx(np.mean(regrets))
    assert 0 <= row["low"] <= row["high"]
    lost = scores[~((scores["detector"] == "c") & (scores["machine"] == "fan"))]
    row = table(compare(lost, test_sets, MACHINES, resamples=50).agreement, "all", "selection regret")
    assert row["reason"] == "2 of 3 machines; missing: fan (no gap with c)"
    alone = compare(scores[scores["detector"] == "a"], test_sets, MACHINES, resamples=50).agreement
    row = table(alone, "all", "detector kendall")
    assert math.isnan(row["value"])
    assert row["reason"] == "nothing to choose from 1 detectors (needs 2)"


def test_other_machines_widen_the_interval(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=tuple("abcdefg"), seeds=(0,), clips=40)
    machines = list("abcdefg")
    clips, both = (
        table(compare(scores, test_sets, machines, resamples=300, over_machines=o).agreement, "ae", "spearman")
        for o in (False, True)
    )
    assert both["value"] == clips["value"]
    assert both["high"] - both["low"] > clips["high"] - clips["low"]


def test_all_machines_alike(make_scores: Any, test_sets: Any) -> None:
    found = compare(make_scores(shift=100.0), test_sets, MACHINES, resamples=50).agreement
    row = table(found, "ae", "kendall")
    assert math.isnan(row["value"])
    assert row["reason"] == "no correlation: the AUC is the same in all cells"
    assert table(found, "all", "selection regret")["value"] == 0


def test_the_domain_auc_is_the_challenges(make_scores: Any) -> None:
    """The cell of a domain has the value of the metric of the same name."""
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,))
    real = scores[(scores["source"] == "real") & (scores["split"] == "test")]
    truth, domain = (real["condition"] == "anomaly").to_numpy(dtype=bool), real["domain"].to_numpy(dtype=object)
    normal = real[(real["condition"] == "normal") & (real["domain"] == "source")]["score"].to_numpy()
    anomaly = real[real["condition"] == "anomaly"]["score"].to_numpy()
    assert auc_source(truth, real["score"].to_numpy(), domain) == mann_whitney_auc(normal, anomaly)


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall"])
def test_the_interval_holds_the_measured_correlation(name: str) -> None:
    """Noise that resamples add twice, and noise that Pearson's interval takes off, both move the interval away."""
    rng = np.random.default_rng(0)
    for spread in (0.001, 0.3):
        real = np.linspace(0.55, 0.95, 7)
        made = real + 0.004 * rng.normal(size=7)
        aucs = np.array([real, made])
        draws = aucs[:, :, None] + spread * rng.normal(size=(2, 7, 400))
        low, high = correlation_interval(name, aucs, draws, 0.95)
        assert low <= float(CORRELATIONS[name](real, made)) <= high


def test_a_choice_between_detectors_takes_clips(make_scores: Any, test_sets: Any) -> None:
    """Two normal clips order nothing: a dash with the reason, not a regret of 0.000."""
    scores = make_scores(machines=("fan",))
    few = scores[~((scores["condition"] == "normal") & (scores["split"] == "test"))]
    kept = scores.drop(few.index).groupby(["detector", "seed"]).head(2)
    found = compare(pd.concat([few, kept]), test_sets, ["fan"], resamples=50).agreement
    rows = found[found["detector"] == "all"]
    assert set(rows["measure"]) == {"detector kendall", "selection regret"}
    assert rows[["value", "low", "high", "perfect"]].isna().all(axis=None)
    assert rows["reason"].str.contains("2 clips of a class; expected at least 10").all()


def test_detectors_that_are_all_alike_have_no_order_and_no_interval(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), seeds=(0,))
    scores["score"] = scores["clip_id"].map(scores.drop_duplicates("clip_id").set_index("clip_id")["score"])
    rows = compare(scores, test_sets, ["fan"], resamples=50).agreement.set_index("measure")
    kendall = rows.loc["detector kendall"]
    assert np.isnan([kendall["value"], kendall["low"], kendall["high"]]).all() and kendall["reason"]
    assert rows.loc["selection regret", "value"] == 0.0

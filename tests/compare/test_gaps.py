from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asdbench.compare import compare
from asdbench.compare.bootstrap import delong_se
from asdbench.compare.gaps import summary_row
from asdbench.compare.perfect import holm
from asdbench.metrics.detection import mann_whitney_auc


def auc_of(scores: pd.DataFrame, machine: str, detector: str, source: str, seed: int) -> float:
    own = scores[
        (scores["machine"] == machine)
        & (scores["detector"] == detector)
        & (scores["seed"] == seed)
        & (scores["split"] == "test")
    ]
    normal = own[(own["source"] == "real") & (own["condition"] == "normal")]["score"].to_numpy()
    anomaly = own[(own["source"] == source) & (own["condition"] == "anomaly")]["score"].to_numpy()
    return mann_whitney_auc(normal, anomaly)


def cell(gaps: pd.DataFrame, machine: str, detector: str = "ae", generator: str = "effects") -> dict[str, Any]:
    rows = gaps[(gaps["machine"] == machine) & (gaps["detector"] == detector) & (gaps["generator"] == generator)]
    assert len(rows) == 1
    return {str(name): value for name, value in rows.iloc[0].items()}


def test_means_deviations_and_gaps_are_those_of_the_seeds(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(generators=("effects", "other"))
    gaps = compare(scores, test_sets, ["fan", "slider", "valve"], resamples=200).gaps
    assert len(gaps) == 3 * 2 * 2
    for row in gaps.to_dict("records"):
        key = (scores, row["machine"], row["detector"])
        original = np.array([auc_of(*key, "real", seed) for seed in range(3)])
        generated = np.array([auc_of(*key, row["generator"], seed) for seed in range(3)])
        for name, values in (("auc_original", original), ("auc_generated", generated), ("gap", generated - original)):
            assert row[name] == pytest.approx(values.mean(), abs=1e-12)
            assert row[f"{name}_sd"] == pytest.approx(values.std(ddof=1), abs=1e-12)
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        assert (row["n_normal"], row["n_anomaly_original"], row["n_anomaly_generated"]) == (20, 20, 20)
        assert (row["n_seeds"], row["n_seeds_expected"], row["reason"]) == (3, 3, "")


def test_interval_of_an_auc_is_about_delongs(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=100)
    row = cell(compare(scores, test_sets, ["fan"], resamples=4000).gaps, "fan")
    test = scores[(scores["split"] == "test") & (scores["source"] == "real")]
    normal, anomaly = (test[test["condition"] == c]["score"].to_numpy() for c in ("normal", "anomaly"))
    width = row["auc_original_high"] - row["auc_original_low"]
    assert width == pytest.approx(2 * 1.96 * delong_se(normal, anomaly), rel=0.07)


def test_shared_normals_pair_the_gap(make_scores: Any, test_sets: Any) -> None:
    """A generator that copies the real anomalies has a gap of 0 whose noise is that of the anomalies alone."""
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=60)
    test = scores["split"] == "test"
    real = scores[test & (scores["source"] == "real") & (scores["condition"] == "anomaly")].sort_values("clip_id")
    generated = scores[scores["source"] == "effects"].sort_values("clip_id")
    scores.loc[generated.index, "score"] = real["score"].to_numpy()
    row = cell(compare(scores, test_sets, ["fan"], resamples=4000).gaps, "fan")
    assert row["gap"] == 0
    normal = scores[test & (scores["condition"] == "normal")]["score"].to_numpy()
    placements = [mann_whitney_auc(normal, np.array([score])) for score in real["score"]]
    of_anomalies = math.sqrt(2 * np.var(placements, ddof=1) / 60)
    assert row["gap_high"] - row["gap_low"] == pytest.approx(2 * 1.96 * of_anomalies, rel=0.07)
    unpaired = math.sqrt(2) * (row["auc_original_high"] - row["auc_original_low"])
    assert row["gap_high"] - row["gap_low"] < 0.9 * unpaired


def test_more_generation_seeds_narrow_the_interval_but_not_the_original(make_scores: Any, test_sets: Any) -> None:
    """Fresh generated clips add information; scoring the same real clips again does not."""
    one, many = (
        cell(compare(make_scores(machines=("fan",), detectors=("ae",), seeds=s), test_sets, ["fan"]).gaps, "fan")
        for s in ((0,), tuple(range(8)))
    )

    def width(row: dict[str, Any], name: str) -> float:
        return float(row[f"{name}_high"] - row[f"{name}_low"])

    assert width(many, "auc_generated") < 0.9 * width(one, "auc_generated")
    assert width(many, "auc_original") == pytest.approx(width(one, "auc_original"), rel=0.15)


def test_intervals_cover_the_truth(test_sets: Any) -> None:
    """200 experiments, each a 'machine', whose true AUCs are known: about 95 % of the intervals hold them.

    The whole grid is in tests/simulations/interval_coverage.py; this is the way through the score table.
    """
    rng = np.random.default_rng(7)
    experiments, clips, shifts = 200, 50, {"normal": 0.0, "real": 0.8, "effects": 1.2}
    rows = [
        {
            "machine": f"m{experiment:03d}",
            "source": "real" if kind == "normal" else kind,
            "generation_seed": 0 if kind == "effects" else -1,
            "condition": "normal" if kind == "normal" else "anomaly",
            "clip_id": f"{kind}_{clip}",
            "score": score,
        }
        for experiment in range(experiments)
        for kind, shift in shifts.items()
        for clip, score in enumerate(rng.normal(shift, size=clips))
    ]
    fixed = {"seed": 0, "section": "00", "domain": "none", "detector": "ae", "split": "test", "content_hash": ""}
    scores = pd.DataFrame(rows).assign(**fixed)
    gaps = compare(scores, test_sets, sorted(scores["machine"].unique()), resamples=100).gaps
    assert len(gaps) == experiments
    truth = {name: stats.norm.cdf(shift / math.sqrt(2)) for name, shift in shifts.items()}
    for name, value in (
        ("auc_original", truth["real"]),
        ("auc_generated", truth["effects"]),
        ("gap", truth["effects"] - truth["real"]),
    ):
        inside = ((gaps[f"{name}_low"] <= value) & (value <= gaps[f"{name}_high"])).mean()
        assert 0.91 <= inside <= 0.99, name


def test_one_seed_has_no_deviation(make_scores: Any, test_sets: Any) -> None:
    row = cell(compare(make_scores(seeds=(4,)), test_sets, ["fan", "slider", "valve"], resamples=50).gaps, "fan")
    assert math.isnan(row["gap_sd"])
    assert not math.isnan(row["gap_low"])
    assert row["reason"] == ""


def test_a_machine_without_anomalies_says_so(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores()
    gone = (scores["machine"] == "slider") & (scores["source"] == "real") & (scores["condition"] == "anomaly")
    found = compare(scores[~gone], test_sets, ["fan", "slider", "valve"], resamples=50)
    row = cell(found.gaps, "slider")
    assert math.isnan(row["auc_original"])
    assert math.isnan(row["gap"])
    assert not math.isnan(row["auc_generated"])
    assert row["reason"] == "original: no anomalous test clip"
    summary = found.summary.iloc[0]
    assert (summary["n_machines"], summary["n_machines_expected"], summary["missing"]) == (2, 3, "slider")
    both = [cell(found.gaps, machine)["gap"] for machine in ("fan", "valve")]
    assert summary["mean_gap"] == pytest.approx(np.mean(both), abs=1e-12)
    assert math.isnan(summary["pearson"])
    assert summary["reason"] == (
        "2 of 3 machines; missing: slider (original: no anomalous test clip); no correlation over 2 machines (needs 3)"
    )


def test_a_reported_problem_is_the_reason(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(generators=("effects", "model"))
    gone = (scores["source"] == "model") & (scores["machine"] == "fan") & (scores["seed"] == 1)
    gone |= (scores["detector"] == "knn") & (scores["machine"] == "valve") & (scores["seed"] == 2)
    problems = [
        {"machine": "fan", "detector": None, "source": "model", "seed": 1, "reason": "out of memory"},
        {"machine": "valve", "detector": "knn", "source": None, "seed": 2, "reason": "knn did not converge"},
    ]
    found = compare(scores[~gone], test_sets, ["fan", "slider", "valve"], problems, resamples=50)
    row = cell(found.gaps, "fan", "ae", "model")
    assert row["reason"] == "generated: 2 of 3 seeds (seed 1: out of memory)"
    assert (row["n_seeds"], row["n_seeds_original"], row["n_seeds_generated"]) == (2, 3, 2)
    kept = [auc_of(scores, "fan", "ae", "model", s) - auc_of(scores, "fan", "ae", "real", s) for s in (0, 2)]
    assert row["gap"] == pytest.approx(np.mean(kept), abs=1e-12)
    row = cell(found.gaps, "valve", "knn", "effects")
    assert row["reason"] == (
        "original: 2 of 3 seeds (seed 2: knn did not converge); generated: 2 of 3 seeds (seed 2: knn did not converge)"
    )
    # A machine with a seed less is not averaged with the others.
    summary = found.summary.set_index(["detector", "generator"])
    assert summary.loc[("ae", "model"), "missing"] == "fan"
    assert summary.loc[("ae", "effects"), "missing"] == ""
    assert summary.loc[("knn", "effects"), "missing"] == "valve"


def test_what_is_nowhere_in_the_scores_is_in_the_table(make_scores: Any, test_sets: Any) -> None:
    problems = [
        {"machine": "pump", "reason": "the data set has no pump"},
        {"source": "model", "reason": "the weights are missing"},
        {"detector": "gmm", "reason": "singular covariance"},
    ]
    machines = ["fan", "slider", "valve", "pump"]
    gaps = compare(make_scores(), test_sets, machines, problems, resamples=50).gaps
    assert len(gaps) == 4 * 3 * 2
    assert cell(gaps, "pump")["reason"] == "original: the data set has no pump; generated: the data set has no pump"
    assert cell(gaps, "fan", "ae", "model")["reason"] == "generated: the weights are missing"
    assert cell(gaps, "fan", "ae", "model")["n_seeds_expected"] == 3
    assert "singular covariance" in cell(gaps, "fan", "gmm")["reason"]


def test_a_seed_that_failed_on_all_machines_is_missed(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores()
    scores = scores[~((scores["source"] == "effects") & (scores["seed"] == 2))]
    problems = [{"source": "effects", "seed": 2, "reason": "disk full"}]
    row = cell(compare(scores, test_sets, ["fan", "slider", "valve"], problems, resamples=50).gaps, "fan")
    assert (row["n_seeds"], row["n_seeds_expected"]) == (2, 3)
    assert row["reason"] == "generated: 2 of 3 seeds (seed 2: disk full)"


def test_crossed_detector_and_generation_seeds(make_scores: Any, test_sets: Any) -> None:
    paired = make_scores(machines=("fan",), detectors=("ae",), seeds=(0, 1))
    generated = paired[(paired["source"] == "effects") & (paired["seed"] == 0)]
    crossed = [generated.assign(seed=seed, generation_seed=made) for seed in (0, 1) for made in (10, 11)]
    scores = pd.concat([paired[paired["source"] == "real"], *crossed])
    row = cell(compare(scores, test_sets, ["fan"], resamples=50).gaps, "fan")
    assert (row["n_seeds"], row["n_seeds_expected"], row["n_seeds_original"]) == (4, 4, 2)
    less = scores[~((scores["generation_seed"] == 11) & (scores["seed"] == 1))]
    row = cell(compare(less, test_sets, ["fan"], resamples=50).gaps, "fan")
    assert (row["n_seeds"], row["n_seeds_expected"]) == (3, 4)
    assert row["reason"] == "generated: 3 of 4 seeds (seed 1, generation seed 11: no scores of effects clips)"


def test_half_scored_and_not_finite(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",))
    real = (scores["source"] == "real") & (scores["split"] == "test")
    lost = scores[real & (scores["seed"] == 1)].index[:3]
    scores.loc[scores[(scores["source"] == "effects") & (scores["seed"] == 2)].index[0], "score"] = np.nan
    row = cell(compare(scores.drop(lost), test_sets, ["fan"], resamples=50).gaps, "fan")
    assert row["n_seeds"] == 1
    assert "seed 1: only 37 of 40 real clips were scored" in row["reason"]
    assert "seed 2: 1 of 20 scores of effects clips are not finite" in row["reason"]


def test_uneven_numbers_of_generated_clips_are_said(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",))
    lost = scores[(scores["source"] == "effects") & (scores["seed"] == 1)].index[:5]
    row = cell(compare(scores.drop(lost), test_sets, ["fan"], resamples=50).gaps, "fan")
    assert row["n_seeds"] == 3
    assert row["reason"] == "generated: 15 to 20 anomalous clips, depending on the seed"


def test_separated_classes_are_not_certain(make_scores: Any, test_sets: Any) -> None:
    """Every resample has an AUC of 1, so the bootstrap has no interval; the default one says what 20 clips can show."""
    scores = make_scores(machines=("fan",), detectors=("ae",), shift=100.0)
    row = cell(compare(scores, test_sets, ["fan"], resamples=50).gaps, "fan")
    assert (row["auc_original"], row["gap"], row["reason"]) == (1, 0, "")
    assert 0.85 < row["auc_original_low"] < 0.95 and row["auc_original_high"] == 1
    assert -0.15 < row["gap_low"] < -0.05 and 0.05 < row["gap_high"] < 0.15
    assert math.isnan(row["gap_low_bootstrap"])
    assert (row["p"], row["floor_method"]) == (1, "binormal")


def test_one_clip_is_not_enough(make_scores: Any, test_sets: Any) -> None:
    single = make_scores(machines=("fan",), detectors=("ae",), clips=1)
    row = cell(compare(single, test_sets, ["fan"], resamples=50).gaps, "fan")
    assert not math.isnan(row["gap"])
    assert math.isnan(row["p"]) and row["n_comparisons"] == 0
    assert row["verdict"] == "too few"
    assert row["reason"] == "no interval of AUC original and AUC generated and gap: only 1 clip of a class"


def test_verdicts(make_scores: Any, test_sets: Any) -> None:
    """A generator that is far off is different; a good one with few clips is not told from anything."""
    scores = make_scores(generators=("good", "bad"), detectors=("ae",), clips=80)
    scores.loc[scores["source"] == "bad", "score"] += 2
    found = compare(scores, test_sets, ["fan", "slider", "valve"], resamples=50)
    gaps = found.gaps.set_index(["generator", "machine"])
    assert set(gaps.loc["bad", "verdict"]) == {"different"}
    assert set(gaps.loc["good", "verdict"]) == {"too few"}
    assert (gaps["n_comparisons"] == 6).all()
    assert (gaps["p_holm"] >= gaps["p"]).all()
    assert gaps["n_needed"].between(300, 500).all()
    # Three seeds, each with 80 fresh clips, against 80 real ones: 1/80 + 1/240 in place of 2/80.
    good = gaps.loc["good"]
    assert (good["floor_high"] / good["floor"]).between(2.2, 2.7).all()
    narrow = compare(scores[scores["seed"] == 0], test_sets, ["fan", "slider", "valve"], resamples=50).gaps
    ratio = good["floor"].to_numpy() / narrow[narrow["generator"] == "good"]["floor"].to_numpy()
    assert ratio.mean() == pytest.approx(math.sqrt((1 / 80 + 1 / 240) / (2 / 80)), rel=0.1)
    summary = found.summary.set_index("generator")
    assert (summary.loc["bad", "n_different"], summary.loc["good", "n_too_few"]) == (3, 3)


def test_many_clips_of_a_good_generator_are_equivalent(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=1500, training=3)
    row = cell(compare(scores, test_sets, ["fan"], resamples=20).gaps, "fan")
    assert row["verdict"] == "equivalent"
    assert row["p_equivalence"] <= 0.05
    close = cell(compare(scores, test_sets, ["fan"], resamples=20, margin=0.001).gaps, "fan")
    assert close["verdict"] == "too few"
    wide = cell(compare(scores, test_sets, ["fan"], resamples=20, margin=0.2).gaps, "fan")
    assert wide["p_equivalence"] < row["p_equivalence"]


def test_clips_that_are_not_shared_add_their_noise(make_scores: Any, test_sets: Any) -> None:
    """A matched control has generated normal clips too: floor and interval are wider than with shared ones."""
    scores = make_scores(machines=("fan",), detectors=("ae",), clips=60, seeds=(0,))
    normals = scores[(scores["source"] == "real") & (scores["condition"] == "normal") & (scores["split"] == "test")]
    made = normals.assign(source="effects", generation_seed=0, clip_id="made " + normals["clip_id"])
    made["score"] = np.random.default_rng(6).normal(size=len(made))
    sets = test_sets | {"matched": {"normal": "generated", "anomaly": "generated"}}
    gaps = compare(pd.concat([scores, made]), sets, ["fan"], resamples=50).gaps.set_index("test_set")
    width = gaps["gap_high"] - gaps["gap_low"]
    assert width["matched"] > 1.2 * width["generated"]
    assert gaps["floor"]["matched"] > 1.2 * gaps["floor"]["generated"]


def test_summary_has_intervals_and_the_floor(make_scores: Any, test_sets: Any) -> None:
    made = compare(make_scores(detectors=("ae",)), test_sets, ["fan", "slider", "valve"], resamples=300)
    row, gaps = made.summary.iloc[0], made.gaps
    assert row["mean_floor"] == pytest.approx(gaps["floor"].mean())
    below = math.sqrt(((gaps["gap"] - gaps["gap_low"]) ** 2).sum()) / 3
    assert row["mean_gap_low"] == pytest.approx(row["mean_gap"] - below)
    assert 0 <= row["mean_abs_gap_low"] <= row["mean_abs_gap_high"]
    for name in ("pearson", "spearman", "kendall"):
        assert -1 <= row[f"{name}_low"] <= row[f"{name}_high"] <= 1


def test_without_a_real_test_set(make_scores: Any, test_sets: Any) -> None:
    only = {"generated": test_sets["generated"]}
    row = cell(compare(make_scores(), only, ["fan", "slider", "valve"], resamples=50).gaps, "fan")
    assert math.isnan(row["gap"])
    assert row["reason"] == "no test set of real clips only"


def test_summary_of_the_published_table() -> None:
    """The numbers recomputed from Table IV of the MIMII-Gen paper."""
    original, generated = (
        np.array([0.5468, 0.6920, 0.9496, 0.5588, 0.5271]),
        np.array([0.5916, 0.7607, 0.9713, 0.6132, 0.5517]),
    )
    machines = list("abcde")
    gaps = pd.DataFrame(
        {
            "machine": machines,
            "auc_original": original,
            "auc_generated": generated,
            "gap": generated - original,
            "n_seeds": 1,
            "n_seeds_expected": 1,
            "reason": "",
        }
    )
    row = summary_row(gaps, machines)
    assert round(100 * row["mean_gap"], 2) == 4.28
    assert round(100 * row["mean_abs_gap"], 2) == 4.28
    assert round(100 * row["rms_gap"], 2) == 4.64
    assert round(100 * row["mean_relative_gap"], 1) == 7.0
    assert round(row["pearson"], 3) == 0.994
    assert row["spearman"] == 1.0
    assert (row["n_machines"], row["missing"], row["reason"]) == (5, "", "")


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(8)
    x, y = np.round(rng.random(12), 1), np.round(rng.random(12), 1)  # rounded: ties
    machines = [f"m{i}" for i in range(12)]
    gaps = pd.DataFrame({"machine": machines, "auc_original": x, "auc_generated": y, "gap": y - x, "reason": ""})
    row = summary_row(gaps.assign(n_seeds=1, n_seeds_expected=1), machines)
    assert row["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    same = summary_row(gaps.assign(n_seeds=1, n_seeds_expected=1, auc_original=0.5), machines)
    assert math.isnan(same["pearson"])
    assert same["reason"] == "no correlation: the AUC is the same on all machines"


def test_controls_do_not_make_the_tests_of_generators_stricter(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(generators=("good", "held out"), detectors=("ae",), clips=80)
    alone = compare(scores[scores["source"] != "held out"], test_sets, ["fan", "slider", "valve"], resamples=20).gaps
    options: dict[str, Any] = {"resamples": 20, "generators": ["good", "held out"]}
    found = compare(scores, test_sets, ["fan", "slider", "valve"], controls=["held out"], **options).gaps
    good, control = (found[found["generator"] == name] for name in ("good", "held out"))
    assert good["p_holm"].tolist() == alone["p_holm"].tolist()
    assert (found["n_comparisons"] == 3).all()
    assert not good["is_control"].any() and control["is_control"].all()
    assert control["p_holm"].tolist() == pytest.approx(holm(control["p"].tolist()))
    every = compare(scores, test_sets, ["fan", "slider", "valve"], **options).gaps
    assert (every["n_comparisons"] == 6).all()

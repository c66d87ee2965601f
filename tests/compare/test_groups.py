"""Statistics of clips that come in groups, against oracles: closed forms, sums written out, a bootstrap over groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench.compare import compare
from asdbench.compare.bootstrap import Resampler, delong_se, draw_weights, weighted_aucs
from asdbench.compare.estimates import (
    Estimate,
    auc_estimate,
    combine,
    covariance,
    equivalence_p,
    gap_interval,
    score_interval,
)
from asdbench.compare.perfect import Placed, Side, design_of, perfect_p
from asdbench.compare.scoring import Scorer
from asdbench.compare.sharing import by_group
from asdbench.compare.testsets import Replicate, ScoreTable, count_groups, expand

NORMAL, REAL, MADE = ("normal", "real"), ("anomaly", "real"), ("anomaly", "made")
Labels = np.ndarray[Any, np.dtype[np.object_]]


def labels(sizes: list[int], prefix: str) -> Labels:
    return np.array([f"{prefix}{group}" for group, size in enumerate(sizes) for _ in range(size)], dtype=object)


def estimate_of(
    normal: Any, anomaly: Any, of_normal: Labels | None, of_anomaly: Labels | None, pool: Any = REAL
) -> Estimate:
    plain = auc_estimate(normal, anomaly, NORMAL, pool)
    return by_group(plain, {NORMAL: of_normal, pool: of_anomaly}, {NORMAL: normal, pool: anomaly})


def drawn(rng: np.random.Generator, groups: Labels, effect: dict[str, float], shift: float = 0.0) -> Any:
    return np.array([effect[name] for name in groups]) + shift + rng.normal(size=len(groups))


def obuchowski(normal: Any, anomaly: Any, of_normal: Labels, of_anomaly: Labels) -> float:
    """Variance of the AUC as written in Obuchowski (1997), with anomalies for the diseased, pair by pair."""
    m, n = len(anomaly), len(normal)
    kernel = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in normal] for x in anomaly]
    auc = sum(map(sum, kernel)) / m / n
    v10 = [sum(row) / n for row in kernel]
    v01 = [sum(kernel[i][j] for i in range(m)) / m for j in range(n)]
    clusters = sorted({*of_normal, *of_anomaly})
    x = {c: sum(v for v, own in zip(v10, of_anomaly, strict=True) if own == c) for c in clusters}
    y = {c: sum(v for v, own in zip(v01, of_normal, strict=True) if own == c) for c in clusters}
    sizes = {c: (int((of_anomaly == c).sum()), int((of_normal == c).sum())) for c in clusters}
    i10, i01, i = len(set(of_anomaly)), len(set(of_normal)), len(clusters)
    s10 = i10 / (i10 - 1) / m * sum((x[c] - sizes[c][0] * auc) ** 2 for c in set(of_anomaly))
    s01 = i01 / (i01 - 1) / n * sum((y[c] - sizes[c][1] * auc) ** 2 for c in set(of_normal))
    s11 = i / (i - 1) * sum((x[c] - sizes[c][0] * auc) * (y[c] - sizes[c][1] * auc) for c in clusters)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("mixed", [False, True])
def test_variance_is_obuchowskis(mixed: bool) -> None:
    rng = np.random.default_rng(0)
    of_normal, of_anomaly = labels([1, 4, 2, 7, 3], "g"), labels([5, 1, 3, 2], "g" if mixed else "a")
    effect = {name: rng.normal() for name in sorted({*of_normal, *of_anomaly})}
    normal, anomaly = np.round(drawn(rng, of_normal, effect), 1), np.round(drawn(rng, of_anomaly, effect, 1.0), 1)
    found = estimate_of(normal, anomaly, of_normal, of_anomaly)
    assert found.variance == pytest.approx(obuchowski(normal, anomaly, of_normal, of_anomaly), rel=1e-9)
    assert found.variance != pytest.approx(delong_se(normal, anomaly) ** 2, rel=0.05)
    assert [count for _, count in found.parts] == ([5] if mixed else [5, 4])


def test_groups_of_one_clip_are_delongs_clips() -> None:
    rng = np.random.default_rng(1)
    normal, anomaly = rng.normal(size=17), rng.normal(1, 1, 23)
    found = estimate_of(normal, anomaly, labels([1] * 17, "n"), labels([1] * 23, "a"))
    assert found.variance == pytest.approx(delong_se(normal, anomaly) ** 2, rel=1e-12)
    assert found.design_effect == pytest.approx(1.0)
    unnamed = np.array([""] * 17, dtype=object)  # clips that are alone in their group need no name
    assert estimate_of(normal, anomaly, unnamed, None).variance == pytest.approx(found.variance, rel=1e-12)


def test_a_group_of_copies_is_one_clip() -> None:
    rng = np.random.default_rng(2)
    normal, real, made = rng.normal(size=70), rng.normal(2, 1, 80), rng.normal(2, 1, 90)
    repeated = [np.repeat(scores, 5) for scores in (normal, real, made)]
    names = [labels([5] * len(scores), prefix) for scores, prefix in ((normal, "n"), (real, "a"), (made, "g"))]
    once = auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)
    many = (
        estimate_of(repeated[0], repeated[1], names[0], names[1]),
        estimate_of(repeated[0], repeated[2], names[0], names[2], MADE),
    )
    for a, b in zip(once, many, strict=True):
        assert b.variance == pytest.approx(a.variance, rel=1e-9)
        assert 4.5 < b.design_effect < 5.5
        low, high = score_interval(b, 0.95)
        narrow = score_interval(a, 0.95)
        assert low <= narrow[0] + 1e-12 and narrow[1] - 1e-12 <= high
        np.testing.assert_allclose((low, high), narrow, atol=0.02)
        assert score_interval(b.by_clip, 0.95)[0] > narrow[0] + 0.01  # what they would be taken for without groups
    assert covariance(*many) == pytest.approx(covariance(*once), rel=1e-9)
    np.testing.assert_allclose(gap_interval(*many, 0.95), gap_interval(*once, 0.95), atol=0.02)
    assert equivalence_p(*many, 0.05) == pytest.approx(equivalence_p(*once, 0.05), abs=0.03)


@pytest.mark.parametrize("mixed", [False, True])
def test_variance_is_that_of_a_bootstrap_over_groups(mixed: bool) -> None:
    rng = np.random.default_rng(3)
    sizes = [int(size) for size in rng.integers(3, 9, size=40)]
    of_normal, of_anomaly = labels(sizes, "g"), labels(sizes[::-1], "g" if mixed else "a")
    effect = {name: 1.5 * rng.normal() for name in sorted({*of_normal, *of_anomaly})}
    normal, anomaly = drawn(rng, of_normal, effect), drawn(rng, of_anomaly, effect, 1.5)
    found = estimate_of(normal, anomaly, of_normal, of_anomaly)
    weights = [draw_weights(40, 4000, rng) for _ in range(2)]
    places = [np.array([int(name[1:]) for name in names]) for names in (of_normal, of_anomaly)]
    second = weights[0] if mixed else weights[1]
    draws = weighted_aucs(normal, anomaly, weights[0][:, places[0]], second[:, places[1]])
    assert draws.std() == pytest.approx(np.sqrt(found.variance), rel=0.1)
    assert abs(np.sqrt(found.variance) / delong_se(normal, anomaly) - 1) > 0.1


def test_covariance_of_two_scores_by_hand() -> None:
    """Real and generated anomalies of the same groups: each pair of pools counts once, and so do shared groups."""
    rng = np.random.default_rng(4)
    groups = labels([3] * 6, "g")
    effect = {f"g{index}": rng.normal() for index in range(6)}
    normal, real, made = (drawn(rng, groups, effect, shift) for shift in (0.0, 1.0, 1.0))
    first, second = estimate_of(normal, real, groups, groups), estimate_of(normal, made, groups, groups, MADE)
    gap = combine(second.value - first.value, [first, second], [-1, 1])
    moves = np.zeros(6)
    for estimate, sign in ((first, -1), (second, 1)):
        for values in estimate.influence.values():
            moves += sign * (values - values.mean()) / 6
    assert gap.variance == pytest.approx(6 / 5 * (moves**2).sum(), rel=1e-9)
    assert gap.variance == pytest.approx(first.variance + second.variance - 2 * covariance(first, second), rel=1e-9)


def test_few_groups_widen_the_interval_where_nearly_all_is_right() -> None:
    """One clip of 200 is misplaced: five recordings cannot show an AUC above 0.99."""
    rng = np.random.default_rng(5)
    groups = [labels([40] * 5, prefix) for prefix in "na"]
    effects = {name: 2 * rng.normal() for names in groups for name in sorted(set(names))}
    normal, anomaly = drawn(rng, groups[0], effects), drawn(rng, groups[1], effects, 20.0)
    anomaly[0] = np.sort(normal)[100]
    by_groups = score_interval(estimate_of(normal, anomaly, *groups), 0.95)
    by_clips = score_interval(auc_estimate(normal, anomaly, NORMAL, REAL), 0.95)
    assert by_clips[0] > 0.98 and by_groups[0] < 0.97


def test_one_group_has_no_interval() -> None:
    rng = np.random.default_rng(6)
    normal, anomaly = rng.normal(size=12), rng.normal(size=12)
    found = estimate_of(normal, anomaly, labels([12], "n"), labels([6, 6], "a"))
    assert not found.has_variance and np.isnan(score_interval(found, 0.95)).all()


def test_too_few_groups_are_never_equivalent() -> None:
    rng = np.random.default_rng(7)
    scores = [shift + 0.01 * rng.normal(size=590) for shift in (0, 9, 9)]
    names = [labels([10] * 59, prefix) for prefix in "nag"]
    pair = estimate_of(*scores[:2], *names[:2]), estimate_of(scores[0], scores[2], names[0], names[2], MADE)
    assert equivalence_p(*pair, 0.05) > 0.05
    assert equivalence_p(pair[0].by_clip, pair[1].by_clip, 0.05) <= 0.05  # type: ignore[arg-type]


def test_groups_are_counted() -> None:
    assert count_groups(np.array(["a", "", "b", "a", ""], dtype=object)) == 4
    assert count_groups(np.array([], dtype=object)) == 0


# What follows is about whole comparisons of score tables with the column "group".


def in_groups(scores: pd.DataFrame, size: int, sources: tuple[str, ...] = ("real",)) -> pd.DataFrame:
    """Give every ``size`` clips of a kind one group and a common move of their scores."""
    number = scores["clip_id"].str.extract(r"_(\d+)\.wav$")[0].astype(int) // size
    name = scores["machine"] + " " + scores["condition"] + " " + scores["source"] + " " + number.astype(str)
    rng = np.random.default_rng(0)
    moves = {one: 1.2 * rng.normal() for one in sorted(set(name))}
    mine = scores["source"].isin(sources)
    score = scores["score"] + name.map(moves)
    return scores.assign(group=name.where(mine, ""), score=score)


@pytest.mark.parametrize("column", ["", "the clip", "a name of its own", "one that only training clips share"])
def test_a_column_that_groups_nothing_changes_nothing(make_scores: Any, test_sets: Any, column: str) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0, 1))
    given = {
        "": "",
        "the clip": scores["clip_id"],
        "a name of its own": "group of " + scores["clip_id"],
        "one that only training clips share": scores["clip_id"].where(scores["split"] == "test", "day 1"),
    }
    options: dict[str, Any] = {"resamples": 100, "years": (2023,)}
    without = compare(scores, test_sets, ["fan"], **options)
    found = compare(scores.assign(group=given[column]), test_sets, ["fan"], **options)
    for name in ("gaps", "metrics", "summary", "official_summary", "agreement", "controls"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(without, name))
    assert found.gaps["n_normal_groups"].tolist() == found.gaps["n_normal"].tolist()


def test_a_comparison_counts_groups(make_scores: Any, test_sets: Any) -> None:
    scores = in_groups(make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=60), 5)
    options: dict[str, Any] = {"resamples": 1500, "years": (2023,)}
    by_clip = compare(scores.drop(columns="group"), test_sets, ["fan"], **options)
    found = compare(scores, test_sets, ["fan"], **options)
    before, after = by_clip.gaps.iloc[0], found.gaps.iloc[0]
    for name in ("auc_original", "auc_generated", "gap"):
        assert after[name] == before[name]
    assert (after["n_normal"], after["n_normal_groups"]) == (60, 12)
    assert (after["n_anomaly_original"], after["n_anomaly_original_groups"]) == (60, 12)
    assert (after["n_anomaly_generated"], after["n_anomaly_generated_groups"]) == (60, 60)

    def width(row: Any, name: str, end: str = "") -> float:
        return float(row[f"{name}_high{end}"] - row[f"{name}_low{end}"])

    for name in ("auc_original", "gap"):
        for end in ("", "_bootstrap"):
            assert width(after, name, end) > 1.2 * width(before, name, end), (name, end)
    # The bootstrap over groups stands beside it and says about the same.
    assert width(after, "auc_original") == pytest.approx(width(after, "auc_original", "_bootstrap"), rel=0.3)
    assert after["floor_high"] > 1.2 * before["floor_high"]
    assert after["n_needed"] > before["n_needed"]
    assert after["n_needed_groups"] == np.ceil(after["n_needed"] / 5)
    assert after["p_equivalence"] >= np.exp(-0.05 * 12) - 1e-12
    official = [c.official_summary.set_index("source").loc["real"] for c in (by_clip, found)]
    assert official[0]["value"] == official[1]["value"]
    assert official[1]["high"] - official[1]["low"] > 1.2 * (official[0]["high"] - official[0]["low"])
    metrics = [c.metrics.query("source == 'real' and section == 'all'").iloc[0] for c in (by_clip, found)]
    assert metrics[1]["low"] == pytest.approx(after["auc_original_low"], abs=0.01)  # domains are strata there
    assert metrics[0]["low"] == pytest.approx(before["auc_original_low"], abs=0.01)
    assert metrics[1]["n_normal_groups"] == 12
    clips = found.clips.query("source == 'real' and split == 'test' and condition == 'normal'").iloc[0]
    assert (clips["n_clips"], clips["n_groups"]) == (60, 12)


def test_resamples_draw_whole_groups_of_both_kinds(make_scores: Any, test_sets: Any) -> None:
    """A group with clips of both kinds and of two sources comes or goes as a whole."""
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=12, training=2)
    number = scores["clip_id"].str.extract(r"_(\d+)\.wav$")[0].astype(int)
    scores = scores.assign(group=("day " + (number // 4).astype(str)).where(scores["split"] == "test", ""))
    table = ScoreTable(scores, ["fan"])
    scorer = Scorer(table, Resampler(200))
    specs = {spec.name: spec for spec in expand(test_sets, ["effects"])}
    scored: dict[str, Any] = {
        name: scorer.score("fan", "ae", spec)[0][Replicate(0, -1 if name == "original" else 0)]
        for name, spec in specs.items()
    }
    for one in scored.values():
        weights = [place.weights(scorer.resampler, "fan") for place in one.places]
        of_groups = weights[0].reshape(200, 3, 4)
        assert (of_groups == of_groups[:, :, :1]).all() and (of_groups.sum(axis=1) == 3).all()
        np.testing.assert_array_equal(weights[0], weights[1])
        pick = weights[0][7]
        again = np.mean(np.sign(np.repeat(one.anomaly, pick)[:, None] - np.repeat(one.normal, pick)[None]) / 2 + 0.5)
        assert one.draws()[7] == pytest.approx(again)
    first, second = scored["original"].estimate, scored["generated"].estimate
    assert covariance(first, second) != 0.0


def test_all_clips_of_one_group_say_so(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,))
    real = (scores["source"] == "real") & (scores["split"] == "test")
    scores = scores.assign(group=("recording " + scores["condition"]).where(real, ""))
    row = compare(scores, test_sets, ["fan"], resamples=50, years=(2023,)).gaps.iloc[0]
    assert np.isnan(row["auc_original_low"]) and np.isnan(row["gap_low"])
    assert "all clips of a class are of 1 group" in row["reason"]
    assert row["verdict"] == "too few"  # not "": there is a gap


def test_the_order_of_rows_and_names_of_groups_change_nothing(make_scores: Any, test_sets: Any) -> None:
    scores = in_groups(make_scores(machines=("fan",), detectors=("ae",), seeds=(0, 1), clips=30), 6)
    options: dict[str, Any] = {"resamples": 60, "years": (2023,)}
    found = compare(scores, test_sets, ["fan"], **options)
    shuffled = scores.sample(frac=1, random_state=1)
    for again in (shuffled, scores.assign(group=scores["group"].where(scores["group"] == "", "x" + scores["group"]))):
        other = compare(again, test_sets, ["fan"], **options)
        pd.testing.assert_frame_equal(other.gaps, found.gaps)


def test_generated_clips_of_one_host_are_a_group(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=60)
    both = in_groups(scores, 5, ("real", "effects"))
    one = both.assign(group=both["group"].where(both["source"] == "real", ""))
    rows = [compare(given, test_sets, ["fan"], resamples=50).gaps.iloc[0] for given in (one, both)]
    assert rows[1]["n_anomaly_generated_groups"] == 12 and rows[0]["n_anomaly_generated_groups"] == 60
    assert rows[1]["auc_generated_high"] - rows[1]["auc_generated_low"] > 1.05 * (
        rows[0]["auc_generated_high"] - rows[0]["auc_generated_low"]
    )
    assert rows[1]["floor"] > rows[0]["floor"]


@pytest.mark.parametrize(("groups", "verdict"), [(4, "too few"), (5, "different")])
def test_fewer_than_five_groups_draw_no_verdict(make_scores: Any, test_sets: Any, groups: int, verdict: str) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=40, shift=9.0)
    scores.loc[scores["source"] == "effects", "score"] -= 8
    number = scores["clip_id"].str.extract(r"_(\d+)\.wav$")[0].astype(int)
    group = scores["condition"] + " " + (number % groups).astype(str)
    given = scores.assign(group=group.where(scores["source"] == "real", ""))
    row = compare(given, test_sets, ["fan"], resamples=50).gaps.iloc[0]
    assert row["verdict"] == verdict
    assert np.isnan(row["p"]) == (groups < 5)


def test_likeness_is_the_intra_class_correlation() -> None:
    rng = np.random.default_rng(8)
    names = labels([8] * 300, "a")
    effect = {name: np.sqrt(0.3) * rng.normal() for name in sorted(set(names))}
    placements = np.array([effect[name] for name in names]) + np.sqrt(0.7) * rng.normal(size=2400)
    estimate = by_group(Estimate(0.5, {REAL: placements}), {REAL: names}, {REAL: placements})
    one = Placed(placements, estimate.influence[REAL], True)
    assert one.likeness == pytest.approx(0.3, abs=0.06)
    assert one.design_effect(one.likeness) == pytest.approx(estimate.design_effect, rel=1e-9)
    assert Placed(placements, placements).likeness == 0.0


def test_a_perfect_p_takes_real_groups_to_be_as_alike_as_generated_ones() -> None:
    """All real clips are placed right, which does not show how alike those of a group are."""
    right, some = np.ones(40), np.repeat([0.2, 1.0, 1.0, 0.9, 1.0], 8)
    of_groups = np.ones(5), np.array([0.2, 1.0, 1.0, 0.9, 1.0])
    gap = float(some.mean() - 1)

    def p(real: Placed, made: Placed) -> float:
        side = Side({0: real}, {MADE: {Replicate(0, 0): made}}, 50)
        return perfect_p(gap, [side])

    both = p(Placed(right, of_groups[0], True), Placed(some, of_groups[1], True))
    clips = p(Placed(right, right), Placed(some, some))
    assert clips < 0.002 < 0.2 < both
    size = design_of([Side({0: Placed(right, of_groups[0], True)}, {MADE: {Replicate(0, 0): Placed(some, some)}}, 50)])
    assert size == (1.0, 8.0)

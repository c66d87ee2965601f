"""Coverage where clips come in recordings: AUC and gap with 5 to 30 recordings of a kind, 10 to 40 clips each.

A clip's score is that of its recording plus its own; the intra-class correlation is the recording's share of the
variance. Part of `interval_coverage`; alone it prints its rows: ``python tests/simulations/group_cases.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from shares import Share, within

from asdbench.compare.bootstrap import bca_interval, draw_weights, weighted_aucs
from asdbench.compare.estimates import Estimate, auc_estimate, equivalence_p, gap_interval, score_interval
from asdbench.compare.perfect import Placed, Side, perfect_p
from asdbench.compare.sharing import by_group
from asdbench.compare.testsets import Half, Replicate
from asdbench.compare.verdict import claims_equivalence
from asdbench.seeding import derive_rng

NORMAL, REAL, MADE = ("normal", "real"), ("anomaly", "real"), ("anomaly", "made")
SHAPES = ((5, 10), (5, 40), (10, 20), (30, 10), (30, 40))
"""Recordings of a kind, clips of a recording."""
CORRELATIONS = (0.1, 0.4, 0.8)
AUCS = (0.6, 0.8, 0.95)
KINDS = ("apart", "mixed")
MARGIN = 0.05
OF_AUC, OF_GAP = "AUC by recording", "gap by recording"
DIFFERENT, EQUIVALENT = "false 'different' by recording", "false 'equivalent' by recording"
BY_CLIP = "by clip; not used"

Rng = np.random.Generator


def names_of(groups: int, clips: int, prefix: str) -> np.ndarray:
    return np.array([f"{prefix}{group}" for group in range(groups) for _ in range(clips)], dtype=object)


def half(scores: np.ndarray, group: np.ndarray | None) -> Half:
    empty = np.array([""] * len(scores), dtype=object)
    return Half(empty, empty, scores, group=group)


def drawn(rng: Rng, shift: float, effect: np.ndarray, clips: int, correlation: float) -> np.ndarray:
    """Scores of all clips of recordings with the given effects (standard normal)."""
    own = rng.normal(size=len(effect) * clips) * np.sqrt(1 - correlation)
    return shift + np.repeat(effect, clips) * np.sqrt(correlation) + own


def estimates(
    rng: Rng, kind: str, groups: int, clips: int, correlation: float, auc: float
) -> tuple[Estimate, Estimate, Estimate, Estimate, tuple[Half, Half, Half]]:
    """Original and generated set by recordings, then the same by clips.

    "apart": a recording has normal or anomalous clips, generated clips are recordings of their own. "mixed": each
    recording has half normal and half anomalous clips, and generated clips come in recordings of their own.
    """
    effects = [rng.normal(size=groups) for _ in range(3)]
    # With common effects the difference of two clips' scores varies less, but clips are compared across recordings.
    shift = float(stats.norm.ppf(auc) * np.sqrt(2))
    if kind == "mixed":
        clips //= 2
        effects[1] = effects[0]
    normal = drawn(rng, 0.0, effects[0], clips, correlation)
    real = drawn(rng, shift, effects[1], clips, correlation)
    if kind == "mixed":
        made = drawn(rng, shift, effects[2], clips, correlation)
        labels = [names_of(groups, clips, name) for name in ("m", "m", "g")]
    else:
        made = rng.normal(shift, 1, size=groups * clips)
        labels = [names_of(groups, clips, "n"), names_of(groups, clips, "a"), None]
    halves = half(normal, labels[0]), half(real, labels[1]), half(made, labels[2])
    plain = auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)
    first = by_group(plain[0], {NORMAL: labels[0], REAL: labels[1]}, {NORMAL: normal, REAL: real})
    second = by_group(plain[1], {NORMAL: labels[0], MADE: labels[2]}, {NORMAL: normal, MADE: made})
    return first, second, *plain, halves


def true_auc(kind: str, groups: int, clips: int, correlation: float, auc: float) -> float:
    """Expected AUC: in mixed recordings one pair in ``groups`` is of one recording, whose effect cancels."""
    if kind == "apart":
        return auc
    inside = stats.norm.cdf(stats.norm.ppf(auc) / np.sqrt(1 - correlation))
    return float(auc + (inside - auc) / groups)


def recordings(repetitions: int) -> Iterator[dict[str, object]]:
    """Intervals by recording and, for comparison, by clip; whether a perfect generator is called different."""
    for kind in KINDS:
        for groups, clips in SHAPES:
            for correlation in CORRELATIONS:
                for auc in AUCS:
                    rng = derive_rng("groups", kind, groups, clips, correlation, auc)
                    truth = true_auc(kind, groups, clips, correlation, auc)
                    gap_truth = auc - truth
                    shares = {key: Share() for key in ("auc", "gap", "by clip", "different")}
                    for _ in range(repetitions):
                        first, second, plain, _, halves = estimates(rng, kind, groups, clips, correlation, auc)
                        shares["auc"].add(within(score_interval(first, 0.95), truth))
                        shares["gap"].add(within(gap_interval(first, second, 0.95), gap_truth))
                        shares["by clip"].add(within(score_interval(plain, 0.95), truth))
                        if kind == "apart":  # else the expected gap is not 0
                            p = perfect_p(second.value - first.value, [side_of(first, second, len(halves[0]))])
                            shares["different"].add(p <= 0.05)
                    names = {"distribution": f"recordings, {kind}", "auc": auc, "n": f"{groups}x{clips}"}
                    names["correlation"] = correlation
                    yield shares["auc"].row(OF_AUC, "default", **names)
                    yield shares["gap"].row(OF_GAP, "default", **names)
                    yield shares["by clip"].row(OF_AUC, BY_CLIP, **names)
                    if kind == "apart":
                        yield shares["different"].row(DIFFERENT, "default", **names)


def side_of(first: Estimate, second: Estimate, other: int) -> Side:
    placed = [
        Placed(
            estimate.by_clip.influence[pool] if estimate.by_clip else estimate.influence[pool],
            estimate.influence[pool],
            pool in estimate.units,
        )
        for estimate, pool in ((first, REAL), (second, MADE))
    ]
    return Side({0: placed[0]}, {MADE: {Replicate(0, 0): placed[1]}}, other)


def resampled_recordings(repetitions: int, resamples: int = 400) -> Iterator[dict[str, object]]:
    """AUC by the bootstrap over recordings (BCa), which stands beside the default."""
    for kind in KINDS:
        for groups, clips in ((5, 10), (10, 20), (30, 10)):
            for correlation in (0.1, 0.8):
                rng = derive_rng("groups bootstrap", kind, groups, clips, correlation)
                truth = true_auc(kind, groups, clips, correlation, 0.8)
                share = Share()
                for repetition in range(repetitions):
                    if repetition % 20 == 0:
                        drawn = [draw_weights(groups, resamples, rng) for _ in range(2)]
                    first, _, _, _, halves = estimates(rng, kind, groups, clips, correlation, 0.8)
                    weights = [np.repeat(own, len(halves[0]) // groups, axis=1) for own in drawn]
                    both = weights[0], weights[0 if kind == "mixed" else 1]
                    draws = weighted_aucs(halves[0].score, halves[1].score, *both)
                    share.add(within(bca_interval(first.value, draws, first, 0.95), truth))
                names = {"distribution": f"recordings, {kind}", "auc": 0.8, "n": f"{groups}x{clips}"}
                yield share.row(OF_AUC, "bootstrap (BCa)", **names, correlation=correlation)


def equivalent_recordings(repetitions: int) -> Iterator[dict[str, object]]:
    """A gap at the margin, by recordings: the smallest numbers with which "equivalent" can be said, and twice as many.

    "two rooms": normal recordings from two rooms, anomalies between them, but a tenth of the generated recordings above
    all. "binormal": recordings of correlation 0.4, AUC 0.97 and 0.92.
    """
    for name in ("two rooms", "binormal"):
        for groups in (30, 60, 120):
            rng = derive_rng("groups equivalence", name, groups)
            share = Share()
            labels = [names_of(groups, 10, prefix) for prefix in "nag"]
            for _ in range(repetitions):
                effects = [rng.normal(size=groups) for _ in range(3)]
                if name == "two rooms":
                    rooms = [
                        np.arange(groups) % 2 * 100.0,
                        np.full(groups, 50.0),
                        50 + 150.0 * (rng.random(groups) < 0.1),
                    ]
                    scores = [
                        np.repeat(room, 10) + drawn(rng, 0.0, effect, 10, 0.4)
                        for room, effect in zip(rooms, effects, strict=True)
                    ]
                else:
                    shifts = (0.0, *(float(stats.norm.ppf(auc) * np.sqrt(2)) for auc in (0.97, 0.92)))
                    scores = [drawn(rng, s, e, 10, 0.4) for s, e in zip(shifts, effects, strict=True)]
                pools = (NORMAL, REAL, MADE)
                pair = [
                    by_group(
                        auc_estimate(scores[0], scores[index], NORMAL, pools[index]),
                        {NORMAL: labels[0], pools[index]: labels[index]},
                        {NORMAL: scores[0], pools[index]: scores[index]},
                    )
                    for index in (1, 2)
                ]
                limits = gap_interval(pair[0], pair[1], 0.95)
                inside = limits[0] > -MARGIN and limits[1] < MARGIN
                p = equivalence_p(pair[0], pair[1], MARGIN) if inside else 1.0
                share.add(claims_equivalence(p, limits, MARGIN, 0.05))
            yield share.row(EQUIVALENT, "default", distribution=name, n=f"{groups}x10", correlation=0.4, margin=MARGIN)


def table(frame: pd.DataFrame, quantity: str, method: str = "default") -> str:
    """A Markdown table: shapes by correlation and AUC."""
    mine = frame[(frame["quantity"] == quantity) & (frame["method"] == method)]
    cells = [(c, a) for c in CORRELATIONS for a in AUCS if ((mine["correlation"] == c) & (mine["auc"] == a)).any()]
    lines = ["| | " + " | ".join(f"{c}, {a}" for c, a in cells) + " |", "|---" * (len(cells) + 1) + "|"]
    for (kind, shape), own in mine.groupby(["distribution", "n"], sort=False):
        by = {(row["correlation"], row["auc"]): row["percent"] for row in own.to_dict("records")}
        lines.append(f"| {kind}, {shape} | " + " | ".join(f"{by[cell]:.1f}" for cell in cells) + " |")
    return "\n".join(lines)


def tables(frame: pd.DataFrame) -> dict[str, str]:
    """Tables of the report by title."""
    where = "recordings x clips by correlation within recordings and AUC"
    listing = frame[frame["quantity"] == EQUIVALENT]
    lines = ["| scores | recordings x clips | percent |", "|---|---|---|"]
    lines += [f"| {row['distribution']} | {row['n']} | {row['percent']:.1f} |" for row in listing.to_dict("records")]
    return {
        f"AUC by recording, default interval; {where}": table(frame, OF_AUC),
        "AUC by recording, bootstrap over recordings (BCa), the check column": table(frame, OF_AUC, "bootstrap (BCa)"),
        "AUC of the same clips, default interval of clips without recordings": table(frame, OF_AUC, BY_CLIP),
        "Paired gap by recording, default interval": table(frame, OF_GAP),
        "False 'different' by recording for a perfect generator, one cell (at most 5)": table(frame, DIFFERENT),
        "False 'equivalent' by recording, true gap at the margin of 5 points (at most 5)": "\n".join(lines),
    }


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    parts = recordings(count), resampled_recordings(count), equivalent_recordings(count)
    for title, text in tables(pd.DataFrame(row for part in parts for row in part)).items():
        print(f"{title}\n\n{text}\n")

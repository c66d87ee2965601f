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

from asdbench.compare.estimates import Estimate, auc_estimate, gap_interval, score_interval
from asdbench.compare.sharing import by_group
from asdbench.compare.testsets import Half
from asdbench.seeding import derive_rng

NORMAL, REAL, MADE = ("normal", "real"), ("anomaly", "real"), ("anomaly", "made")
SHAPES = ((5, 10), (5, 40), (10, 20), (30, 10), (30, 40))
"""Recordings of a kind, clips of a recording."""
CORRELATIONS = (0.1, 0.4, 0.8)
AUCS = (0.6, 0.8, 0.95)
KINDS = ("apart", "mixed")

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
    first = by_group(plain[0], {NORMAL: halves[0], REAL: halves[1]})
    second = by_group(plain[1], {NORMAL: halves[0], MADE: halves[2]})
    return first, second, *plain, halves


def true_auc(kind: str, groups: int, clips: int, correlation: float, auc: float) -> float:
    """Expected AUC: in mixed recordings one pair in ``groups`` is of one recording, whose effect cancels."""
    if kind == "apart":
        return auc
    inside = stats.norm.cdf(stats.norm.ppf(auc) / np.sqrt(1 - correlation))
    return float(auc + (inside - auc) / groups)


def recordings(repetitions: int) -> Iterator[dict[str, object]]:
    """Intervals by recording and, for comparison, by clip."""
    for kind in KINDS:
        for groups, clips in SHAPES:
            for correlation in CORRELATIONS:
                for auc in AUCS:
                    rng = derive_rng("groups", kind, groups, clips, correlation, auc)
                    truth = true_auc(kind, groups, clips, correlation, auc)
                    gap_truth = auc - truth
                    of_auc, of_gap, by_clip = Share(), Share(), Share()
                    for _ in range(repetitions):
                        first, second, plain, _, _ = estimates(rng, kind, groups, clips, correlation, auc)
                        of_auc.add(within(score_interval(first, 0.95), truth))
                        of_gap.add(within(gap_interval(first, second, 0.95), gap_truth))
                        by_clip.add(within(score_interval(plain, 0.95), truth))
                    names = {
                        "distribution": f"recordings, {kind}",
                        "auc": auc,
                        "n": f"{groups}x{clips}",
                        "correlation": correlation,
                    }
                    yield of_auc.row("AUC by recording", "default", **names)
                    yield of_gap.row("gap by recording", "default", **names)
                    yield by_clip.row("AUC by recording", "by clip; not used", **names)


def table(frame: pd.DataFrame, quantity: str, method: str = "default") -> str:
    """A Markdown table: shapes by correlation and AUC."""
    mine = frame[(frame["quantity"] == quantity) & (frame["method"] == method)]
    cells = [(correlation, auc) for correlation in CORRELATIONS for auc in AUCS]
    lines = ["| | " + " | ".join(f"ICC {c}, {a}" for c, a in cells) + " |", "|---" * (len(cells) + 1) + "|"]
    for (kind, shape), own in mine.groupby(["distribution", "n"], sort=False):
        by = {(row["correlation"], row["auc"]): row["percent"] for row in own.to_dict("records")}
        lines.append(f"| {kind}, {shape} | " + " | ".join(f"{by[cell]:.1f}" for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    found = pd.DataFrame(recordings(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
    for what in ("AUC by recording", "gap by recording"):
        print(what, table(found, what), sep="\n")
    print(table(found, "AUC by recording", "by clip; not used"))

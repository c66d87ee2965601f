"""Controls: what a detector hears of the generator and its codec, apart from the fault.

A detector that tells generated anomalies from real normal clips may hear the fault, or the way the clips were made. So
each generator that learns is also asked for normal clips, and for real clips through its codec, and these are scored:

| control | normal clips | clips that pose as anomalies | should be |
|---|---|---|---|
| codec, normal | real | other real normal clips through the codec | 0.5 |
| codec, anomaly | real | other real anomalies through the codec | the AUC on real clips: the ceiling in this codec |
| generated normal | real | generated normal clips | 0.5; above it the detector hears the generator: the artefact AUC |
| matched | generated normal clips | generated anomalies | the AUC on real clips: the gap without the artefact |

The bounds, other real anomalies and other real normal clips, stand in the table of gaps as generators of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.estimates import Estimate, Pool, auc_estimate, mean_of, score_interval
from asdbench.compare.sharing import by_group
from asdbench.compare.testsets import REAL, Half, Replicate, ScoreTable
from asdbench.metrics.detection import Domains

if TYPE_CHECKING:
    import pandas as pd

CHANCE = 0.5

CONTROL_COLUMNS = (
    "machine",
    "detector",
    "generator",
    "control",
    "n_normal",
    "n_anomaly",
    "n_normal_groups",
    "n_anomaly_groups",
    "n_seeds",
    "auc",
    "auc_sd",
    "auc_low",
    "auc_high",
    "expected",
    "deviates",
    "reason",
)
"""Columns of the table of controls: ``n_anomaly`` counts the clips that pose as anomalies; ``*_groups``
count the groups that the clips are of; ``expected`` is 0.5 or the
AUC on real clips; ``deviates`` says whether that lies outside the interval."""


@dataclass(frozen=True)
class Control:
    """One row of the module's table.

    Attributes:
        name: of the control.
        normal: source and condition of the clips that are taken for normal; "{}" stands for the generator.
        posing: likewise of those that pose as anomalies.
        expected: 0.5, or None for the AUC on real clips.
    """

    name: str
    normal: tuple[str, str]
    posing: tuple[str, str]
    expected: float | None


ARTEFACT, MATCHED = "generated normal", "matched"
CONTROLS = (
    Control("codec, normal", (REAL, "normal"), ("{}.codec", "normal"), CHANCE),
    Control("codec, anomaly", (REAL, "normal"), ("{}.codec", "anomaly"), None),
    Control(ARTEFACT, (REAL, "normal"), ("{}", "normal"), CHANCE),
    Control(MATCHED, ("{}", "normal"), ("{}", "anomaly"), None),
)


def control_rows(table: ScoreTable, gaps: Sequence[Mapping[str, Any]], confidence: float) -> list[dict[str, Any]]:
    """Score the controls of every generator that has them.

    Args:
        table: the scores.
        gaps: rows of the table of gaps, which have the AUC on real clips.
        confidence: of the intervals.

    Returns:
        Rows with `CONTROL_COLUMNS`: NaN for what cannot be computed, and why in ``reason``.
    """
    real = {(row["machine"], row["detector"]): float(row["auc_original"]) for row in gaps}
    rows = []
    for generator in table.generators:
        for control in CONTROLS if table.is_controlled(generator) else ():
            for machine in table.machines:
                for detector in table.detectors:
                    names = {"machine": machine, "detector": detector, "generator": generator, "control": control.name}
                    expected = control.expected
                    if expected is None:
                        expected = real.get((machine, detector), float("nan"))
                    rows.append(names | _score(table, control, generator, machine, detector, expected, confidence))
    return rows


def with_controls(gaps: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """Add to each cell what the controls say of it.

    Returns:
        The table of gaps with ``artefact_auc`` and ``matched_gap`` (AUC of generated anomalies against generated normal
        clips, minus the AUC on real clips): NaN where the generator has no such control, or not for every seed.
    """
    by = ["machine", "detector", "generator"]
    # A control without some seed is another mean than the cell's.
    whole = controls[controls["reason"] == ""]
    artefact, matched = (whole[whole["control"] == name] for name in (ARTEFACT, MATCHED))
    artefact = artefact[[*by, "auc"]].rename(columns={"auc": "artefact_auc"})
    matched = matched.assign(matched_gap=matched["auc"] - matched["expected"])[[*by, "matched_gap"]]
    joined = gaps.merge(artefact, on=by, how="left").merge(matched, on=by, how="left")
    return joined.astype({"artefact_auc": "float64", "matched_gap": "float64"})


def _score(
    table: ScoreTable,
    control: Control,
    generator: str,
    machine: str,
    detector: str,
    expected: float,
    confidence: float,
) -> dict[str, Any]:
    estimates: list[Estimate] = []
    reasons: dict[str, None] = {}
    counts = group_counts = (0, 0)
    source = control.posing[0].format(generator)
    for replicate in table.replicates(source):
        normal, posing = (
            _half(table, where, generator, machine, detector, replicate) for where in (control.normal, control.posing)
        )
        counts = max(counts, (len(normal), len(posing)))
        group_counts = max(group_counts, (normal.groups, posing.groups))
        why = "; ".join(dict.fromkeys(half.reason for half in (normal, posing) if half.reason))
        if why:
            reasons[why] = None
            continue
        made = replicate.generation_seed
        pools = [
            (kind, where[0], where[1], -1 if where[0] == REAL else made)
            for kind, where in (("normal", control.normal), ("anomaly", control.posing))
        ]
        estimate = auc_estimate(normal.score, posing.score, *pools)
        groups: dict[Pool, Domains | None] = dict(zip(pools, (normal.group, posing.group), strict=True))
        estimates.append(by_group(estimate, groups, dict(zip(pools, (normal.score, posing.score), strict=True))))
    values = np.array([estimate.value for estimate in estimates])
    row: dict[str, Any] = {"n_normal": counts[0], "n_anomaly": counts[1], "n_seeds": len(estimates)}
    row |= {"n_normal_groups": group_counts[0], "n_anomaly_groups": group_counts[1]}
    row |= {"auc": float("nan"), "auc_sd": float("nan"), "auc_low": float("nan"), "auc_high": float("nan")}
    row |= {"expected": expected, "deviates": None}
    if estimates:
        mean = mean_of(estimates)
        low, high = score_interval(mean, confidence)
        row |= {"auc": mean.value, "auc_low": low, "auc_high": high}
        if len(values) > 1:
            row["auc_sd"] = float(values.std(ddof=1))
        if not np.isnan([low, high, expected]).any():
            row["deviates"] = not low <= expected <= high
    return row | {"reason": "; ".join(reasons) or ("" if estimates else f"no scores of {source} clips")}


def _half(
    table: ScoreTable, where: tuple[str, str], generator: str, machine: str, detector: str, replicate: Replicate
) -> Half:
    source, condition = where
    return table.half(condition, source.format(generator), machine, detector, replicate)

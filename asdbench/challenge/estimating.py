"""Values of a system as the challenge's result files hold them, with an interval each.

Intervals are those of `asdbench.compare`: over clips, from the influences of all areas that a value is made of, with
the numbers of clips of each section, domain and class taken as fixed (see `asdbench.compare.official_scores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.estimates import NO_INTERVAL, Estimate, Interval, harmonic_mean_of, mean_of, score_interval
from asdbench.compare.official_scores import measure_estimate
from asdbench.compare.testsets import REAL, Half, TestSet, TestSetSpec
from asdbench.frames import records
from asdbench.metrics import detection, official

if TYPE_CHECKING:
    import pandas as pd

ARITHMETIC, HARMONIC, DEVIATION = "arithmetic mean", "harmonic mean", "standard deviation"
_MEANS = {ARITHMETIC: mean_of, HARMONIC: harmonic_mean_of}
_SPEC = TestSetSpec("original", REAL, REAL, REAL)

_Sections = dict[str, dict[str, Estimate | None]]
"""Estimates of a machine by section and column of the result file; None where an area is not defined."""


@dataclass(frozen=True)
class Evaluated:
    """The values of one system.

    Attributes:
        rows: one row a section, then `ARITHMETIC` and `HARMONIC` mean of each machine; after them the same of all
            machines (``machine`` is "all") with the `DEVIATION` of the values that are averaged. Columns as in the
            result files, ``<column>: low`` and ``<column>: high`` for each area, ``n_normal``, ``n_anomaly``,
            ``reason``.
        total: the official score; NaN where ``reason`` says why.
        interval: of the official score.
        scored: machines that can be scored.
        reason: why there is no official score, or "".
    """

    rows: list[dict[str, Any]]
    total: float
    interval: Interval
    scored: tuple[str, ...]
    reason: str


def evaluate_clips(clips: pd.DataFrame, year: int, machines: Sequence[str], confidence: float) -> Evaluated:
    """Compute the values of one system.

    Args:
        clips: one row a test clip, with the columns of `asdbench.challenge.truths.COLUMNS`.
        year: of the challenge.
        machines: the machine types that make up the official score.
        confidence: of the intervals.
    """
    found = official.official_score(clips, year, machines)
    rows: list[dict[str, Any]] = []
    averaged: list[pd.DataFrame] = []
    estimates: list[_Sections] = []
    for machine in machines:
        mine = clips[clips["machine"] == machine]
        if not len(mine):
            rows.append({"machine": machine, "section": official.ALL, "reason": found.missing[machine]})
            continue
        table = official.result_table(mine, year)
        estimates.append(_estimates(mine, machine, year))
        rows += _machine_rows(machine, mine, table, estimates[-1], confidence)
        averaged.append(table.iloc[-2:-1] if year == 2020 else table.iloc[:-2])
    interval = NO_INTERVAL
    if found.missing:
        rows.append({"machine": official.ALL, "section": HARMONIC, "reason": found.reason})
    else:
        rows += _rows_over_machines(averaged, estimates, year, confidence)
        interval = _interval(_total(estimates, year), confidence, student=False)
    return Evaluated(rows, found.total, interval, found.scored, found.reason)


def _estimates(clips: pd.DataFrame, machine: str, year: int) -> _Sections:
    def half(condition: str) -> Half:
        mine = clips[clips["condition"] == condition]
        columns = [mine[name].to_numpy(dtype=object) for name in ("section", "domain")]
        return Half(columns[0], columns[1], mine["score"].to_numpy(dtype=np.float64))

    test_set = TestSet(half("normal"), half("anomaly"))
    found: _Sections = {}
    for section in sorted(set(test_set.section)):
        inside = test_set.section == section
        found[section] = {}
        for header, measure in official.result_areas(year).items():
            found[section][header] = None
            contrast = detection.CONTRASTS[measure]
            if not detection.why_undefined(contrast, test_set.is_anomaly[inside], test_set.domain[inside]):
                part = measure_estimate(measure, test_set, section, _SPEC)
                # Pools of other machines and sections are other clips.
                own = {(pool[0], machine, section, *pool[1:]): values for pool, values in part.influence.items()}
                found[section][header] = Estimate(part.value, own)
    return found


def _machine_rows(
    machine: str, clips: pd.DataFrame, table: pd.DataFrame, estimates: _Sections, confidence: float
) -> list[dict[str, Any]]:
    rows = []
    headers = list(next(iter(estimates.values())))
    for row in records(table):
        section = str(row["section"])
        own: dict[str, Any] = {"machine": machine, **row, "section": section, "reason": ""}
        for header in headers:
            if section in estimates:
                limits = _interval(estimates[section][header], confidence)
            else:
                limits = _interval(_mean_of_column(section, [estimates], header), confidence, student=False)
            own[f"{header}: low"], own[f"{header}: high"] = limits
        if section in estimates:
            inside = clips[clips["section"] == section]
            counts = inside["condition"].value_counts()
            own |= {f"n_{name}": int(counts.get(name, 0)) for name in ("normal", "anomaly")}
            own["reason"] = _why_undefined(inside, [header for header in headers if estimates[section][header] is None])
        rows.append(own)
    return rows


def _why_undefined(clips: pd.DataFrame, headers: Sequence[str]) -> str:
    is_anomaly, _, domain = official.arrays(clips)
    measures = official.result_areas(2023) | official.result_areas(2020)
    reasons = [detection.why_undefined(detection.CONTRASTS[measures[header]], is_anomaly, domain) for header in headers]
    return "; ".join(dict.fromkeys(reasons))


def _rows_over_machines(
    averaged: Sequence[pd.DataFrame], estimates: Sequence[_Sections], year: int, confidence: float
) -> list[dict[str, Any]]:
    import pandas as pd

    values = pd.concat(averaged, ignore_index=True)
    rows = []
    for row in records(official.with_means(values).iloc[-2:]):
        own = {"machine": official.ALL, **row, "reason": ""}
        for header in official.result_areas(year):
            mean = _mean_of_column(str(row["section"]), estimates, header, by_machine=year == 2020)
            own[f"{header}: low"], own[f"{header}: high"] = _interval(mean, confidence, student=False)
        rows.append(own)
    spread = {str(column): float(values[column].std(ddof=1, skipna=False)) for column in values.columns[1:]}
    return [*rows, {"machine": official.ALL, "section": DEVIATION, **spread, "reason": ""}]


def _mean_of_column(mean: str, machines: Sequence[_Sections], header: str, by_machine: bool = False) -> Estimate | None:
    """The mean of a column over sections of machines; with ``by_machine`` over arithmetic means of the machines."""
    parts = [[sections[header] for sections in machine.values()] for machine in machines]
    known = [[part for part in machine if part is not None] for machine in parts]
    if known != parts:
        return None
    if by_machine:
        return _MEANS[mean]([mean_of(machine) for machine in known])
    return _MEANS[mean]([part for machine in known for part in machine])


def _total(machines: Sequence[_Sections], year: int) -> Estimate | None:
    """The official score with its influences; see `asdbench.metrics.official`."""
    measured = [header for header, name in official.result_areas(year).items() if name in official.MEASURES[year]]
    parts = [[sections[header] for sections in machine.values() for header in measured] for machine in machines]
    known = [[part for part in machine if part is not None] for machine in parts]
    if known != parts:
        return None
    if year == 2020:
        return mean_of([mean_of(machine) for machine in known])
    return harmonic_mean_of([part for machine in known for part in machine])


def _interval(estimate: Estimate | None, confidence: float, student: bool = True) -> Interval:
    return NO_INTERVAL if estimate is None else score_interval(estimate, confidence, student=student)

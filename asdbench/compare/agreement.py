"""Does the generated test set order things as the real one does? Correlations, detectors' ranks, selection regret.

1. *Machines*: Pearson's, Spearman's and Kendall's (tau-b) correlation of the AUC on original and generated set over
   cells of machine, section and domain. A cell's AUC is that of its domain's normal clips against all anomalous clips
   of its section (the challenge's, from 2022 on), averaged over seeds.
2. *Detectors*: tau-b of the detectors' AUCs on a machine, averaged over machines.
3. *Selection regret*: real AUC of the detector that is best on the real set minus real AUC of the one that the
   generated set picks, averaged over machines: what choosing by the generated set costs. Where several tie on the
   generated set, the mean over them.

Every figure has a bootstrap interval over clips, with the resamples shared by all cells, so that detectors and test
sets stay paired. The noise of clips pulls every measured agreement down, and resampling adds it a second time.
Pearson's interval undoes both: it holds the correlations of *true* AUCs that make the measured one unsurprising. Ranks
and the regret jump, so their intervals are percentiles, which lie low (high, for the regret), and are widened to hold
the measured figure. ``perfect`` is the mean figure of a perfect generator with the same numbers of clips (two
independent resamples of the real anomalies, with shared normals): the agreement that can be reached at all, itself with
the noise of clips twice. With ``over_machines`` machines are resampled too, as a second factor: where would the figure
be with other machines of the same sort?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench.compare.bootstrap import percentile_interval
from asdbench.compare.scoring import Part, Scorer
from asdbench.compare.testsets import Replicate, TestSetSpec
from asdbench.metrics.detection import Scores
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    from asdbench.compare.gaps import Cell

MIN_CLIPS = 10
"""Fewest clips of a class in a cell of machine, section and domain; the noise of fewer hides any order."""
MIN_CELLS = 3
"""Fewest cells for a correlation: with two it is always 1 or -1."""

AGREEMENT_COLUMNS = (
    "detector",
    "generator",
    "test_set",
    "measure",
    "value",
    "low",
    "high",
    "perfect",
    "n_cells",
    "n_cells_expected",
    "confidence",
    "reason",
)
"""Columns of the table of agreement.

``measure`` is "pearson", "spearman" or "kendall" (over the ``n_cells`` cells of machine, section and domain), and with
``detector`` "all" "detector kendall" and "selection regret" (over ``n_cells`` machines; the regret is a fraction).
"""

Array = npt.NDArray[np.floating]


def pearson(x: Array, y: Array) -> Any:
    """Pearson's correlation along the first axis; NaN where one side is constant."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    squares = (x**2).sum(axis=0) * (y**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(axis=0) / np.sqrt(squares), -1, 1)[()]


def spearman(x: Array, y: Array) -> Any:
    """Spearman's correlation along the first axis, ties averaged."""
    return pearson(ranks(x), ranks(y))


def kendall(x: Array, y: Array) -> Any:
    """Kendall's tau-b along the first axis (Kendall 1945, Biometrika 33:239-251); NaN where one side is constant."""
    i, j = np.triu_indices(len(x), 1)
    a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))[()]


def ranks(values: Array) -> Array:
    """Ranks from 1 along the first axis, ties averaged."""
    below = (values[:, None] > values[None]).sum(axis=1)
    return np.asarray(below + (values[:, None] == values[None]).sum(axis=1) / 2 + 0.5)


def regret(real: Array, made: Array) -> Any:
    """Selection regret of detectors, which are along the first axis."""
    picked = made == made.max(axis=0)
    return (real.max(axis=0) - (real * picked).sum(axis=0) / picked.sum(axis=0))[()]


CORRELATIONS: Mapping[str, Callable[[Array, Array], Any]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
}


def correlation_interval(name: str, aucs: Array, draws: Array, confidence: float) -> tuple[float, float]:
    """Interval of a correlation of AUCs on original and generated set; see the module.

    It is widened to hold the measured correlation: where the noise of clips is taken off, the correlations of true AUCs
    that fit may all lie above the measured one, and percentiles of resamples, which have the noise twice, below it.

    Args:
        name: one of `CORRELATIONS`.
        aucs: measured AUCs, shape (2, cells).
        draws: resampled AUCs, shape (2, cells, resamples).
        confidence: of the interval.
    """
    if name == "pearson":
        limits = _pearson_interval(aucs, draws, confidence)
    else:
        resampled = CORRELATIONS[name](draws[0], draws[1])
        limits = _percentiles(resampled, confidence)
    return _holding(float(CORRELATIONS[name](aucs[0], aucs[1])), limits)


def _percentiles(resampled: Array, confidence: float) -> tuple[float, float]:
    known = resampled[~np.isnan(resampled)]
    return percentile_interval(known, confidence) if len(known) else (float("nan"), float("nan"))


def _holding(value: float, limits: tuple[float, float]) -> tuple[float, float]:
    """An interval that holds a value, if need be by a limit that is moved there; NaN stays."""
    if math.isnan(value) or math.isnan(limits[0]):
        return limits
    return min(limits[0], value), max(limits[1], value)


def _pearson_interval(aucs: Array, draws: Array, confidence: float, steps: int = 16) -> tuple[float, float]:
    """All true correlations that make the measured one unsurprising (Neyman), by bisection.

    For a candidate, true AUCs are made up that have it: the measured ones with the spread over cells that is left when
    the variance of the noise is taken off, the generated set's turned towards or away from the original's. The noise of
    clips, as the bootstrap has it, is added, and the correlation measured again. Where the spread over cells is no
    larger than the noise, or no candidate explains what was measured, the correlation is open: -1 to 1.
    """
    noise = draws - draws.mean(axis=2, keepdims=True)
    centred = aucs - aucs.mean(axis=1, keepdims=True)
    cells = aucs.shape[1]
    left = centred.var(axis=1) - noise.var(axis=2).mean(axis=1) * (cells - 1) / cells
    if left.min() <= 0:
        return -1.0, 1.0
    spread = np.sqrt(left)
    original = centred[0] / centred[0].std()
    rest = centred[1] - original * (original @ centred[1]) / len(original)
    if rest.std() < 1e-9:  # on a line: any direction off it will do
        rest = np.arange(len(original)) ** 2.0
        rest = rest - rest.mean()
        rest = rest - original * (original @ rest) / len(original)
    rest = rest / rest.std()
    measured = float(pearson(aucs[0], aucs[1]))

    def share_above(candidate: float) -> float:
        generated = candidate * original + math.sqrt(1 - candidate**2) * rest
        again = pearson(spread[0] * original[:, None] + noise[0], spread[1] * generated[:, None] + noise[1])
        return float(((again > measured).mean() + (again >= measured).mean()) / 2)

    tail = (1 - confidence) / 2
    if share_above(1.0) < tail or share_above(-1.0) > 1 - tail:
        return -1.0, 1.0
    limits = []
    for level in (tail, 1 - tail):
        low, high = -1.0, 1.0
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if share_above(middle) < level else (low, middle)
        # Where even a correlation of 1 (or -1) is not surprising, it is the limit.
        limits.append(-1.0 if low == -1 else 1.0 if high == 1 else (low + high) / 2)
    return limits[0], limits[1]


@dataclass(frozen=True)
class PartCell:
    """AUC of one machine, section and domain on both sets, with resamples; or why there is none."""

    name: str
    original: float = float("nan")
    generated: float = float("nan")
    draws: tuple[Scores, Scores, Scores] | None = None
    reason: str = ""


def part_cells(
    scorer: Scorer, machine: str, detector: str, original: TestSetSpec, generated: TestSetSpec
) -> list[PartCell]:
    """The cells of section and domain of one machine."""
    table = scorer.table
    expected = table.replicates(generated.source)
    parts: set[tuple[str, str]] = set()
    for seed in table.seeds:
        half = table.test_set(original, machine, detector, Replicate(seed)).normal
        parts |= {(str(a), str(b)) for a, b in zip(half.section, half.domain, strict=True)}
    cells = []
    for section, domain in sorted(parts) or [("", "")]:
        name = "/".join(word for word in (machine, section, domain if domain != "none" else "") if word)
        part = Part(section or None, domain or None)
        real, _ = scorer.score(machine, detector, original, part)
        made, why = scorer.score(machine, detector, generated, part)
        both = [r for r in expected if r in made and Replicate(r.seed) in real]
        if len(both) < len(expected):
            reason = next(iter(why.values()), "") or "no AUC on the original set"
            cells.append(PartCell(name, reason=f"{len(both)} of {len(expected)} seeds: {reason}"))
            continue
        first, second = [real[Replicate(r.seed)] for r in both], [made[r] for r in both]
        least = min(min(len(one.normal), len(one.anomaly)) for one in (*first, *second))
        if least < MIN_CLIPS:
            cells.append(PartCell(name, reason=f"{least} clips of a class; expected at least {MIN_CLIPS}"))
            continue
        if any(one.resampled is None for one in (*first, *second)):
            cells.append(PartCell(name, reason="all clips of a class are of 1 group"))
            continue
        draws = (
            np.mean([one.draws() for one in first], axis=0),
            np.mean([one.draws() for one in second], axis=0),
            np.mean([scorer.perfect_draws(detector, part, a, b) for a, b in zip(first, second, strict=True)], axis=0),
        )
        values = [float(np.mean([one.estimate.value for one in ones])) for ones in (first, second)]
        cells.append(PartCell(name, values[0], values[1], draws))
    return cells


def correlation_rows(
    cells: Sequence[PartCell], confidence: float, over_machines: int | None = None
) -> list[dict[str, Any]]:
    """Pearson, Spearman and Kendall over cells, one row each.

    Args:
        cells: of all machines.
        confidence: of the intervals.
        over_machines: seed for resampling machines as well; None to resample clips only.
    """
    used = [cell for cell in cells if cell.draws is not None]
    reasons = _missing([(cell.name, cell.reason) for cell in cells if cell.draws is None], len(cells), "cells")
    if len(used) < MIN_CELLS:
        reasons.append(f"no correlation over {len(used)} cells (needs {MIN_CELLS})")
    rows = []
    for name, measure in CORRELATIONS.items():
        row: dict[str, Any] = dict.fromkeys(("value", "low", "high", "perfect"), float("nan"))
        row["measure"] = name
        own = list(reasons)
        if len(used) >= MIN_CELLS:
            x, y = np.array([cell.original for cell in used]), np.array([cell.generated for cell in used])
            row["value"] = float(measure(x, y))
            if math.isnan(row["value"]):
                own.append("no correlation: the AUC is the same in all cells")
            else:
                first, second, perfect = (np.array([_drawn(cell)[k] for cell in used]) for k in range(3))
                row["perfect"] = float(np.nanmean(measure(first, perfect)))
                if over_machines is None:
                    limits = correlation_interval(name, np.array([x, y]), np.array([first, second]), confidence)
                else:
                    machines = [cell.name.split("/")[0] for cell in used]
                    first, second = _resample_machines(machines, (first, second), over_machines)
                    limits = _holding(row["value"], _percentiles(measure(first, second), confidence))
                row["low"], row["high"] = limits
        rows.append(row | {"n_cells": len(used), "n_cells_expected": len(cells), "reason": "; ".join(own)})
    return rows


def detector_rows(
    cells: Mapping[tuple[str, str], Cell],
    machines: Sequence[str],
    detectors: Sequence[str],
    confidence: float,
    over_machines: int | None = None,
) -> list[dict[str, Any]]:
    """Detectors' tau-b and selection regret, one row each.

    Args:
        cells: cells of the table of gaps of one generator and test set, by machine and detector.
        machines: all machines.
        detectors: all detectors.
        confidence: of the intervals.
        over_machines: seed for resampling machines as well; None to resample clips only.
    """
    values, draws, missing = [], [], []
    for machine in machines:
        own = [cells[machine, detector] for detector in detectors]
        gone = [d for d, cell in zip(detectors, own, strict=True) if cell.original is None or not _complete(cell)]
        if len(detectors) < 2 or gone:
            missing.append((machine, f"no gap with {', '.join(gone)}" if gone else "one detector"))
            continue
        least = min(int(cell.row[name]) for cell in own for name in _COUNTS)
        if least < MIN_CLIPS:
            missing.append((machine, f"{least} clips of a class; expected at least {MIN_CLIPS}"))
            continue
        values.append(np.array([[c.row["auc_original"], c.row["auc_original"] + c.row["gap"]] for c in own]))
        draws.append(np.array([[c.original, c.generated, c.perfect] for c in own], dtype=np.float64))
    reasons = _missing(missing, len(machines), "machines")
    if len(detectors) < 2:
        reasons = [f"nothing to choose from {len(detectors)} detectors (needs 2)"]
    rows = []
    for name, measure in (("detector kendall", kendall), ("selection regret", regret)):
        row: dict[str, Any] = dict.fromkeys(("value", "low", "high", "perfect"), float("nan"))
        row["measure"] = name
        own_reasons = list(reasons)
        if values:
            row["value"] = _nanmean(np.array([measure(v[:, 0], v[:, 1]) for v in values]))
            if math.isnan(row["value"]):
                own_reasons.append("the AUC of all detectors is the same")
            made = np.array([measure(d[:, 0], d[:, 1]) for d in draws])
            row["perfect"] = _nanmean(np.array([measure(d[:, 0], d[:, 2]) for d in draws]).ravel())
            if over_machines is not None:
                (made,) = _resample_machines([str(index) for index in range(len(made))], (made,), over_machines)
            if not math.isnan(row["value"]):
                filled = np.where(np.isnan(made), 0.0, made)  # all detectors equal in a resample: no agreement seen
                limits = percentile_interval(filled.mean(axis=0), confidence)
                row["low"], row["high"] = _holding(row["value"], limits)
        counts = {"n_cells": len(values), "n_cells_expected": len(machines)}
        rows.append(row | counts | {"reason": "; ".join(own_reasons)})
    return rows


_COUNTS = ("n_normal", "n_anomaly_original", "n_anomaly_generated")


def _complete(cell: Cell) -> bool:
    return bool(cell.row["n_seeds"] == cell.row["n_seeds_expected"])


def _drawn(cell: PartCell) -> tuple[Scores, Scores, Scores]:
    assert cell.draws is not None
    return cell.draws


def _resample_machines(names: Sequence[str], arrays: Sequence[Array], seed: int) -> list[Array]:
    """Draw machines with replacement in each resample: all cells of a machine together.

    Machines have different numbers of cells, so each draw is cut or repeated to the number there is; with equal numbers
    this is the plain bootstrap of clusters.
    """
    levels = sorted(set(names))
    rows = [[i for i, name in enumerate(names) if name == level] for level in levels]
    rng = derive_rng("machines", seed, levels)
    resamples = arrays[0].shape[1]
    index = np.empty((len(names), resamples), dtype=np.intp)
    for b in range(resamples):
        drawn = [row for level in rng.integers(len(levels), size=len(levels)) for row in rows[level]]
        index[:, b] = np.resize(drawn, len(names))
    return [np.take_along_axis(array, index, axis=0) for array in arrays]


def _missing(missing: Sequence[tuple[str, str]], expected: int, what: str) -> list[str]:
    if not missing:
        return []
    named = "; ".join(f"{name} ({reason})" for name, reason in missing)
    return [f"{expected - len(missing)} of {expected} {what}; missing: {named}"]


def _nanmean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")

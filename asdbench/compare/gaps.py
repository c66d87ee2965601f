"""Gaps between the AUC on original and on generated test sets, with their uncertainty, and their summary.

The gap of a cell (machine, detector, generator) is AUC(generated) - AUC(original), averaged over repetitions. Clips
that two test sets or several seeds share are the same clips in all of them (paired); clips of another generation seed
are others. Intervals of AUC and gap are those of `asdbench.compare.estimates`; the bootstrap over clips stands beside
them as a check, and the hierarchical bootstrap over seeds and clips (`asdbench.compare.seeds`) says how far refitting
and regenerating would move the gap. What a perfect generator would show is in `asdbench.compare.perfect`, the verdict
in `asdbench.compare.verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench.compare import agreement
from asdbench.compare.bootstrap import Resampler, bca_interval, bootstrap_gap_interval, percentile_interval
from asdbench.compare.estimates import (
    Estimate,
    equivalence_p,
    gap_interval,
    mean_interval,
    mean_of,
    score_interval,
)
from asdbench.compare.perfect import design_of, floor_draws, holm, inside, perfect_p
from asdbench.compare.power import clips_needed
from asdbench.compare.scoring import WHOLE, Scored, Scorer, resampled_mean, sides_of
from asdbench.compare.seeds import resample_seeds
from asdbench.compare.testsets import Replicate, ScoreTable, TestSetSpec
from asdbench.compare.verdict import MARGIN, VERDICTS, has_few_groups, verdict
from asdbench.metrics.detection import Scores
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    import pandas as pd

MIN_MACHINES = agreement.MIN_CELLS
"""Fewest machines for a correlation."""

GAP_COLUMNS = (
    "machine",
    "detector",
    "generator",
    "test_set",
    "n_normal",
    "n_anomaly_original",
    "n_anomaly_generated",
    "n_normal_groups",
    "n_anomaly_original_groups",
    "n_anomaly_generated_groups",
    "n_seeds",
    "n_seeds_expected",
    "n_seeds_original",
    "n_seeds_original_expected",
    "n_seeds_generated",
    "auc_original",
    "auc_original_sd",
    "auc_original_low",
    "auc_original_high",
    "auc_generated",
    "auc_generated_sd",
    "auc_generated_low",
    "auc_generated_high",
    "gap",
    "gap_sd",
    "gap_low",
    "gap_high",
    "auc_original_low_bootstrap",
    "auc_original_high_bootstrap",
    "auc_generated_low_bootstrap",
    "auc_generated_high_bootstrap",
    "gap_low_bootstrap",
    "gap_high_bootstrap",
    "gap_low_seeds",
    "gap_high_seeds",
    "floor",
    "floor_high",
    "floor_method",
    "p",
    "p_holm",
    "n_comparisons",
    "is_control",
    "p_equivalence",
    "margin",
    "verdict",
    "n_needed",
    "n_needed_groups",
    "confidence",
    "resamples",
    "reason",
)
"""Columns of the table of gaps.

AUCs and gaps are fractions. ``*_groups`` count the groups (such as recordings) that the clips are of, where clips
without one are each their own. ``n_seeds`` counts the pairs of detector and generation seed that have a gap,
``n_seeds_generated`` those with an AUC on the generated set (both of ``n_seeds_expected``), ``n_seeds_original`` the
detector seeds with an AUC on the original set.

``*_low`` and ``*_high`` bound the default interval over clips, ``*_bootstrap`` the bootstrap's (NaN where every
resample is the same), ``*_seeds`` the hierarchical one over seeds and clips (NaN with one seed). ``floor`` and
``floor_high`` are the mean and the ``confidence`` quantile of a perfect generator's |gap|, ``floor_method`` how they
were found. ``p`` is the p-value of a perfect generator (NaN where a class has fewer than
`asdbench.compare.verdict.MIN_GROUPS` groups of clips), ``p_holm`` the same corrected for the ``n_comparisons`` cells of
the table (generators under test and controls apart: ``is_control``), ``p_equivalence`` that of the two one-sided tests
for ``margin``. ``n_needed`` is the number of clips of each kind that would show a gap of ``margin`` with a probability
of 80 %, in groups as large and as alike as these are; ``n_needed_groups`` is the number of real groups that these clips
would be of.
"""


@dataclass(frozen=True)
class Cell:
    """One row of the table of gaps, and its bootstrap for what is computed over several cells.

    Attributes:
        row: the row, with `GAP_COLUMNS`; what depends on the other cells is filled in by `compare_cells`.
        original: resampled AUC on the original set, shape (resamples,); None where there is none.
        generated: likewise, on the generated set, with the same normal clips.
        perfect: likewise, on a set that a perfect generator might have made.
    """

    row: dict[str, Any]
    original: Scores | None = None
    generated: Scores | None = None
    perfect: Scores | None = None


def compare_cells(cells: Sequence[Cell], confidence: float, margin: float, controls: Collection[str] = ()) -> None:
    """Fill in what depends on how many cells are compared: Holm's correction and the verdicts.

    Args:
        cells: all cells.
        confidence: 1 minus the level of the tests.
        margin: largest gap that does not matter.
        controls: generators that are bounds for others and not under test; they are a family of their own, so that
            they do not make the others' tests stricter.
    """
    for is_control in (False, True):
        own = [cell for cell in cells if (cell.row["generator"] in controls) == is_control]
        _compare_family(own, confidence, margin, is_control)


def _compare_family(cells: Sequence[Cell], confidence: float, margin: float, is_control: bool) -> None:
    p_values = [cell.row["p"] for cell in cells]
    compared = sum(not math.isnan(p) for p in p_values)
    for cell, corrected in zip(cells, holm(p_values), strict=True):
        row = cell.row
        row["is_control"] = is_control
        row |= {"p_holm": corrected, "n_comparisons": compared, "margin": margin}
        row["verdict"] = verdict(
            row["gap"],
            (row["gap_low"], row["gap_high"]),
            corrected,
            row["p_equivalence"],
            math.inf if _has_few_groups(row) else row["floor_high"],
            margin,
            round(1 - confidence, 12),
        )


def gap_cell(
    scorer: Scorer,
    machine: str,
    detector: str,
    original: TestSetSpec | None,
    generated: TestSetSpec,
    confidence: float,
    margin: float = MARGIN,
) -> Cell:
    """Compare one cell.

    Args:
        scorer: scores test sets and draws the bootstrap.
        machine: machine type.
        detector: name of the detector.
        original: the test set of real clips; None where the spec has none.
        generated: the test set with generated clips.
        confidence: of the intervals, such as 0.95.
        margin: largest gap that does not matter.

    Returns:
        The cell: NaN for what cannot be computed, and why in ``reason``.
    """
    table, resampler = scorer.table, scorer.resampler
    expected = table.replicates(generated.source)
    real: dict[Replicate, Scored] = {}
    if original is None:
        reasons = ["no test set of real clips only"]
    else:
        real, problems = scorer.score(machine, detector, original)
        reasons = _describe("original", problems, len(table.seeds))
    made, problems = scorer.score(machine, detector, generated)
    reasons += _describe("generated", problems, len(expected))
    counts, uneven = _counts(table, machine, detector, original, generated, expected)
    reasons += uneven
    both = [replicate for replicate in made if Replicate(replicate.seed) in real]
    row: dict[str, Any] = dict.fromkeys(GAP_COLUMNS, float("nan")) | {
        "machine": machine,
        "detector": detector,
        "generator": generated.source,
        "test_set": generated.name,
        **counts,
        "n_seeds": len(both),
        "n_seeds_expected": len(expected),
        "n_seeds_original": len(real),
        "n_seeds_original_expected": len(table.seeds),
        "n_seeds_generated": len(made),
        "confidence": confidence,
        "resamples": resampler.resamples,
    }
    row |= {"verdict": "", "floor_method": ""}
    first, second = [real[Replicate(replicate.seed)] for replicate in both], [made[replicate] for replicate in both]
    no_interval = []
    for name, scored in (("auc_original", list(real.values())), ("auc_generated", list(made.values()))):
        values, why = _mean_with_interval(scored, confidence)
        row |= {f"{name}{suffix}": value for suffix, value in values.items()}
        if why:
            no_interval.append((name.replace("_", " ").replace("auc", "AUC"), why))
    cell = Cell(row)
    if both:
        values, why = _gap_with_intervals(first, second, confidence)
        row |= {f"gap{suffix}": value for suffix, value in values.items()}
        row |= _against_perfect(row, first, second, resampler, confidence, margin)
        if _has_few_groups(row):
            row["p"] = float("nan")
        if why:
            no_interval.append(("gap", why))
        else:
            cell = Cell(row, *_cell_draws(scorer, detector, first, second))
            row |= _over_seeds(both, first, second, resampler, confidence)
    for why in dict.fromkeys(why for _, why in no_interval):
        reasons.append(f"no interval of {' and '.join(name for name, other in no_interval if other == why)}: {why}")
    row["reason"] = "; ".join(dict.fromkeys(reasons))
    return cell


def summary_row(
    gaps: pd.DataFrame, machines: Sequence[str], cells: Mapping[str, Cell] | None = None, confidence: float = 0.95
) -> dict[str, Any]:
    """Summarise the gaps of one detector and one generator over machines.

    Only machines whose every repetition has a gap enter; which ones are missing, and why, is in ``missing`` and
    ``reason``.

    Args:
        gaps: rows with ``machine``, ``auc_original``, ``auc_generated``, ``gap``, ``n_seeds``, ``n_seeds_expected`` and
            ``reason``, one a machine.
        machines: all machines that were to be compared.
        cells: the cells behind the rows by machine, for the intervals that take a bootstrap; without it they are NaN.
        confidence: of the intervals.

    Returns:
        ``n_machines``, ``n_machines_expected``, ``missing``, then as fractions ``mean_gap`` (signed),
        ``mean_abs_gap``, ``rms_gap``, ``mean_relative_gap`` (of gap / original AUC), then ``pearson``, ``spearman`` and
        ``kendall`` of the original and generated AUC, and ``reason``. Intervals over clips, given the machines, are
        ``mean_gap_low`` and so on. ``mean_floor`` is the mean |gap| that a perfect generator is expected to show. Then,
        how many cells have which verdict: ``n_equivalent``, ``n_different``, ``n_too_few`` and
        ``n_indistinguishable``.

        The interval of the mean gap follows from those of the cells; that of the mean |gap| is described at
        `mean_abs_interval`, the correlations' in `asdbench.compare.agreement`.
    """
    complete = gaps[gaps["gap"].notna() & (gaps["n_seeds"] == gaps["n_seeds_expected"])]
    missing = [machine for machine in machines if machine not in set(complete["machine"])]
    gap = complete["gap"].to_numpy(dtype=np.float64)
    original = complete["auc_original"].to_numpy(dtype=np.float64)
    made = complete["auc_generated"].to_numpy(dtype=np.float64)
    reasons = []
    if missing:
        why = dict(zip(gaps["machine"], gaps["reason"], strict=True))
        named = "; ".join(f"{machine} ({why.get(machine) or 'no scores'})" for machine in missing)
        reasons.append(f"{len(complete)} of {len(machines)} machines; missing: {named}")
    correlations = dict.fromkeys(agreement.CORRELATIONS, float("nan"))
    if len(complete) < MIN_MACHINES:
        reasons.append(f"no correlation over {len(complete)} machines (needs {MIN_MACHINES})")
    elif np.ptp(original) == 0 or np.ptp(made) == 0:
        reasons.append("no correlation: the AUC is the same on all machines")
    else:
        correlations = {name: measure(original, made) for name, measure in agreement.CORRELATIONS.items()}
    if (original == 0).any():
        reasons.append("no relative gap: an AUC on the original set is 0")
    relative = gap / np.where(original == 0, np.nan, original)
    summary = {
        "n_machines": len(complete),
        "n_machines_expected": len(machines),
        "missing": ", ".join(missing),
        "mean_gap": _mean(gap),
        "mean_abs_gap": _mean(np.abs(gap)),
        "rms_gap": math.sqrt(_mean(gap**2)) if len(gap) else float("nan"),
        "mean_relative_gap": _mean(relative),
        **correlations,
    }
    return summary | _summary_intervals(summary, complete, cells, confidence) | {"reason": "; ".join(reasons)}


def _summary_intervals(
    summary: Mapping[str, Any], complete: pd.DataFrame, cells: Mapping[str, Cell] | None, confidence: float
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    limits = [(float("nan"), float("nan"))] * len(complete)
    if "gap_low" in complete:
        limits = list(zip(complete["gap_low"], complete["gap_high"], strict=True))
    found["mean_gap_low"], found["mean_gap_high"] = mean_interval(list(complete["gap"]), limits)
    names = ["mean_abs_gap", *agreement.CORRELATIONS]
    found |= dict.fromkeys((f"{name}_{end}" for name in names for end in ("low", "high")), float("nan"))
    used = [cells[machine] for machine in complete["machine"]] if cells is not None else []
    original = [cell.original for cell in used if cell.original is not None]
    generated = [cell.generated for cell in used if cell.generated is not None]
    if used and len(original) == len(used):
        first, second = np.array(original), np.array(generated)
        deviations = (second - first).std(axis=1)
        low, high = mean_abs_interval(complete["gap"].to_numpy(dtype=np.float64), deviations, confidence)
        found |= {"mean_abs_gap_low": low, "mean_abs_gap_high": high}
        aucs = complete[["auc_original", "auc_generated"]].to_numpy(dtype=np.float64).T
        for name in agreement.CORRELATIONS:
            if not math.isnan(summary[name]):
                low, high = agreement.correlation_interval(name, aucs, np.array([first, second]), confidence)
                found |= {f"{name}_low": low, f"{name}_high": high}
    floors = complete["floor"].to_numpy(dtype=np.float64) if "floor" in complete else np.full(len(complete), np.nan)
    found["mean_floor"] = _mean(floors)
    verdicts = list(complete["verdict"]) if "verdict" in complete else []
    return found | {f"n_{name.replace(' ', '_')}": verdicts.count(name) for name in VERDICTS}


def mean_abs_interval(
    gaps: npt.NDArray[np.float64], deviations: npt.NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Interval of the mean absolute value of true gaps.

    The mean |gap| that is observed is larger than the true one, by as much as the floor where all true gaps are 0, and
    a bootstrap adds the same noise again. So the interval is found from the other end: it holds the values under which
    the observed one is no surprise, if true gaps are in proportion to those that were observed (means of folded normal
    distributions: Leone, Nelson & Nottingham 1961, Technometrics 3:543-550).

    Args:
        gaps: observed, one a machine.
        deviations: their standard deviations.
        confidence: such as 0.95.
    """
    from scipy import optimize, stats

    size = np.abs(gaps)
    pattern = size / size.mean() if size.any() else np.ones(len(size))
    # The spread of |gaps| is largest where they are far from 0; taken everywhere, it also covers other proportions.
    half_width = float(stats.norm.ppf((1 + confidence) / 2) * math.sqrt((deviations**2).sum()) / len(gaps))
    if not half_width > 0:
        return (float(size.mean()),) * 2 if half_width == 0 else (math.nan, math.nan)
    spread = np.maximum(deviations, np.finfo(np.float64).tiny)

    def expected(truth: float) -> float:
        z = truth * pattern / spread
        folded = spread * math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2) + truth * pattern * (1 - 2 * stats.norm.cdf(-z))
        return float(folded.mean())

    observed = float(size.mean())
    limits = []
    for target in (observed - half_width, observed + half_width):
        # A folded mean is never below the truth, so that the solution is not above the target, but for rounding.
        top = target * (1 + 1e-9)
        found = 0.0 if expected(0.0) >= target else optimize.brentq(lambda t, y=target: expected(t) - y, 0.0, top)
        limits.append(float(found))
    return limits[0], limits[1]


def _gap_with_intervals(
    first: Sequence[Scored], second: Sequence[Scored], confidence: float
) -> tuple[dict[str, float], str]:
    """Mean gap with its intervals over clips, and why it has none ("" where it has)."""
    numbers = np.array([b.estimate.value - a.estimate.value for a, b in zip(first, second, strict=True)])
    original, generated = mean_of([one.estimate for one in first]), mean_of([one.estimate for one in second])
    values = _empty_values(numbers)
    draws = [resampled_mean(first), resampled_mean(second)]
    if draws[0] is None or draws[1] is None:
        return values, _few(original, generated)
    values["_low"], values["_high"] = gap_interval(original, generated, confidence)
    limits = [
        bca_interval(estimate.value, drawn, estimate, confidence)
        for estimate, drawn in ((original, draws[0]), (generated, draws[1]))
    ]
    values["_low_bootstrap"], values["_high_bootstrap"] = bootstrap_gap_interval(
        original.value, limits[0], draws[0], generated.value, limits[1], draws[1]
    )
    return values, ""


def _against_perfect(
    row: Mapping[str, Any],
    first: Sequence[Scored],
    second: Sequence[Scored],
    resampler: Resampler,
    confidence: float,
    margin: float,
) -> dict[str, Any]:
    """Floor, p-values and clips needed."""
    sides = sides_of(first, second)
    original, generated = mean_of([one.estimate for one in first]), mean_of([one.estimate for one in second])
    auc = inside(original.value, min(original.clips("normal"), original.clips("anomaly")))
    found: dict[str, Any] = {"p_equivalence": equivalence_p(original, generated, margin)}
    if margin < max(auc, 1 - auc):
        effect, size = design_of(sides)
        found["n_needed"] = math.ceil(clips_needed(auc, margin) * effect)
        found["n_needed_groups"] = math.ceil(found["n_needed"] / size)
    if sides:
        # One stream a machine: the same clips have the same floor, whatever they are compared with.
        draws, found["floor_method"] = floor_draws(sides, auc, derive_rng("floor", resampler.seed, row["machine"]))
        found["floor"] = float(np.abs(draws).mean())
        found["floor_high"] = float(np.quantile(np.abs(draws), confidence))
        if original.has_variance and generated.has_variance:
            found["p"] = perfect_p(generated.value - original.value, sides)
    return found


def _has_few_groups(row: Mapping[str, Any]) -> bool:
    kinds = ("n_normal", "n_anomaly_original", "n_anomaly_generated")
    return any(has_few_groups(row[kind], row[f"{kind}_groups"]) for kind in kinds)


def _over_seeds(
    both: Sequence[Replicate],
    first: Sequence[Scored],
    second: Sequence[Scored],
    resampler: Resampler,
    confidence: float,
) -> dict[str, float]:
    if len(both) < 2:
        return {}
    draws = np.array([b.draws() - a.draws() for a, b in zip(first, second, strict=True)])
    resampled = resample_seeds(both, draws, derive_rng("seeds", resampler.seed, [list(r) for r in both]))
    return dict(zip(("gap_low_seeds", "gap_high_seeds"), percentile_interval(resampled, confidence), strict=True))


def _cell_draws(
    scorer: Scorer, detector: str, first: Sequence[Scored], second: Sequence[Scored]
) -> tuple[Scores, Scores, Scores]:
    """Resampled AUC on the original, the generated, and a perfect generator's set."""
    perfect = [scorer.perfect_draws(detector, WHOLE, a, b) for a, b in zip(first, second, strict=True)]
    return (
        np.mean([one.draws() for one in first], axis=0),
        np.mean([one.draws() for one in second], axis=0),
        np.mean(perfect, axis=0),
    )


def _describe(name: str, problems: dict[Replicate, str], expected: int) -> list[str]:
    """Say what is missing of one test set: its reason, or the repetitions that are and why."""
    if not problems:
        return []
    different = dict.fromkeys(problems.values())
    if len(problems) == expected and len(different) == 1:
        return [f"{name}: {next(iter(different))}"]
    parts = [f"{', '.join(str(r) for r, why in problems.items() if why == reason)}: {reason}" for reason in different]
    return [f"{name}: {expected - len(problems)} of {expected} seeds ({'; '.join(parts)})"]


def _counts(
    table: ScoreTable,
    machine: str,
    detector: str,
    original: TestSetSpec | None,
    generated: TestSetSpec,
    expected: Sequence[Replicate],
) -> tuple[dict[str, int], list[str]]:
    """Clips and groups in each half, the most in any repetition, and a remark where repetitions differ in clips."""
    made = [table.test_set(generated, machine, detector, replicate) for replicate in expected]
    real = [table.test_set(original, machine, detector, Replicate(seed)) for seed in table.seeds] if original else []
    halves = {
        "n_normal": [test_set.normal for test_set in made],
        "n_anomaly_original": [test_set.anomaly for test_set in real],
        "n_anomaly_generated": [test_set.anomaly for test_set in made],
    }
    counts = {name: [len(half) for half in own] for name, own in halves.items()}
    counts |= {f"{name}_groups": [half.groups for half in own] for name, own in halves.items()}
    uneven = sorted({len(test_set.anomaly) for test_set in made if not test_set.reason})
    remark = f"generated: {uneven[0]} to {uneven[-1]} anomalous clips, depending on the seed" if len(uneven) > 1 else ""
    return {name: max(numbers, default=0) for name, numbers in counts.items()}, [remark] if remark else []


FEW, FEW_GROUPS = "only 1 clip of a class", "all clips of a class are of 1 group"


def _few(*estimates: Estimate) -> str:
    """Why there is no interval."""
    clips = [estimate.by_clip or estimate for estimate in estimates]
    return FEW_GROUPS if all(estimate.has_variance for estimate in clips) else FEW


_SUFFIXES = ("", "_sd", "_low", "_high", "_low_bootstrap", "_high_bootstrap")


def _empty_values(numbers: npt.NDArray[np.float64]) -> dict[str, float]:
    values = dict.fromkeys(_SUFFIXES, float("nan"))
    values[""] = float(numbers.mean())
    if len(numbers) > 1:
        values["_sd"] = float(numbers.std(ddof=1))
    return values


def _mean_with_interval(scored: Sequence[Scored], confidence: float) -> tuple[dict[str, float], str]:
    """Mean, standard deviation and intervals over repetitions, and why there is no interval ("" where there is one)."""
    if not scored:
        return {}, ""
    values = _empty_values(np.array([one.estimate.value for one in scored]))
    draws = resampled_mean(scored)
    estimate: Estimate = mean_of([one.estimate for one in scored])
    if draws is None:
        return values, _few(estimate)
    values["_low"], values["_high"] = score_interval(estimate, confidence)
    values["_low_bootstrap"], values["_high_bootstrap"] = bca_interval(values[""], draws, estimate, confidence)
    return values, ""


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")

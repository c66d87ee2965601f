"""Gaps between the AUC on original and on generated test sets, with their uncertainty, and their summary.

The gap of a cell (machine, detector, generator) is AUC(generated) - AUC(original), averaged over repetitions. Its
interval is the percentile bootstrap of that mean over clips: normal and anomalous clips are resampled apart; clips that
two test sets or several seeds share are resampled once for all of them, clips of another generation seed anew. The
interval says how far the clips at hand carry, given the fitted detectors; how much refitting changes is in the standard
deviation over repetitions beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench.compare.bootstrap import Weights, draw_weights, percentile_interval, weighted_aucs
from asdbench.compare.testsets import NOT_GENERATED, REAL, Replicate, ScoreTable, TestSet, TestSetSpec
from asdbench.metrics.detection import Scores, mann_whitney_auc
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    import pandas as pd

GAP_COLUMNS = (
    "machine",
    "detector",
    "generator",
    "test_set",
    "n_normal",
    "n_anomaly_original",
    "n_anomaly_generated",
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
    "confidence",
    "resamples",
    "reason",
)
"""Columns of the table of gaps.

AUCs and gaps are fractions. ``n_seeds`` counts the pairs of detector and generation seed that have a gap,
``n_seeds_generated`` those with an AUC on the generated set (both of ``n_seeds_expected``), ``n_seeds_original`` the
detector seeds with an AUC on the original set.
"""

MIN_MACHINES = 3
"""Fewest machines for a correlation: with two it is always 1 or -1."""


class Resampler:
    """Bootstrap weights of pools of clips; the same pool always gets the same weights.

    They are drawn from a stream named after the pool, so they depend on nothing else that is compared. Detectors share
    them too, which makes their differences comparable resample by resample.
    """

    def __init__(self, resamples: int, seed: int = 0) -> None:
        """Prepare ``resamples`` resamples of any pool."""
        self.resamples = resamples
        self._seed = seed
        self._drawn: dict[tuple[str | int, ...], Weights] = {}

    def weights(self, machine: str, kind: str, source: str, generation_seed: int, clips: int) -> Weights:
        """Weights of the ``clips`` clips of a pool, in the order of their names: shape (resamples, clips)."""
        pool = (machine, kind, source, generation_seed, clips)
        if pool not in self._drawn:
            if any(other[0] != machine for other in self._drawn):
                self._drawn.clear()  # machines come one after the other and share no clips
            self._drawn[pool] = draw_weights(clips, self.resamples, derive_rng("bootstrap", self._seed, *pool))
        return self._drawn[pool]


@dataclass(frozen=True)
class _Scored:
    """One test set, scored: its AUC and its AUC in each resample (None where a half has one clip)."""

    auc: float
    resampled: Scores | None


def gap_row(
    table: ScoreTable,
    machine: str,
    detector: str,
    original: TestSetSpec | None,
    generated: TestSetSpec,
    resampler: Resampler,
    confidence: float,
) -> dict[str, Any]:
    """Compare one cell.

    Args:
        table: the scores.
        machine: machine type.
        detector: name of the detector.
        original: the test set of real clips; None where the spec has none.
        generated: the test set with generated clips.
        resampler: draws the bootstrap.
        confidence: of the intervals, such as 0.95.

    Returns:
        A row with `GAP_COLUMNS`: NaN for what cannot be computed, and why in ``reason``.
    """
    expected = table.replicates(generated.source)
    real: dict[Replicate, _Scored] = {}
    if original is None:
        reasons = ["no test set of real clips only"]
    else:
        real, problems = _score_all(table, machine, detector, original, table.replicates(REAL), resampler)
        reasons = _describe("original", problems, len(table.seeds))
    made, problems = _score_all(table, machine, detector, generated, expected, resampler)
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
    differences = {
        replicate: _Scored(
            made[replicate].auc - real[Replicate(replicate.seed)].auc,
            _minus(made[replicate].resampled, real[Replicate(replicate.seed)].resampled),
        )
        for replicate in both
    }
    no_interval = []
    for name, scored in (
        ("auc_original", list(real.values())),
        ("auc_generated", list(made.values())),
        ("gap", list(differences.values())),
    ):
        values, why = _mean_with_interval(scored, confidence)
        row |= {f"{name}{suffix}": value for suffix, value in values.items()}
        if why:
            no_interval.append((name.replace("_", " ").replace("auc", "AUC"), why))
    for why in dict.fromkeys(why for _, why in no_interval):
        reasons.append(f"no interval of {' and '.join(name for name, other in no_interval if other == why)}: {why}")
    row["reason"] = "; ".join(dict.fromkeys(reasons))
    return row


def summary_row(gaps: pd.DataFrame, machines: Sequence[str]) -> dict[str, Any]:
    """Summarise the gaps of one detector and one generator over machines.

    Only machines whose every repetition has a gap enter; which ones are missing, and why, is in ``missing`` and
    ``reason``.

    Args:
        gaps: rows with ``machine``, ``auc_original``, ``auc_generated``, ``gap``, ``n_seeds``, ``n_seeds_expected`` and
            ``reason``, one a machine.
        machines: all machines that were to be compared.

    Returns:
        ``n_machines``, ``n_machines_expected``, ``missing``, then as fractions ``mean_gap`` (signed),
        ``mean_abs_gap``, ``rms_gap``, ``mean_relative_gap`` (of gap / original AUC), then ``pearson`` and ``spearman``
        of the original and generated AUC, and ``reason``.
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
    pearson, spearman = float("nan"), float("nan")
    if len(complete) < MIN_MACHINES:
        reasons.append(f"no correlation over {len(complete)} machines (needs {MIN_MACHINES})")
    elif np.ptp(original) == 0 or np.ptp(made) == 0:
        reasons.append("no correlation: the AUC is the same on all machines")
    else:
        pearson, spearman = _pearson(original, made), _pearson(_ranks(original), _ranks(made))
    if (original == 0).any():
        reasons.append("no relative gap: an AUC on the original set is 0")
    relative = gap / np.where(original == 0, np.nan, original)
    return {
        "n_machines": len(complete),
        "n_machines_expected": len(machines),
        "missing": ", ".join(missing),
        "mean_gap": _mean(gap),
        "mean_abs_gap": _mean(np.abs(gap)),
        "rms_gap": math.sqrt(_mean(gap**2)) if len(gap) else float("nan"),
        "mean_relative_gap": _mean(relative),
        "pearson": pearson,
        "spearman": spearman,
        "reason": "; ".join(reasons),
    }


def _score_all(
    table: ScoreTable,
    machine: str,
    detector: str,
    spec: TestSetSpec,
    replicates: Sequence[Replicate],
    resampler: Resampler,
) -> tuple[dict[Replicate, _Scored], dict[Replicate, str]]:
    """Score a test set in every repetition; return what could be scored and why the rest could not."""
    scored: dict[Replicate, _Scored] = {}
    problems: dict[Replicate, str] = {}
    for replicate in replicates:
        test_set = table.test_set(spec, machine, detector, replicate)
        if test_set.reason:
            problems[replicate] = test_set.reason
        else:
            scored[replicate] = _Scored(
                mann_whitney_auc(test_set.normal.score, test_set.anomaly.score),
                _resample(test_set, spec, machine, replicate, resampler),
            )
    return scored, problems


def _resample(
    test_set: TestSet, spec: TestSetSpec, machine: str, replicate: Replicate, resampler: Resampler
) -> Scores | None:
    if min(len(test_set.normal), len(test_set.anomaly)) < 2:
        return None
    weights = [
        resampler.weights(machine, kind, source, NOT_GENERATED if source == REAL else replicate.generation_seed, clips)
        for kind, source, clips in (
            ("normal", spec.normal, len(test_set.normal)),
            ("anomaly", spec.anomaly, len(test_set.anomaly)),
        )
    ]
    return weighted_aucs(test_set.normal.score, test_set.anomaly.score, *weights)


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
    """Clips in each half: the most in any repetition, and a remark where repetitions have different numbers."""
    made = [table.test_set(generated, machine, detector, replicate) for replicate in expected]
    real = [table.test_set(original, machine, detector, Replicate(seed)) for seed in table.seeds] if original else []
    counts = {
        "n_normal": [len(test_set.normal) for test_set in made],
        "n_anomaly_original": [len(test_set.anomaly) for test_set in real],
        "n_anomaly_generated": [len(test_set.anomaly) for test_set in made],
    }
    uneven = sorted({len(test_set.anomaly) for test_set in made if not test_set.reason})
    remark = f"generated: {uneven[0]} to {uneven[-1]} anomalous clips, depending on the seed" if len(uneven) > 1 else ""
    return {name: max(numbers, default=0) for name, numbers in counts.items()}, [remark] if remark else []


def _mean_with_interval(scored: Sequence[_Scored], confidence: float) -> tuple[dict[str, float], str]:
    """Mean, standard deviation and interval over repetitions, and why there is no interval ("" where there is one)."""
    nan = float("nan")
    values = {"": nan, "_sd": nan, "_low": nan, "_high": nan}
    if not scored:
        return values, ""
    numbers = np.array([one.auc for one in scored])
    values[""] = float(numbers.mean())
    if len(numbers) > 1:
        values["_sd"] = float(numbers.std(ddof=1))
    resampled = [one.resampled for one in scored if one.resampled is not None]
    if len(resampled) < len(scored):
        return values, "only 1 clip of a class"
    means = np.mean(resampled, axis=0)
    if np.ptp(means) == 0:
        return values, "every resample gives the same value, as where the scores separate the classes"
    values["_low"], values["_high"] = percentile_interval(means, confidence)
    return values, ""


def _minus(first: Scores | None, second: Scores | None) -> Scores | None:
    return None if first is None or second is None else first - second


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _pearson(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1, 1))


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1, ties averaged."""
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2
    return np.asarray(ranks, dtype=np.float64)

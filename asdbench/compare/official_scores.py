"""Official scores with intervals: averaged over seeds, and their gap between generated and original test set.

A score is a mean (harmonic from 2021 on) of AUCs and partial AUCs of sections and domains. Its interval over clips
follows from the influences of all of them (delta method; see `asdbench.compare.estimates`) and the normal distribution:
many pools of a few clips each would make Student's t cautious without need. The numbers of clips of each section,
domain and class are taken as fixed; the bootstrap beside it resamples within them. Few clips bias the score itself: the
partial AUC upwards (the ROC curve of n normal clips is that at somewhat higher false-positive rates), the harmonic mean
downwards. With 25 clips of a class in a section that is less than a tenth of the standard error for one machine, up to
a third for five; the interval does not correct it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asdbench.compare.bootstrap import bca_interval, weighted_aucs, weighted_partial_aucs
from asdbench.compare.estimates import (
    Estimate,
    Pool,
    auc_estimate,
    combine,
    gap_interval,
    harmonic_mean_of,
    in_strata,
    mean_of,
    partial_auc_estimate,
    score_interval,
)
from asdbench.compare.scoring import Scorer, generation_seed
from asdbench.compare.testsets import REAL, Replicate, TestSet, TestSetSpec
from asdbench.metrics import detection
from asdbench.metrics.detection import Scores
from asdbench.metrics.official import EPSILON, MEASURES

OFFICIAL_SUMMARY_COLUMNS = (
    "year",
    "detector",
    "source",
    "test_set",
    "value",
    "sd",
    "low",
    "high",
    "low_bootstrap",
    "high_bootstrap",
    "gap",
    "gap_low",
    "gap_high",
    "n_seeds",
    "n_seeds_expected",
    "confidence",
    "reason",
)
"""Columns of the table of official scores over seeds; ``gap`` is to the test set of real clips only."""

Drawn = tuple[Estimate, Scores]
"""A score with its resamples."""


def official_rows(
    scorer: Scorer,
    specs: Sequence[TestSetSpec],
    year: int,
    totals: Mapping[tuple[str, TestSetSpec, Replicate], tuple[float, str]],
    confidence: float,
) -> list[dict[str, Any]]:
    """One row a detector and test set, with `OFFICIAL_SUMMARY_COLUMNS`.

    Args:
        scorer: knows the scores and draws the bootstrap.
        specs: the test sets.
        year: of the official score.
        totals: the score and why it is NaN, by detector, test set and repetition.
        confidence: of the intervals.
    """
    table = scorer.table
    parts: dict[tuple[str, TestSetSpec, Replicate], list[list[Drawn]]] = {
        key: [] for key, (value, _) in totals.items() if not np.isnan(value)
    }
    for machine in table.machines:  # outermost: machines share no clips, and the resampler keeps those of one
        for (detector, spec, replicate), found in parts.items():
            test_set = table.test_set(spec, machine, detector, replicate)
            found.append(_measured(test_set, spec, machine, replicate, year, scorer))
    scores = {key: _total(year, found) for key, found in parts.items()}
    rows = []
    for detector in table.detectors:
        original: dict[Replicate, Drawn] = {}
        for spec in sorted(specs, key=lambda spec: spec.source != REAL):
            expected = table.replicates(spec.source)
            mine = {r: scores[detector, spec, r] for r in expected if (detector, spec, r) in scores}
            if spec.source == REAL:
                original = original or mine
            whys = dict.fromkeys(totals[detector, spec, r][1] for r in expected if r not in mine)
            row = dict.fromkeys(OFFICIAL_SUMMARY_COLUMNS, float("nan")) | {
                **{"year": year, "detector": detector, "source": spec.source, "test_set": spec.name},
                **{"n_seeds": len(mine), "n_seeds_expected": len(expected), "confidence": confidence},
                "reason": "; ".join(whys),
            }
            # A mean over the seeds that happen to be complete would compare different things.
            if mine and len(mine) == len(expected):
                row |= _over_seeds(mine, original if spec.source != REAL else {}, confidence)
            rows.append(row)
    return rows


def measure_estimate(measure: str, test_set: TestSet, section: Any, spec: TestSetSpec) -> Estimate:
    """One measure of a section (None: of all) with its influences in strata: kind, source and domain."""
    contrast = detection.CONTRASTS[measure]
    halves = []
    for half, domain in ((test_set.normal, contrast.normal_domain), (test_set.anomaly, contrast.anomaly_domain)):
        mask = np.ones(len(half), dtype=bool) if section is None else half.section == section
        halves.append((half.score, half.domain, mask if domain is None else mask & (half.domain == domain)))
    (normal, normal_domain, in_normal), (anomaly, anomaly_domain, in_anomaly) = halves
    pools: tuple[Pool, Pool] = ("normal", spec.normal), ("anomaly", spec.anomaly)
    estimate_of = partial_auc_estimate if measure.startswith("pauc") else auc_estimate
    estimate = estimate_of(normal[in_normal], anomaly[in_anomaly], *pools)
    domains = (normal_domain[in_normal], anomaly_domain[in_anomaly])
    return in_strata(estimate, dict(zip(pools, domains, strict=True)))


def _measured(
    test_set: TestSet, spec: TestSetSpec, machine: str, replicate: Replicate, year: int, scorer: Scorer
) -> list[Drawn]:
    """Measures of all sections of one machine; pools are named after the machine too."""
    found = []
    for section in sorted(set(test_set.section), key=str):
        for measure in MEASURES[year]:
            estimate = measure_estimate(measure, test_set, section, spec)
            influence: dict[Pool, Scores] = {}
            drawn = []
            for half, kind, source in (
                (test_set.normal, "normal", spec.normal),
                (test_set.anomaly, "anomaly", spec.anomaly),
            ):
                scores, weights = [], []
                for domain in sorted(set(half.domain[half.section == section])):
                    of_clips = estimate.influence.get((kind, source, str(domain)))
                    if of_clips is None:  # the measure leaves this domain out
                        continue
                    place = scorer.recordings.place(
                        machine, kind, source, generation_seed(source, replicate), len(of_clips), section, domain
                    )
                    influence[(place.pool[0], machine, *place.pool[1:])] = place.influence(of_clips)
                    scores.append(half.score[(half.section == section) & (half.domain == domain)])
                    weights.append(place.weights(scorer.resampler, machine))
                drawn.append((np.concatenate(scores), np.concatenate(weights, axis=1)))
            (normal, of_normal), (anomaly, of_anomaly) = drawn
            resample = weighted_partial_aucs if measure.startswith("pauc") else weighted_aucs
            found.append((Estimate(estimate.value, influence), resample(normal, anomaly, of_normal, of_anomaly)))
    return found


def _total(year: int, machines: Sequence[Sequence[Drawn]]) -> Drawn:
    """The official mean; see `asdbench.metrics.official`."""
    if year == 2020:
        means = [(mean_of([e for e, _ in found]), np.mean([d for _, d in found], axis=0)) for found in machines]
        return mean_of([estimate for estimate, _ in means]), np.asarray(np.mean([d for _, d in means], axis=0))
    every = [drawn for found in machines for drawn in found]
    draws = np.maximum([draw for _, draw in every], EPSILON)
    return harmonic_mean_of([estimate for estimate, _ in every]), np.asarray(len(every) / (1 / draws).sum(axis=0))


def _over_seeds(
    mine: Mapping[Replicate, Drawn], original: Mapping[Replicate, Drawn], confidence: float
) -> dict[str, Any]:
    values = np.array([estimate.value for estimate, _ in mine.values()])
    mean = mean_of([estimate for estimate, _ in mine.values()])
    draws = np.mean([drawn for _, drawn in mine.values()], axis=0)
    row: dict[str, Any] = {"value": mean.value}
    if len(values) > 1:
        row["sd"] = float(values.std(ddof=1))
    if not mean.has_variance:
        row["reason"] = "no interval: only 1 clip of a section, domain and class"
    else:
        row["low"], row["high"] = score_interval(mean, confidence, student=False)
        row["low_bootstrap"], row["high_bootstrap"] = bca_interval(mean.value, draws, mean, confidence)
    pairs = [(original[Replicate(r.seed)][0], e) for r, (e, _) in mine.items() if Replicate(r.seed) in original]
    if len(pairs) == len(mine):
        first, second = mean_of([a for a, _ in pairs]), mean_of([b for _, b in pairs])
        row["gap"] = combine(second.value - first.value, [first, second], [-1, 1]).value
        row["gap_low"], row["gap_high"] = gap_interval(first, second, confidence)
    return row

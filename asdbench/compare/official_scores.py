"""Official scores with intervals: averaged over seeds, and their gap between generated and original test set.

A score is a mean (harmonic from 2021 on) of AUCs and partial AUCs of sections and domains. Its interval over clips
follows from the influences of all of them (delta method; see `asdbench.compare.estimates`) and the normal distribution:
many pools of a few clips each would make Student's t cautious without need. Where clips come in groups, it is Student's
t, since groups are few where clips are many. The numbers of clips of each section, domain and class are taken as fixed;
the bootstrap beside it resamples within them. Few clips bias the score itself: the partial AUC upwards (the ROC curve
of n normal clips is that at somewhat higher false-positive rates), the harmonic mean downwards. With 25 clips of a
class in a section that is less than a tenth of the standard error for one machine, up to a third for five; the interval
does not correct it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from asdbench.compare.sharing import Place, by_group, grouped
from asdbench.compare.testsets import REAL, Replicate, TestSet, TestSetSpec
from asdbench.metrics import detection
from asdbench.metrics.detection import Domains, Scores
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
    pools: tuple[Pool, Pool] = ("normal", spec.normal), ("anomaly", spec.anomaly)
    wanted = (contrast.normal_domain, contrast.anomaly_domain)
    scores: list[Scores] = []
    strata: dict[Pool, Domains] = {}
    groups: dict[Pool, Domains | None] = {}
    of_strata: dict[Pool, Scores] = {}
    for pool, half, domain in zip(pools, (test_set.normal, test_set.anomaly), wanted, strict=True):
        mask = np.ones(len(half), dtype=bool) if section is None else half.section == section
        mask = mask if domain is None else mask & (half.domain == domain)
        scores.append(half.score[mask])
        strata[pool] = half.domain[mask]
        for name in set(strata[pool]) if half.group is not None else ():
            inside = mask & (half.domain == name)
            groups[(*pool, str(name))] = half.group[inside] if half.group is not None else None
            of_strata[(*pool, str(name))] = half.score[inside]
    estimate_of = partial_auc_estimate if measure.startswith("pauc") else auc_estimate
    return by_group(in_strata(estimate_of(scores[0], scores[1], *pools), strata), groups, of_strata)


def _measured(
    test_set: TestSet, spec: TestSetSpec, machine: str, replicate: Replicate, year: int, scorer: Scorer
) -> list[Drawn]:
    """Measures of all sections of one machine; pools are named after the machine too."""
    found = []
    for section in sorted(set(test_set.section), key=str):
        for measure in MEASURES[year]:
            estimate = measure_estimate(measure, test_set, section, spec)
            estimate = estimate.by_clip or estimate
            of_clips: list[tuple[Place, Scores, Pool]] = []
            of_parts: list[Scores] = []
            drawn = []
            for half, kind, source in (
                (test_set.normal, "normal", spec.normal),
                (test_set.anomaly, "anomaly", spec.anomaly),
            ):
                scores, weights = [], []
                for domain in sorted(set(half.domain[half.section == section])):
                    own = estimate.influence.get((kind, source, str(domain)))
                    if own is None:  # the measure leaves this domain out
                        continue
                    seed = generation_seed(source, replicate)
                    place = scorer.recordings.place(machine, kind, source, seed, len(own), section, domain)
                    pool = (place.pool[0], machine, *place.pool[1:])
                    clips = (kind, machine, source, "clips", seed, str(section), str(domain))
                    of_clips.append((replace(place, pool=pool), own, clips))
                    scores.append(half.score[(half.section == section) & (half.domain == domain)])
                    of_parts.append(scores[-1])
                    weights.append(place.weights(scorer.resampler, machine))
                drawn.append((np.concatenate(scores), np.concatenate(weights, axis=1)))
            (normal, of_normal), (anomaly, of_anomaly) = drawn
            resample = weighted_partial_aucs if measure.startswith("pauc") else weighted_aucs
            found.append(
                (grouped(estimate.value, of_clips, of_parts), resample(normal, anomaly, of_normal, of_anomaly))
            )
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
        one = "group of clips" if mean.units else "clip"
        row["reason"] = f"no interval: only 1 {one} of a section, domain and class"
    else:
        # Groups are few where clips are many.
        row["low"], row["high"] = score_interval(mean, confidence, student=bool(mean.units))
        row["low_bootstrap"], row["high_bootstrap"] = bca_interval(mean.value, draws, mean, confidence)
    pairs = [(original[Replicate(r.seed)][0], e) for r, (e, _) in mine.items() if Replicate(r.seed) in original]
    if len(pairs) == len(mine):
        first, second = mean_of([a for a, _ in pairs]), mean_of([b for _, b in pairs])
        row["gap"] = combine(second.value - first.value, [first, second], [-1, 1]).value
        row["gap_low"], row["gap_high"] = gap_interval(first, second, confidence)
    return row

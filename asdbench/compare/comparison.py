"""The comparison of a run: from one table of scores to all tables of results.

`compare` is a pure function: the same scores give the same tables to the last bit, whatever the order of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.agreement import AGREEMENT_COLUMNS, PartCell, correlation_rows, detector_rows, part_cells
from asdbench.compare.bootstrap import Resampler
from asdbench.compare.controls import CONTROL_COLUMNS, control_rows, with_controls
from asdbench.compare.copy_effects import copy_effects
from asdbench.compare.estimates import score_interval
from asdbench.compare.gaps import GAP_COLUMNS, Cell, compare_cells, gap_cell, summary_row
from asdbench.compare.heard import Heard, nothing_heard
from asdbench.compare.memorisation import MEMORISATION_COLUMNS, memorisation_rows
from asdbench.compare.official_scores import OFFICIAL_SUMMARY_COLUMNS, measure_estimate, official_rows
from asdbench.compare.repeats import by_audio, without_repeats
from asdbench.compare.scoring import Scorer
from asdbench.compare.testsets import GROUP, REAL, Replicate, ScoreTable, TestSet, TestSetSpec, count_groups, expand
from asdbench.compare.verdict import MARGIN
from asdbench.frames import frame_of, records
from asdbench.metrics import detection, official, threshold

if TYPE_CHECKING:
    import pandas as pd

Metric = Callable[..., float]

ALL = official.ALL


@dataclass(frozen=True)
class Comparison:
    """What follows from a score table.

    Every table is tidy; a value that cannot be computed is NaN and its row has a ``reason``.

    Attributes:
        metrics: one row a value: ``machine``, ``section`` ("all" or one section), ``detector``, ``source`` ("real" or
            the generator), ``test_set``, ``seed``, ``generation_seed`` (-1: real), ``metric``, ``value``,
            ``n_normal``, ``n_anomaly`` (clips that the metric compares), ``n_normal_groups``, ``n_anomaly_groups``
            (groups, such as recordings, that these are of), ``low`` and ``high`` (interval over clips; NaN
            for metrics from elsewhere), ``reason``.
        gaps: one row a cell (machine, detector, generator, test set); see `asdbench.compare.gaps.GAP_COLUMNS`.
        summary: one row a detector, generator and test set; see `asdbench.compare.gaps.summary_row`.
        agreement: does the generated set order machines and detectors as the real one does; see
            `asdbench.compare.agreement.AGREEMENT_COLUMNS`.
        memorisation: whether generators give training clips back; see
            `asdbench.compare.memorisation.MEMORISATION_COLUMNS`.
        heard: what is known of the clips beside their scores.
        copy_effects: AUCs with and without near copies; see `asdbench.compare.copy_effects.EFFECT_COLUMNS`.
        official: official scores by year with their parts; ``row`` "total" is the score, "total of scored machines" the
            same mean over the machines that can be scored; see `asdbench.metrics.official.OfficialScore`.
        official_summary: official scores averaged over seeds, with intervals and the gap to the original set; see
            `asdbench.compare.official_scores.OFFICIAL_SUMMARY_COLUMNS`.
        decisions: precision, recall and F1 by domain at the threshold from training scores.
        clips: how many clips there are of what.
        problems: the reasons for missing results that were given.
        machines: machine types, in the order of the report; ``detectors`` and ``generators`` likewise.
        confidence: of the intervals; ``resamples``: of the bootstrap.
        margin: largest gap that does not matter, for the verdicts.
        published: name of the published figures that tables show beside these; None for none.
    """

    metrics: pd.DataFrame
    gaps: pd.DataFrame
    summary: pd.DataFrame
    agreement: pd.DataFrame
    controls: pd.DataFrame
    memorisation: pd.DataFrame
    heard: Heard
    copy_effects: pd.DataFrame
    official: pd.DataFrame
    official_summary: pd.DataFrame
    decisions: pd.DataFrame
    clips: pd.DataFrame
    problems: pd.DataFrame
    machines: tuple[str, ...]
    detectors: tuple[str, ...]
    generators: tuple[str, ...]
    confidence: float
    resamples: int
    margin: float
    published: str | None = None


def compare(
    scores: pd.DataFrame,
    test_sets: Mapping[str, Mapping[str, str]],
    machines: Sequence[str],
    problems: Iterable[Mapping[str, Any]] = (),
    metrics: Mapping[str, Metric] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    margin: float = MARGIN,
    over_machines: bool = False,
    years: Sequence[int] = (),
    detectors: Sequence[str] | None = None,
    generators: Sequence[str] | None = None,
    controls: Collection[str] = (),
    quantile: float = threshold.QUANTILE,
    threshold_method: str = threshold.METHODS[0],
    seed: int = 0,
    heard: Heard | None = None,
    published: str | None = None,
) -> Comparison:
    """Compare original and generated test sets.

    Args:
        scores: one row a scored clip; see `asdbench.compare.testsets.COLUMNS`.
        test_sets: sources of "normal" and "anomaly" by name of the test set: "real", "generated" (each generator in
            turn) or the name of a generator.
        machines: all machine types that were to be scored, in the order of the tables.
        problems: why scores are missing: mappings with machine, detector, source, seed and reason (absent: any).
        metrics: measures by name; the AUC when left out.
        confidence: of the intervals; 1 - ``confidence`` is the level of all tests.
        resamples: number of bootstrap resamples.
        margin: largest gap that does not matter, as a fraction.
        over_machines: whether intervals of agreement are over other machines too, not over clips alone.
        years: years whose official score is wanted.
        detectors: all detectors that were to be used, in the order of the tables; the sorted names of those seen when
            left out.
        generators: all generators, likewise.
        controls: those of them that are bounds for others and not under test, such as real clips that were held out:
            Holm's correction counts them apart.
        quantile: of the training scores, at which the threshold of decisions lies.
        threshold_method: one of `asdbench.metrics.threshold.METHODS`: what the quantile is taken of.
        seed: of the bootstrap.
        heard: what is known of the clips beside their scores.
        published: name of the published figures that tables show beside these; None for none.

    Raises:
        UserError: the score table or a test set is malformed.
        ValueError: ``confidence``, ``resamples`` or ``margin`` is out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
    if resamples < 2:
        raise ValueError(f"resamples is {resamples}; expected at least 2")
    if not 0 < margin < 1:
        raise ValueError(f"margin is {margin}; expected a fraction between 0 and 1, such as 0.05")
    scores = by_audio(scores)
    table = ScoreTable(without_repeats(scores), machines, problems, detectors, generators)
    specs = expand(test_sets, table.generators)
    scorer = Scorer(table, Resampler(resamples, seed))
    cells, parts = _cells_of_gaps(table, specs, scorer, confidence, margin, controls)
    scored_controls = frame_of(control_rows(table, [cell.row for cell in cells.values()], confidence), CONTROL_COLUMNS)
    gaps = with_controls(frame_of((cell.row for cell in cells.values()), GAP_COLUMNS), scored_controls)
    heard = heard or nothing_heard()
    official_scores = _official(table, specs, years)
    return Comparison(
        metrics=_metrics(table, specs, metrics if metrics is not None else {"auc": detection.auc}, confidence),
        gaps=gaps,
        summary=_summary(table, specs, gaps, cells, confidence),
        agreement=_agreement(table, specs, cells, parts, confidence, seed if over_machines else None),
        controls=scored_controls,
        memorisation=frame_of(memorisation_rows(heard.nearest, confidence), MEMORISATION_COLUMNS),
        heard=heard,
        copy_effects=copy_effects(table.frame, heard.near),
        official=official_scores,
        official_summary=_official_summary(table, specs, years, official_scores, scorer, confidence),
        decisions=_decisions(table, specs, quantile, threshold_method),
        clips=_clips(ScoreTable(scores, machines, problems, detectors, generators)),
        problems=_problems(table),
        machines=tuple(table.machines),
        detectors=tuple(table.detectors),
        generators=tuple(table.generators),
        confidence=confidence,
        resamples=resamples,
        margin=margin,
        published=published,
    )


_Key = tuple[str, str, TestSetSpec]
"""Machine, detector and test set with generated clips."""


def _cells_of_gaps(
    table: ScoreTable,
    specs: Sequence[TestSetSpec],
    scorer: Scorer,
    confidence: float,
    margin: float,
    controls: Collection[str],
) -> tuple[dict[_Key, Cell], dict[_Key, list[PartCell]]]:
    """The cells of the table of gaps, in its order, and their parts by section and domain."""
    original = next((spec for spec in specs if spec.source == REAL), None)
    cells: dict[_Key, Cell] = {}
    parts: dict[_Key, list[PartCell]] = {}
    for machine in table.machines:
        for detector in table.detectors:
            for spec in specs:
                if spec.source != REAL:
                    key = (machine, detector, spec)
                    cells[key] = gap_cell(scorer, machine, detector, original, spec, confidence, margin)
                    if original is not None:
                        parts[key] = part_cells(scorer, machine, detector, original, spec)
    compare_cells(list(cells.values()), confidence, margin, controls)
    return cells, parts


def _summary(
    table: ScoreTable, specs: Sequence[TestSetSpec], gaps: pd.DataFrame, cells: Mapping[_Key, Cell], confidence: float
) -> pd.DataFrame:
    rows = []
    for detector in table.detectors:
        for spec in specs:
            if spec.source != REAL:
                own = {"detector": detector, "generator": spec.source, "test_set": spec.name}
                mine = gaps[np.logical_and.reduce([gaps[name] == value for name, value in own.items()])]
                by_machine = {machine: cells[machine, detector, spec] for machine in table.machines}
                rows.append(own | summary_row(mine, table.machines, by_machine, confidence))
    return frame_of(rows, ("detector", "generator", "test_set", *summary_row(gaps.iloc[:0], ())))


def _agreement(
    table: ScoreTable,
    specs: Sequence[TestSetSpec],
    cells: Mapping[_Key, Cell],
    parts: Mapping[_Key, Sequence[PartCell]],
    confidence: float,
    over_machines: int | None,
) -> pd.DataFrame:
    rows = []
    for spec in specs:
        if spec.source == REAL:
            continue
        own = {"generator": spec.source, "test_set": spec.name, "confidence": confidence}
        for detector in table.detectors:
            every = [part for machine in table.machines for part in parts.get((machine, detector, spec), [])]
            found = correlation_rows(every, confidence, over_machines)
            rows += [own | {"detector": detector} | row for row in found]
        mine = {(m, d): cells[m, d, spec] for m in table.machines for d in table.detectors}
        found = detector_rows(mine, table.machines, table.detectors, confidence, over_machines)
        rows += [own | {"detector": ALL} | row for row in found]
    return frame_of(rows, AGREEMENT_COLUMNS)


def _official_summary(
    table: ScoreTable,
    specs: Sequence[TestSetSpec],
    years: Sequence[int],
    scores: pd.DataFrame,
    scorer: Scorer,
    confidence: float,
) -> pd.DataFrame:
    rows = []
    for year in years:
        found = scores[(scores["year"] == year) & (scores["row"] == "total")]
        by_name = {
            tuple(row[name] for name in _CELL): (float(row["value"]), str(row["reason"]))
            for row in found.to_dict("records")
        }
        totals = {
            (detector, spec, replicate): by_name[tuple(names.values())]
            for spec, detector, replicate, names in _cells(table, specs)
        }
        rows += official_rows(scorer, specs, year, totals, confidence)
    return frame_of(rows, OFFICIAL_SUMMARY_COLUMNS)


_CELL = ("detector", "source", "test_set", "seed", "generation_seed")


def _cells(table: ScoreTable, specs: Sequence[TestSetSpec]) -> list[tuple[TestSetSpec, str, Replicate, dict[str, Any]]]:
    """Every test set with every detector in every repetition, and the columns that name it."""
    return [
        (spec, detector, replicate, dict(zip(_CELL, (detector, spec.source, spec.name, *replicate), strict=True)))
        for detector in table.detectors
        for spec in specs
        for replicate in table.replicates(spec.source)
    ]


def _metrics(
    table: ScoreTable, specs: Sequence[TestSetSpec], metrics: Mapping[str, Metric], confidence: float
) -> pd.DataFrame:
    rows = []
    for spec, detector, replicate, names in _cells(table, specs):
        for machine in table.machines:
            test_set = table.test_set(spec, machine, detector, replicate)
            for section, inside in _sections(test_set):
                for name, metric in metrics.items():
                    own = {"machine": machine, "section": section, **names, "metric": name}
                    row = own | _measure(name, metric, test_set, inside)
                    row |= {"low": float("nan"), "high": float("nan")}
                    if detection.contrast_of(metric) is not None and not np.isnan(row["value"]):
                        only = None if section == ALL else section
                        estimate = measure_estimate(metric.__name__, test_set, only, spec)
                        row["low"], row["high"] = score_interval(estimate, confidence)
                    rows.append(row)
    counts = ("n_normal", "n_anomaly", "n_normal_groups", "n_anomaly_groups")
    return frame_of(rows, ("machine", "section", *_CELL, "metric", "value", "low", "high", *counts, "reason"))


def _sections(test_set: TestSet) -> list[tuple[str, detection.Labels]]:
    """All clips, then the clips of each section: name and mask."""
    sections = test_set.section
    masks = [(ALL, np.ones(len(sections), dtype=bool))]
    return masks + [(str(section), sections == section) for section in sorted(set(sections))]


def _measure(name: str, metric: Metric, test_set: TestSet, inside: detection.Labels) -> dict[str, Any]:
    is_anomaly, score, domain = test_set.is_anomaly[inside], test_set.score[inside], test_set.domain[inside]
    contrast = detection.contrast_of(metric) or detection.Contrast()
    mask = contrast.mask(is_anomaly, domain)
    value, reason = float("nan"), test_set.reason
    if not reason:
        try:
            value = float(metric(is_anomaly, score, domain))
        except Exception as error:  # a measure from elsewhere may fail in any way; the cell says how
            reason = f"{name} failed: {type(error).__name__}: {error}"
        else:
            if np.isnan(value):
                reason = (
                    detection.why_undefined(contrast, is_anomaly, domain) or f"{name} is not defined on these clips"
                )
    return {
        "value": value,
        "n_normal": int((mask & ~is_anomaly).sum()),
        "n_anomaly": int((mask & is_anomaly).sum()),
        "n_normal_groups": count_groups(test_set.group[inside][mask & ~is_anomaly]),
        "n_anomaly_groups": count_groups(test_set.group[inside][mask & is_anomaly]),
        "reason": reason,
    }


def _official(table: ScoreTable, specs: Sequence[TestSetSpec], years: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    columns = ("machine", "section", "row", "measure", "value", "n_normal", "n_anomaly", "reason")
    rows: list[dict[str, Any]] = []
    for spec, detector, replicate, names in _cells(table, specs) if years else []:
        sets = {machine: table.test_set(spec, machine, detector, replicate) for machine in table.machines}
        usable = [_as_frame(machine, test_set) for machine, test_set in sets.items() if not test_set.reason]
        clips = pd.concat(usable, ignore_index=True) if usable else frame_of([], _OFFICIAL_INPUT)
        reasons = {machine: test_set.reason for machine, test_set in sets.items() if test_set.reason}
        for year in years:
            found = official.official_score(clips, year, table.machines, reasons)
            own = {"year": year, **names}
            rows += [own | row for row in records(found.rows)]
            total = {"machine": ALL, "section": ALL, "measure": "official score", "n_normal": None, "n_anomaly": None}
            rows.append(own | total | {"row": "total", "value": found.total, "reason": found.reason})
            if found.missing:
                scored = f"{len(found.scored)} of {len(table.machines)} machines"
                reason = f"{scored}: {', '.join(found.scored)}" if found.scored else "no machine can be scored"
                rows.append(own | total | {"row": "total of scored machines", "value": found.partial, "reason": reason})
    frame = frame_of(rows, ("year", *_CELL, *columns))
    return frame.astype({"n_normal": "Int64", "n_anomaly": "Int64"})


_OFFICIAL_INPUT = ("machine", "section", "domain", "condition", "score")


def _as_frame(machine: str, test_set: TestSet) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "machine": machine,
            "section": test_set.section,
            "domain": test_set.domain,
            "condition": np.where(test_set.is_anomaly, "anomaly", "normal"),
            "score": test_set.score,
        }
    )


def _decisions(table: ScoreTable, specs: Sequence[TestSetSpec], quantile: float, method: str) -> pd.DataFrame:
    limits = {
        (machine, detector, seed): _limit(table.training_scores(machine, detector, seed), quantile, method)
        for machine in table.machines
        for detector in table.detectors
        for seed in table.seeds
    }
    rows: list[dict[str, Any]] = []
    for spec, detector, replicate, names in _cells(table, specs):
        for machine in table.machines:
            limit, no_limit = limits.get((machine, detector, replicate.seed), (float("nan"), "no training scores"))
            test_set = table.test_set(spec, machine, detector, replicate)
            is_anomaly, score, domains = test_set.is_anomaly, test_set.score, test_set.domain
            for domain in (ALL, *sorted({str(d) for d in domains} & {"source", "target"})):
                inside = np.ones(len(score), dtype=bool) if domain == ALL else domains == domain
                reason, values = test_set.reason or no_limit, (float("nan"),) * 3
                if not reason:
                    values = threshold.precision_recall_f1(is_anomaly[inside], score[inside] > limit)
                    reason = "" if is_anomaly[inside].any() else f"no anomalous test clip in the {domain} domain"
                rows.append(
                    {"machine": machine, "domain": domain, **names, "threshold": limit}
                    | dict(zip(("precision", "recall", "f1"), values, strict=True))
                    | {"n_normal": int((inside & ~is_anomaly).sum()), "n_anomaly": int((inside & is_anomaly).sum())}
                    | {"reason": reason}
                )
    measured = ("threshold", "precision", "recall", "f1", "n_normal", "n_anomaly", "reason")
    return frame_of(rows, ("machine", "domain", *_CELL, *measured))


def _limit(training_scores: detection.Scores, quantile: float, method: str) -> tuple[float, str]:
    """The threshold, or NaN and why there is none."""
    if not len(training_scores):
        return float("nan"), "no training scores"
    try:
        return threshold.threshold(training_scores, quantile, method), ""
    except ValueError as error:
        return float("nan"), f"no threshold: {error}"


def _clips(table: ScoreTable) -> pd.DataFrame:
    """Count clips, by the hash of their audio those that differ, and the groups that they are of."""
    by = ["machine", "source", "generation_seed", "split", "condition"]
    once = table.frame.drop_duplicates([*by, "clip_id"])
    rows = [
        dict(zip(by, key, strict=True))
        | {"n_clips": len(clips), "n_different": int(clips["content_hash"].nunique())}
        | {"n_groups": count_groups(clips[GROUP].to_numpy(dtype=object))}
        for key, clips in once.groupby(by)
    ]
    order = {machine: place for place, machine in enumerate(table.machines)}
    rows.sort(key=lambda row: (order[str(row["machine"])], row["source"] != REAL, *(row[name] for name in by[1:])))
    return frame_of(rows, (*by, "n_clips", "n_different", "n_groups"))


def _problems(table: ScoreTable) -> pd.DataFrame:
    rows = [vars(problem) for problem in table.problems]
    return frame_of(rows, ("machine", "detector", "source", "seed", "reason")).astype({"seed": "Int64"})

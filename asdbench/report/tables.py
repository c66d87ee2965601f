"""The tables of a report, made from a `Comparison`: numbers for files and cells as they are printed.

A cell that has no value prints as a dash with the number of a footnote that says why; a mean over fewer seeds or
machines than there should be carries such a number too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asdbench.compare.controls import CHANCE
from asdbench.compare.gaps import summary_row
from asdbench.compare.testsets import REAL, Replicate
from asdbench.compare.verdict import NOT_ENOUGH
from asdbench.frames import records
from asdbench.metrics.official import ALL
from asdbench.report import published

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison

DASH = "–"
_TOO_FEW = "too few"
"""How a table prints the verdict `NOT_ENOUGH`."""
FEW_CLIPS = 20
"""With fewer clips in a class a table says that they are few."""


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: stem of its files.
        title: what it shows, in one line.
        header: names of the columns as printed, with units.
        rows: cells as printed, as many a row as there are in ``header``.
        notes: footnotes; their numbers are in the cells.
        remarks: how to read the table; tables of one kind share them.
        numbers: the same in full precision, for CSV: fractions, NaN where undefined, with a column ``reason``.
        labels: how many columns from the left are names rather than numbers.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    numbers: pd.DataFrame
    labels: int = 1
    remarks: Sequence[str] = ()


@dataclass
class Notes:
    """Collects footnotes; the same text gets the same number."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """Return " (k)" for a footnote, or "" for no text."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" ({self.texts.index(text) + 1})"

    def lines(self) -> list[str]:
        """The footnotes with their numbers."""
        return [f"({number}) {text}" for number, text in enumerate(self.texts, 1)]


def tables(comparison: Comparison) -> list[Table]:
    """All tables of a comparison, in the order of a report; those that would be empty are left out."""
    made = [
        table_iv(comparison),
        gaps(comparison),
        summary(comparison),
        agreement(comparison),
        controls(comparison),
        official_scores(comparison),
        measures(comparison),
        decisions(comparison),
        clips(comparison),
        problems(comparison),
    ]
    return [table for table in made if table.rows]


def table_iv(comparison: Comparison) -> Table:
    """AUC on original and generated sets by machine and detector, in the manner of the paper's Table IV.

    One row a machine and detector; a group of columns a generator; the published values at the right.
    """
    notes = Notes()
    groups = _generated_sets(comparison.gaps)
    interval = _interval_name(comparison)
    header = ["Machine", "Detector", "n normal", "n anomaly", "AUC original"]
    for label in groups.values():
        header += [f"n {label}", f"AUC {label}", f"gap {label} (points)", f"{interval} {label}"]
    header += [f"{name}, {published.LABEL}" for name in ("AUC original", "AUC generated", "gap (points)")]
    rows, numbers = [], []
    for (machine, detector), cells in comparison.gaps.groupby(["machine", "detector"], sort=False):
        by_group = {(cell["generator"], cell["test_set"]): cell for cell in records(cells)}
        first = next(iter(by_group.values()))
        row = [machine, detector, first["n_normal"], first["n_anomaly_original"], _original_cell(first, notes)]
        number = {"machine": machine, "detector": detector}
        number |= {k: first[k] for k in ("n_normal", "n_anomaly_original", "n_seeds_original")}
        number |= {k: first[k] for k in first if str(k).startswith("auc_original")}
        for group, label in groups.items():
            cell = by_group[group]
            row += [str(cell["n_anomaly_generated"]), *_gap_cells(cell, notes)]
            number |= {f"{label}: {k}": cell[k] for k in cell if str(k).startswith(("auc_generated", "gap"))}
            counts = ("n_anomaly_generated", "n_seeds", "n_seeds_expected")
            number |= {f"{label}: {k}": cell[k] for k in (*counts, "reason")}
        rows.append([str(x) for x in row] + _published_cells(str(machine)))
        numbers.append(number | _published_numbers(str(machine)))
    return Table(
        "table_iv",
        f"AUC on original and generated test sets, mean ± standard deviation over {_seeds(comparison)}",
        header,
        rows,
        notes.lines(),
        _frame(numbers),
        labels=2,
        remarks=[*_gap_remarks(comparison), *_remark_on_dashes(comparison)],
    )


def gaps(comparison: Comparison) -> Table:
    """The cells of all detectors, one row a machine and generator: the long form of `table_iv`."""
    notes = Notes()
    detectors = comparison.detectors
    return Table(
        "gaps",
        "AUC on original and generated test sets by detector",
        ["Detector", *_gap_header(comparison)],
        [[detector, *row] for detector in detectors for row in _gap_rows(comparison, detector, notes)],
        notes.lines(),
        comparison.gaps,
        labels=3,
        remarks=_long_gap_remarks(comparison),
    )


def gaps_of_detector(comparison: Comparison, detector: str) -> Table:
    """The cells of one detector, one row a machine and generator, the published values as a row of their own.

    This long form fits a terminal whatever the number of generators.
    """
    notes = Notes()
    return Table(
        "gaps",
        f"{detector}: AUC on original and generated test sets",
        _gap_header(comparison),
        _gap_rows(comparison, detector, notes),
        notes.lines(),
        comparison.gaps[comparison.gaps["detector"] == detector],
        labels=2,
        remarks=_long_gap_remarks(comparison),
    )


def _gap_header(comparison: Comparison) -> list[str]:
    names = ["Machine", "Generator", "AUC original", "AUC generated", "gap (points)"]
    return [*names, _interval_name(comparison), "floor", "verdict", "clips"]


def _gap_rows(comparison: Comparison, detector: str, notes: Notes) -> list[list[str]]:
    groups = _generated_sets(comparison.gaps)
    cells = comparison.gaps[comparison.gaps["detector"] == detector]
    rows = []
    for machine in comparison.machines:
        for cell in records(cells[cells["machine"] == machine]):
            counts = (cell["n_normal"], cell["n_anomaly_original"], cell["n_anomaly_generated"])
            auc_cells = [_original_cell(cell, notes), *_gap_cells(cell, notes)]
            label = groups[cell["generator"], cell["test_set"]]
            judged = [_floor(cell), _verdict(cell)]
            seeds = _of(cell, "n_seeds", "")
            seeds = f" {seeds.replace(' of ', '/')}" if "of" in seeds else ""
            rows.append([machine, label, *auc_cells, *judged, "/".join(map(str, counts)) + seeds])
        values = published.table_iv(machine)
        if values is not None and len(cells):
            rows.append([machine, "[published]", *_published_cells(machine), "", "", "", ""])
    return rows


def _long_gap_remarks(comparison: Comparison) -> list[str]:
    comparisons = int(comparison.gaps["n_comparisons"].max()) if len(comparison.gaps) else 0
    margin = f"{100 * comparison.margin:g}"
    return [
        "clips: normal/anomalous original/anomalous generated; then the seeds that count, where some are missing.",
        "floor: mean |gap| in points that a perfect generator would show with as many clips.",
        f"verdict: 'equivalent' within {margin} points (two one-sided tests); 'different' from a perfect generator "
        f"(level {1 - comparison.confidence:.2g}, Holm-corrected over {comparisons} comparisons); 'too few' clips "
        f"to see a gap of {margin} points, with the number of each kind that would be; else 'indistinguishable'.",
        *_gap_remarks(comparison),
    ]


def _floor(cell: Mapping[str, Any]) -> str:
    return "" if math.isnan(cell["floor"]) else f"{100 * cell['floor']:.2f}"


def _verdict(cell: Mapping[str, Any]) -> str:
    needed = cell["n_needed"]
    if cell["verdict"] == NOT_ENOUGH and not math.isnan(needed):
        return f"{_TOO_FEW}: {int(needed)}"
    return _TOO_FEW if cell["verdict"] == NOT_ENOUGH else str(cell["verdict"])


def agreement(comparison: Comparison) -> Table:
    """Whether generated sets order machines and detectors as the real ones do."""
    notes = Notes()
    groups = _generated_sets(comparison.gaps)
    rows = []
    for row in records(comparison.agreement):
        label = groups[row["generator"], row["test_set"]]
        scale = 100 if row["measure"] == "selection regret" else 1
        name = f"{row['measure']} (points)" if scale == 100 else row["measure"]
        value = DASH + notes.mark(row["reason"]) if math.isnan(row["value"]) else f"{scale * row['value']:.3f}"
        interval = DASH if math.isnan(row["low"]) else f"{scale * row['low']:.3f} to {scale * row['high']:.3f}"
        perfect = DASH if math.isnan(row["perfect"]) else f"{scale * row['perfect']:.3f}"
        rows.append([row["detector"], label, name, value, interval, perfect, _of(row, "n_cells", "")])
    header = [
        "Detector",
        "Generator",
        "measure",
        "value",
        f"{100 * comparison.confidence:g} % interval",
        "perfect",
        "cells",
    ]
    return Table(
        "agreement",
        "Does the generated set order machines and detectors as the real one does?",
        header,
        rows,
        notes.lines(),
        comparison.agreement,
        labels=3,
        remarks=[
            "pearson, spearman, kendall: of AUC over cells of machine, section and domain; detector kendall: order of "
            "the detectors on a machine, mean over machines; selection regret: real AUC that is lost by taking the "
            "detector that the generated set prefers. perfect: what a perfect generator would show with as many clips."
        ],
    )


def controls(comparison: Comparison) -> Table:
    """What detectors hear of the generator and its codec, apart from the fault."""
    notes = Notes()
    names = list(dict.fromkeys(comparison.controls["control"]))
    rows = []
    by = ["detector", "generator", "machine"]
    order = {name: place for place, name in enumerate(comparison.detectors)}
    placed = comparison.controls.sort_values("detector", key=lambda names: names.map(order), kind="stable")
    for (detector, generator, machine), cells in placed.groupby(by, sort=False):
        found = {row["control"]: row for row in records(cells)}
        real = next((row["expected"] for row in found.values() if row["expected"] != CHANCE), float("nan"))
        values = [_control_cell(found[name], notes) for name in names]
        rows.append([str(detector), str(generator), str(machine), DASH if math.isnan(real) else f"{real:.3f}", *values])
    return Table(
        "controls",
        "Controls: AUC that tells the generator and its codec from the fault, with intervals",
        ["Detector", "Generator", "Machine", "AUC original", *names],
        rows,
        notes.lines(),
        comparison.controls,
        labels=3,
        remarks=[
            "codec, normal and generated normal should be 0.5: above it the detector hears the codec, or the generator "
            "(artefact AUC). codec, anomaly and matched should be the AUC original: the ceiling in this codec, and the "
            "gap without the artefact. *: what should be lies outside the interval."
        ]
        if rows
        else [],
    )


def _control_cell(row: Mapping[str, Any], notes: Notes) -> str:
    if math.isnan(row["auc"]):
        return DASH + notes.mark(row["reason"])
    interval = "" if math.isnan(row["auc_low"]) else f" ({row['auc_low']:.2f}–{row['auc_high']:.2f})"
    return f"{row['auc']:.2f}{interval}{'*' if row['deviates'] is True else ' '}"


def summary(comparison: Comparison) -> Table:
    """The gaps over machines, by detector and generator, and the same of the published table."""
    notes = Notes()
    groups = _generated_sets(comparison.gaps)
    header = [
        "Detector",
        "Generator",
        "machines",
        "mean gap (points)",
        "mean |gap| (points)",
        "RMS gap (points)",
        "mean relative gap (%)",
        "Pearson",
        "Spearman",
    ]
    numbers = records(comparison.summary)
    rows = []
    for row in numbers:
        label = groups[row["generator"], row["test_set"]]
        rows.append([row["detector"], label, *_summary_cells(row, notes)])
    published_row = _published_summary()
    is_comparable = rows and any(published.table_iv(machine) for machine in comparison.machines)
    if is_comparable:
        rows.append(["[published]", "MIMII-Gen, Table IV", *_summary_cells(published_row, notes)])
        numbers.append({"detector": published.LABEL, "generator": "MIMII-Gen", "test_set": "", **published_row})
    return Table(
        "summary",
        "Gaps over machines (only machines with every seed; signed gap is generated - original)",
        header,
        rows,
        notes.lines(),
        _frame(numbers),
        labels=2,
        remarks=[f"[published]: {published.CITATION}."] if is_comparable else [],
    )


def official_scores(comparison: Comparison) -> Table:
    """Official scores by year, detector and test set, mean over seeds."""
    notes = Notes()
    header = ["Year", "Detector", "Source", "Test set", "official score", "score of the scored machines", "seeds"]
    keys = ["year", "detector", "source", "test_set"]
    totals = comparison.official[comparison.official["measure"] == "official score"]
    rows, numbers = [], []
    for key, found in totals.groupby(keys, sort=False):
        own = dict(zip(keys, _tuple(key), strict=True))
        total = _over_seeds(records(found[found["row"] == "total"]))
        partial = _over_seeds(records(found[found["row"] == "total of scored machines"]))
        if total["n_seeds"] < total["n_seeds_expected"]:
            # A mean over the seeds that happen to be complete would compare different sets of machines.
            total |= {"value": float("nan"), "sd": float("nan")}
            scored = sorted({str(row["reason"]) for row in records(found) if row["row"] == "total of scored machines"})
            if partial["n_seeds"] == 0:
                scored = [total["missing"]]
            elif len(scored) > 1 or partial["n_seeds"] < total["n_seeds_expected"]:
                partial |= {"value": float("nan"), "sd": float("nan")}
                scored = ["the machines that can be scored are not the same for every seed"]
            shown = _mean_sd(partial["value"], partial["sd"], notes.mark(scored[0]))
        else:
            shown = _mean_sd(total["value"], total["sd"], "")
            partial = total
        cell = _mean_sd(total["value"], total["sd"], notes.mark(total["missing"]))
        rows.append([*(str(value) for value in own.values()), cell, shown, _of(total, "n_seeds", "")])
        numbers.append(
            own
            | {"official_score": total["value"], "official_score_sd": total["sd"]}
            | {"scored_machines_score": partial["value"], "scored_machines_score_sd": partial["sd"]}
            | {"n_seeds": total["n_seeds"], "n_seeds_expected": total["n_seeds_expected"], "reason": total["missing"]}
        )
    return Table(
        "official",
        "Official scores of DCASE Task 2, mean ± standard deviation over seeds",
        header,
        rows,
        notes.lines(),
        _frame(numbers),
        labels=4,
    )


def measures(comparison: Comparison) -> Table:
    """Every metric by machine, section, detector and test set, mean over seeds."""
    frame = comparison.metrics
    # A machine with one section has the same numbers again under the section's name.
    several = {m for m, group in frame.groupby("machine") if group["section"].nunique() > 2}
    frame = frame[(frame["section"] == ALL) | frame["machine"].isin(several)]
    names = {
        "Machine": "machine",
        "Section": "section",
        "Detector": "detector",
        "Source": "source",
        "Test set": "test_set",
    }
    columns = list(dict.fromkeys(frame["metric"]))
    long = frame.rename(columns={"metric": "column"})
    return _seed_means("metrics", "Metrics, mean ± standard deviation over seeds", long, names, columns)


def decisions(comparison: Comparison) -> Table:
    """Precision, recall and F1 by domain at the threshold fitted to training scores, mean over seeds."""
    names = {
        "Machine": "machine",
        "Domain": "domain",
        "Detector": "detector",
        "Source": "source",
        "Test set": "test_set",
    }
    columns = ["precision", "recall", "f1"]
    kept = [name for name in comparison.decisions.columns if name not in columns]
    long = comparison.decisions.melt(kept, columns, "column", "value")
    # Imported scores have no training scores: a table of nothing but dashes would say that once a row.
    if long["threshold"].isna().all():
        long = long.iloc[:0]
    title = "Decisions at the threshold from training scores, mean ± standard deviation over seeds"
    return _seed_means("decisions", title, long, names, columns)


def clips(comparison: Comparison) -> Table:
    """How many clips of what there are, by machine and source."""
    notes = Notes()
    kinds = [("train", "normal"), ("test", "normal"), ("test", "anomaly"), ("test", "unknown")]
    header = ["Machine", "Source", "generation seeds", *(f"{split} {condition}" for split, condition in kinds)]
    rows = []
    for (machine, source), group in comparison.clips.groupby(["machine", "source"], sort=False):
        cells = []
        for split, condition in kinds:
            found = group[(group["split"] == split) & (group["condition"] == condition)]
            counts = sorted({int(n) for n in found["n_clips"]}) or [0]
            copies = int((found["n_clips"] - found["n_different"]).sum())
            note = notes.mark(f"{copies} clips have the same audio as another clip") if copies else ""
            cells.append("-".join(dict.fromkeys(map(str, (counts[0], counts[-1])))) + note)
        seeds = "" if source == REAL else str(group["generation_seed"].nunique())
        rows.append([str(machine), str(source), seeds, *cells])
    title = "Scored clips by machine and source (for each generation seed)"
    return Table("clips", title, header, rows, notes.lines(), comparison.clips, labels=2)


def problems(comparison: Comparison) -> Table:
    """What could not be done, as it was reported."""
    import pandas as pd

    columns = ["machine", "detector", "source", "seed", "reason"]
    rows = [
        ["any" if pd.isna(row[name]) else str(row[name]) for name in columns] for row in records(comparison.problems)
    ]
    header = [name.title() for name in columns]
    return Table("problems", "What could not be done", header, rows, [], comparison.problems, labels=len(columns))


def _seed_means(name: str, title: str, long: pd.DataFrame, names: Mapping[str, str], columns: Sequence[str]) -> Table:
    """A table with one row for each combination of ``names`` and the mean over seeds of each of ``columns``."""
    notes = Notes()
    rows, numbers = [], []
    for key, group in long.groupby(list(names.values()), sort=False):
        own = dict(zip(names.values(), _tuple(key), strict=True))
        counts = {n: int(group[n].max()) for n in ("n_normal", "n_anomaly")}
        cells: list[str] = []
        number: dict[str, Any] = {}
        reasons: list[str] = []
        for column in columns:
            found = _over_seeds(records(group[group["column"] == column]))
            cells.append(_mean_sd(found["value"], found["sd"], notes.mark(found["reason"])))
            number |= {column: found["value"], f"{column}_sd": found["sd"], f"{column}_n_seeds": found["n_seeds"]}
            reasons += [f"{column}: {found['reason']}"] if found["reason"] else []
        rows.append([*(str(value) for value in own.values()), *(str(n) for n in counts.values()), *cells])
        numbers.append(own | counts | number | {"reason": "; ".join(reasons)})
    header = [*names, "n normal", "n anomaly", *columns]
    return Table(name, title, header, rows, notes.lines(), _frame(numbers), labels=len(names))


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of ``value`` over repetitions, and which of them are missing and why."""
    values = [row["value"] for row in rows if not math.isnan(row["value"])]
    missing = [row for row in rows if math.isnan(row["value"])]
    whys = list(dict.fromkeys(row["reason"] for row in missing))
    if len(whys) == 1 and not values:
        named = whys[0]
    else:
        seeds = {
            why: ", ".join(str(Replicate(r["seed"], r["generation_seed"])) for r in missing if r["reason"] == why)
            for why in whys
        }
        named = "; ".join(f"{seeds[why]}: {why}" for why in whys)
    partial = bool(values and missing)
    mean = sum(values) / len(values) if values else float("nan")
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else float("nan")
    return {
        "value": mean,
        "sd": spread,
        "n_seeds": len(values),
        "n_seeds_expected": len(rows),
        "missing": named,
        "reason": f"mean over {len(values)} of {len(rows)} seeds ({named})" if partial else named,
    }


def _generated_sets(gaps: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Label of each generator and test set: the generator, with the test set where there are several."""
    keys = [
        (cell["generator"], cell["test_set"]) for cell in records(gaps[["generator", "test_set"]].drop_duplicates())
    ]
    plain = len({test_set for _, test_set in keys}) == 1
    return {(generator, name): generator if plain else f"{generator} [{name}]" for generator, name in keys}


def _gap_cells(cell: Mapping[str, Any], notes: Notes) -> list[str]:
    """AUC on the generated set, gap and interval, as printed; the footnote goes to what lacks a value or a seed."""
    note = notes.mark(cell["reason"])
    made, gap, low = cell["auc_generated"], cell["gap"], cell["gap_low"]
    # The note is where something is missing; a remark about a complete row stands at its gap.
    of_auc = note if math.isnan(made) or cell["n_seeds_generated"] < cell["n_seeds_expected"] else ""
    of_gap = note if math.isnan(gap) or cell["n_seeds"] < cell["n_seeds_expected"] or not math.isnan(low) else ""
    interval = f"{DASH}{note}" if math.isnan(low) else f"{100 * low:+.2f} to {100 * cell['gap_high']:+.2f}"
    return [
        _mean_sd(made, cell["auc_generated_sd"], of_auc),
        (DASH if math.isnan(gap) else _points_sd(gap, cell["gap_sd"])) + of_gap,
        interval,
    ]


def _original_cell(cell: Mapping[str, Any], notes: Notes) -> str:
    missing = math.isnan(cell["auc_original"]) or cell["n_seeds_original"] < cell["n_seeds_original_expected"]
    return _mean_sd(cell["auc_original"], cell["auc_original_sd"], notes.mark(cell["reason"]) if missing else "")


def _summary_cells(row: Mapping[str, Any], notes: Notes) -> list[str]:
    note = notes.mark(row["reason"])
    incomplete = row["n_machines"] < row["n_machines_expected"]

    def cell(value: float, text: str) -> str:
        return f"{DASH}{note}" if math.isnan(value) else text

    return [
        _of(row, "n_machines", note if incomplete else ""),
        cell(row["mean_gap"], f"{100 * row['mean_gap']:+.2f}"),
        cell(row["mean_abs_gap"], f"{100 * row['mean_abs_gap']:.2f}"),
        cell(row["rms_gap"], f"{100 * row['rms_gap']:.2f}"),
        cell(row["mean_relative_gap"], f"{100 * row['mean_relative_gap']:+.1f}"),
        cell(row["pearson"], f"{row['pearson']:.3f}"),
        cell(row["spearman"], f"{row['spearman']:.3f}"),
    ]


def _published_summary() -> dict[str, Any]:
    """The summary of the published table, by the same arithmetic as of measured ones."""
    rows = [
        {
            "machine": machine,
            "auc_original": original,
            "auc_generated": generated,
            "gap": generated - original,
            "n_seeds": 1,
            "n_seeds_expected": 1,
            "reason": "",
        }
        for machine, (original, generated) in published.TABLE_IV.items()
    ]
    return summary_row(_frame(rows), list(published.TABLE_IV))


def _published_cells(machine: str) -> list[str]:
    values = published.table_iv(machine)
    if values is None:
        return [DASH] * 3
    return [f"{values[0]:.4f}", f"{values[1]:.4f}", f"{100 * (values[1] - values[0]):+.2f}"]


def _published_numbers(machine: str) -> dict[str, float]:
    original, generated = published.table_iv(machine) or (float("nan"), float("nan"))
    return {
        "published_auc_original": original,
        "published_auc_generated": generated,
        "published_gap": generated - original,
    }


def _gap_remarks(comparison: Comparison) -> list[str]:
    gaps = comparison.gaps
    if gaps.empty:
        return []
    kinds = [published.table_iv(machine) is not None for machine in comparison.machines]
    confidence = f"{100 * comparison.confidence:g} %"
    remarks = [
        f"gap: AUC generated - AUC original in points (1 point = 0.01); {confidence} interval: over clips, paired "
        "where test sets share them, given the fitted detectors (the bootstrap's is in gaps_long.csv).",
        f"[published]: {published.CITATION}." if any(kinds) else "",
        _remark_on_few_clips(gaps),
        "One seed: there is no standard deviation." if int(gaps["n_seeds_expected"].max()) == 1 else "",
    ]
    return [remark for remark in remarks if remark]


def _remark_on_dashes(comparison: Comparison) -> list[str]:
    kinds = [published.table_iv(machine) is not None for machine in comparison.machines]
    return [f"{DASH} without a number: the paper has no such machine."] if any(kinds) and not all(kinds) else []


def _remark_on_few_clips(gaps: pd.DataFrame) -> str:
    counts = gaps[["n_normal", "n_anomaly_original", "n_anomaly_generated"]].min(axis=1)
    few = list(dict.fromkeys(gaps["machine"][counts < FEW_CLIPS]))
    if not few:
        return ""
    return (
        f"Fewer than {FEW_CLIPS} clips in a class ({', '.join(few)}): too few to conclude anything; no interval "
        "knows of what so few clips do not show."
    )


def _interval_name(comparison: Comparison) -> str:
    return f"{100 * comparison.confidence:g} % interval (points)"


def _seeds(comparison: Comparison) -> str:
    numbers = sorted({int(n) for n in comparison.gaps["n_seeds_expected"]})
    return f"{' or '.join(map(str, numbers))} seed{'' if numbers == [1] else 's'}"


def _mean_sd(mean: float, spread: float, note: str) -> str:
    if math.isnan(mean):
        return f"{DASH}{note}"
    return (f"{mean:.4f}" if math.isnan(spread) else f"{mean:.4f} ± {spread:.4f}") + note


def _points_sd(mean: float, spread: float) -> str:
    return f"{100 * mean:+.2f}" if math.isnan(spread) else f"{100 * mean:+.2f} ± {100 * spread:.2f}"


def _of(row: Mapping[str, Any], name: str, note: str) -> str:
    have, expected = int(row[name]), int(row[f"{name}_expected"])
    return (str(have) if have == expected else f"{have} of {expected}") + note


def _tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows))

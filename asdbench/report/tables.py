"""The tables of a report, made from a `Comparison`: numbers for files and cells as they are printed.

A cell that has no value prints as a dash with the number of a footnote that says why; a mean over fewer seeds or
machines than there should be carries such a number too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asdbench.compare.controls import CHANCE
from asdbench.compare.gaps import summary_row
from asdbench.frames import frame_of, records
from asdbench.metrics.official import ALL
from asdbench.report import published
from asdbench.report.clip_tables import clips, costs, memorisation, quality, table_ii, table_iii
from asdbench.report.finding_tables import beyond_full_scale, copy_effects, dependence, near_copies
from asdbench.report.gap_tables import count_cell, gaps, labels_of_sets, table_iv
from asdbench.report.published import Published
from asdbench.report.table import DASH, Notes, Table, as_tuple, have_of, mean_sd, over_seeds

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison


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
        table_ii(comparison),
        table_iii(comparison),
        quality(comparison),
        memorisation(comparison),
        costs(comparison),
        dependence(comparison),
        near_copies(comparison),
        copy_effects(comparison),
        beyond_full_scale(comparison),
        problems(comparison),
    ]
    return [table for table in made if table.rows]


def agreement(comparison: Comparison) -> Table:
    """Whether generated sets order machines and detectors as the real ones do."""
    notes = Notes()
    groups = labels_of_sets(comparison.gaps)
    rows = []
    for row in records(comparison.agreement):
        label = groups[row["generator"], row["test_set"]]
        scale = 100 if row["measure"] == "selection regret" else 1
        name = f"{row['measure']} (points)" if scale == 100 else row["measure"]
        value = DASH + notes.mark(row["reason"]) if math.isnan(row["value"]) else f"{scale * row['value']:.3f}"
        interval = DASH if math.isnan(row["low"]) else f"{scale * row['low']:.3f} to {scale * row['high']:.3f}"
        perfect = DASH if math.isnan(row["perfect"]) else f"{scale * row['perfect']:.3f}"
        rows.append([row["detector"], label, name, value, interval, perfect, have_of(row, "n_cells", "")])
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
    return f"{row['auc']:.2f}{interval}{'*' if row['deviates'] is True else ' '}{notes.mark(row['reason'])}"


def summary(comparison: Comparison) -> Table:
    """The gaps over machines, by detector and generator, and published ones that the spec asks for."""
    notes = Notes()
    groups = labels_of_sets(comparison.gaps)
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
    known = published.figures(comparison.published)
    is_comparable = rows and any(known.aucs_of(machine) for machine in comparison.machines)
    if is_comparable:
        published_row = _published_summary(known)
        rows.append(["[published]", f"{known.name}, {known.gaps_table}", *_summary_cells(published_row, notes)])
        numbers.append({"detector": known.label, "generator": known.name, "test_set": "", **published_row})
    return Table(
        "summary",
        "Gaps over machines (only machines with every seed; signed gap is generated - original)",
        header,
        rows,
        notes.lines(),
        frame_of(numbers),
        labels=2,
        remarks=[f"[published]: {known.citation}."] if is_comparable else [],
    )


def official_scores(comparison: Comparison) -> Table:
    """Official scores by year, detector and test set, mean over seeds."""
    notes = Notes()
    header = ["Year", "Detector", "Source", "Test set", "official score", "score of the scored machines", "seeds"]
    keys = ["year", "detector", "source", "test_set"]
    totals = comparison.official[comparison.official["measure"] == "official score"]
    rows, numbers = [], []
    for key, found in totals.groupby(keys, sort=False):
        own = dict(zip(keys, as_tuple(key), strict=True))
        total = over_seeds(records(found[found["row"] == "total"]))
        partial = over_seeds(records(found[found["row"] == "total of scored machines"]))
        if total["n_seeds"] < total["n_seeds_expected"]:
            # A mean over the seeds that happen to be complete would compare different sets of machines.
            total |= {"value": float("nan"), "sd": float("nan")}
            scored = sorted({str(row["reason"]) for row in records(found) if row["row"] == "total of scored machines"})
            if partial["n_seeds"] == 0:
                scored = [total["missing"]]
            elif len(scored) > 1 or partial["n_seeds"] < total["n_seeds_expected"]:
                partial |= {"value": float("nan"), "sd": float("nan")}
                scored = ["the machines that can be scored are not the same for every seed"]
            shown = mean_sd(partial["value"], partial["sd"], notes.mark(scored[0]))
        else:
            shown = mean_sd(total["value"], total["sd"], "")
            partial = total
        cell = mean_sd(total["value"], total["sd"], notes.mark(total["missing"]))
        rows.append([*(str(value) for value in own.values()), cell, shown, have_of(total, "n_seeds", "")])
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
        frame_of(numbers),
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
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    known = ("n_normal", "n_anomaly", "n_normal_groups", "n_anomaly_groups")
    names_of_counts = [name for name in known if name in long.columns]
    for row in records(long):
        groups.setdefault(tuple(row[name] for name in names.values()), []).append(row)
    for key, group in groups.items():
        own = dict(zip(names.values(), key, strict=True))
        counts = {n: max(int(row[n]) for row in group) for n in names_of_counts}
        cells: list[str] = []
        number: dict[str, Any] = {}
        reasons: list[str] = []
        for column in columns:
            found = over_seeds([row for row in group if row["column"] == column])
            cells.append(mean_sd(found["value"], found["sd"], notes.mark(found["reason"])))
            number |= {column: found["value"], f"{column}_sd": found["sd"], f"{column}_n_seeds": found["n_seeds"]}
            reasons += [f"{column}: {found['reason']}"] if found["reason"] else []
        sizes = [count_cell(counts[n], counts.get(f"{n}_groups", counts[n])) for n in ("n_normal", "n_anomaly")]
        rows.append([*(str(value) for value in own.values()), *sizes, *cells])
        numbers.append(own | counts | number | {"reason": "; ".join(reasons)})
    header = [*names, "n normal", "n anomaly", *columns]
    return Table(name, title, header, rows, notes.lines(), frame_of(numbers), labels=len(names))


def _summary_cells(row: Mapping[str, Any], notes: Notes) -> list[str]:
    note = notes.mark(row["reason"])
    incomplete = row["n_machines"] < row["n_machines_expected"]

    def cell(value: float, text: str) -> str:
        return f"{DASH}{note}" if math.isnan(value) else text

    return [
        have_of(row, "n_machines", note if incomplete else ""),
        cell(row["mean_gap"], f"{100 * row['mean_gap']:+.2f}"),
        cell(row["mean_abs_gap"], f"{100 * row['mean_abs_gap']:.2f}"),
        cell(row["rms_gap"], f"{100 * row['rms_gap']:.2f}"),
        cell(row["mean_relative_gap"], f"{100 * row['mean_relative_gap']:+.1f}"),
        cell(row["pearson"], f"{row['pearson']:.3f}"),
        cell(row["spearman"], f"{row['spearman']:.3f}"),
    ]


def _published_summary(known: Published) -> dict[str, Any]:
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
        for machine, (original, generated) in known.gaps.items()
    ]
    return summary_row(frame_of(rows), list(known.gaps))

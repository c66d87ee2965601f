"""The tables of gaps: AUC on original and generated sets, floor, verdict, and what controls say of a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asdbench.compare.verdict import INDISTINGUISHABLE, MIN_GROUPS, TOO_FEW, has_few_groups
from asdbench.frames import frame_of, records
from asdbench.report import published
from asdbench.report.published import Published
from asdbench.report.table import DASH, Notes, Table, have_of, mean_sd, points_sd

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison

FEW_CLIPS = 20
"""With fewer clips in a class a table says that they are few."""


def table_iv(comparison: Comparison) -> Table:
    """AUC on original and generated sets by machine and detector, in the manner of the paper's Table IV.

    One row a machine and detector; a group of columns a generator; published values, where asked for, at the right.
    """
    notes = Notes()
    groups = labels_of_sets(comparison.gaps)
    interval = interval_name(comparison)
    header = ["Machine", "Detector", "n normal", "n anomaly", "AUC original"]
    for label in groups.values():
        header += [f"n {label}", f"AUC {label}", f"gap {label} (points)", f"{interval} {label}"]
    known = published.figures(comparison.published)
    if known.name:
        header += [f"{name}, {known.label}" for name in ("AUC original", "AUC generated", "gap (points)")]
    rows, numbers = [], []
    for (machine, detector), cells in comparison.gaps.groupby(["machine", "detector"], sort=False):
        by_group = {(cell["generator"], cell["test_set"]): cell for cell in records(cells)}
        first = next(iter(by_group.values()))
        counts = [count_cell(first[name], first[f"{name}_groups"]) for name in ("n_normal", "n_anomaly_original")]
        row = [machine, detector, *counts, _original_cell(first, notes)]
        number = {"machine": machine, "detector": detector}
        of_real = ("n_normal", "n_anomaly_original", "n_normal_groups", "n_anomaly_original_groups", "n_seeds_original")
        number |= {k: first[k] for k in of_real}
        number |= {k: first[k] for k in first if str(k).startswith("auc_original")}
        for group, label in groups.items():
            cell = by_group[group]
            made = count_cell(cell["n_anomaly_generated"], cell["n_anomaly_generated_groups"])
            row += [made, *_gap_cells(cell, notes)]
            number |= {f"{label}: {k}": cell[k] for k in cell if str(k).startswith(("auc_generated", "gap"))}
            of_made = ("n_anomaly_generated", "n_anomaly_generated_groups", "n_seeds", "n_seeds_expected", "reason")
            number |= {f"{label}: {k}": cell[k] for k in of_made}
        rows.append([str(x) for x in row] + _published_cells(known, str(machine)))
        numbers.append(number | _published_numbers(known, str(machine)))
    return Table(
        "table_iv",
        f"AUC on original and generated test sets, mean ± standard deviation over {_seeds(comparison)}",
        header,
        rows,
        notes.lines(),
        frame_of(numbers),
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
    """The cells of one detector, one row a machine and generator, published values in a row of their own.

    This long form fits a terminal whatever the number of generators.
    """
    notes = Notes()
    header, rows = _gap_header(comparison), _gap_rows(comparison, detector, notes)
    remarks = _long_gap_remarks(comparison)
    counts = {row[-1] for row in rows if row[-1]}
    if len(counts) == 1:  # a column that says the same in every row takes the place of others
        header, rows = header[:-1], [row[:-1] for row in rows]
        remarks = [f"{detector}: {next(iter(counts))} clips in every row.", *remarks]
    return Table(
        "gaps",
        f"{detector}: AUC on original and generated test sets",
        header,
        rows,
        notes.lines(),
        comparison.gaps[comparison.gaps["detector"] == detector],
        labels=2,
        remarks=remarks,
    )


def _gap_header(comparison: Comparison) -> list[str]:
    names = ["Machine", "Generator", "AUC original", "AUC generated", "gap (points)"]
    heard = ["artefact AUC", "matched gap"] if _has_controls(comparison) else []
    return [*names, interval_name(comparison), "floor", "verdict", *heard, "clips"]


_COUNTS = ("n_normal", "n_anomaly_original", "n_anomaly_generated")


def count_cell(clips: int, groups: int) -> str:
    """A number of clips, with that of the groups that they are of where it is another."""
    return str(clips) if groups == clips else f"{clips} ({groups})"


def _has_groups(gaps: pd.DataFrame) -> bool:
    return any((gaps[name] != gaps[f"{name}_groups"]).any() for name in _COUNTS)


def _has_controls(comparison: Comparison) -> bool:
    return bool(comparison.gaps[["artefact_auc", "matched_gap"]].notna().any(axis=None))


def _control_cells(cell: Mapping[str, Any]) -> list[str]:
    """Artefact AUC and matched gap; empty for generators without controls."""
    artefact, matched = cell["artefact_auc"], cell["matched_gap"]
    return ["" if math.isnan(artefact) else f"{artefact:.3f}", "" if math.isnan(matched) else f"{100 * matched:+.2f}"]


def _gap_rows(comparison: Comparison, detector: str, notes: Notes) -> list[list[str]]:
    groups, controlled = labels_of_sets(comparison.gaps), _has_controls(comparison)
    cells = comparison.gaps[comparison.gaps["detector"] == detector]
    known = published.figures(comparison.published)
    rows = []
    for machine in comparison.machines:
        for cell in records(cells[cells["machine"] == machine]):
            counts = [count_cell(cell[name], cell[f"{name}_groups"]) for name in _COUNTS]
            auc_cells = [_original_cell(cell, notes), *_gap_cells(cell, notes)]
            label = groups[cell["generator"], cell["test_set"]]
            judged = [
                _floor(cell, notes),
                _verdict(cell) + notes.mark(_why_not_different(cell)),
                *(_control_cells(cell) if controlled else []),
            ]
            seeds = have_of(cell, "n_seeds", "")
            seeds = f" {seeds.replace(' of ', '/')}" if "of" in seeds else ""
            rows.append([machine, label, *auc_cells, *judged, "/".join(counts) + seeds])
        if known.aucs_of(machine) is not None and len(cells):
            empty = [""] * (6 if controlled else 4)
            rows.append([machine, "[published]", *_published_cells(known, machine), *empty])
    return rows


def _long_gap_remarks(comparison: Comparison) -> list[str]:
    gaps = comparison.gaps
    tested = gaps[~gaps["is_control"].astype(bool)]
    counted = (tested if len(tested) else gaps)["n_comparisons"]
    comparisons = int(counted.max()) if len(counted) else 0
    margin = f"{100 * comparison.margin:g}"
    return [
        "clips: normal/anomalous original/anomalous generated; then the seeds that count, where some are missing.",
        "floor: mean |gap| in points that a perfect generator would show with as many clips.",
        f"verdict: 'equivalent' within {margin} points (two one-sided tests); 'different' from a perfect generator "
        f"(level {1 - comparison.confidence:.2g}, Holm-corrected over {comparisons} comparisons); 'too few' clips "
        f"to see a gap of {margin} points, with the number of each kind that would be; else 'indistinguishable'.",
        *(
            [
                "artefact AUC: generated normal clips against real ones; 0.5 where the detector does not hear the "
                "generator. matched gap: generated anomalies against generated normal clips, minus AUC original."
            ]
            if _has_controls(comparison)
            else []
        ),
        *_gap_remarks(comparison),
    ]


def _floor(cell: Mapping[str, Any], notes: Notes) -> str:
    if math.isnan(cell["floor"]):
        return ""
    if min(cell["n_normal_groups"], cell["n_anomaly_original_groups"]) < FEW_CLIPS:
        why = f"fewer than {FEW_CLIPS} real clips or groups of a class: the floor itself is little more than a guess "
        return DASH + notes.mark(why + "(in gaps_long.csv)")
    return f"{100 * cell['floor']:.2f}"


def _verdict(cell: Mapping[str, Any]) -> str:
    needed, groups = cell["n_needed"], cell["n_needed_groups"]
    if cell["verdict"] == TOO_FEW and not math.isnan(needed):
        in_groups = any(cell[name] != cell[f"{name}_groups"] for name in _COUNTS)
        return f"{TOO_FEW}: {int(needed)}" + (f" ({int(groups)})" if in_groups else "")
    return str(cell["verdict"])


def _why_not_different(cell: Mapping[str, Any]) -> str:
    """Why a cell is not called different although its interval does not contain 0; "" where there is nothing to say."""
    if cell["verdict"] not in (TOO_FEW, INDISTINGUISHABLE) or cell["gap_low"] <= 0 <= cell["gap_high"]:
        return ""
    if math.isnan(cell["gap_low"]):
        return ""
    level = f"{1 - cell['confidence']:.2g}"
    if math.isnan(cell["p"]):
        return "the interval does not contain 0, but there are too few clips to test for a perfect generator"
    if cell["p"] <= 1 - cell["confidence"]:
        return (
            f"the interval does not contain 0 and p is at most {level}, but not after Holm's correction: as many "
            "comparisons would find such a gap by chance (p and p_holm are in gaps_long.csv)"
        )
    return (
        f"the interval does not contain 0, but p is above {level}: the test against a perfect generator takes the "
        "spread of both sets together (p is in gaps_long.csv)"
    )


def labels_of_sets(gaps: pd.DataFrame) -> dict[tuple[str, str], str]:
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
        mean_sd(made, cell["auc_generated_sd"], of_auc),
        (DASH if math.isnan(gap) else points_sd(gap, cell["gap_sd"])) + of_gap,
        interval,
    ]


def _original_cell(cell: Mapping[str, Any], notes: Notes) -> str:
    missing = math.isnan(cell["auc_original"]) or cell["n_seeds_original"] < cell["n_seeds_original_expected"]
    return mean_sd(cell["auc_original"], cell["auc_original_sd"], notes.mark(cell["reason"]) if missing else "")


def _published_cells(known: Published, machine: str) -> list[str]:
    if not known.name:
        return []
    values = known.aucs_of(machine)
    if values is None:
        return [DASH] * 3
    return [f"{values[0]:.4f}", f"{values[1]:.4f}", f"{100 * (values[1] - values[0]):+.2f}"]


def _published_numbers(known: Published, machine: str) -> dict[str, float]:
    if not known.name:
        return {}
    original, generated = known.aucs_of(machine) or (float("nan"), float("nan"))
    return {
        "published_auc_original": original,
        "published_auc_generated": generated,
        "published_gap": generated - original,
    }


def _gap_remarks(comparison: Comparison) -> list[str]:
    gaps = comparison.gaps
    if gaps.empty:
        return []
    known = published.figures(comparison.published)
    kinds = [known.aucs_of(machine) is not None for machine in comparison.machines]
    confidence = f"{100 * comparison.confidence:g} %"
    drawn = "groups of clips" if _has_groups(gaps) else "clips"
    remarks = [
        f"gap: AUC generated - AUC original in points (1 point = 0.01); {confidence} interval: over {drawn}, paired "
        "where test sets share them, given the fitted detectors (the bootstrap's is in gaps_long.csv).",
        f"[published]: {known.citation}." if any(kinds) else "",
        "In parentheses beside a number of clips: the groups (recordings) that they are of. Intervals, floor and "
        "verdict count groups, since clips of one group are alike."
        if _has_groups(gaps)
        else "",
        _remark_on_few_clips(gaps),
        _remark_on_few_groups(gaps),
        "One seed: there is no standard deviation." if int(gaps["n_seeds_expected"].max()) == 1 else "",
    ]
    return [remark for remark in remarks if remark]


def _remark_on_dashes(comparison: Comparison) -> list[str]:
    known = published.figures(comparison.published)
    kinds = [known.aucs_of(machine) is not None for machine in comparison.machines]
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


def _remark_on_few_groups(gaps: pd.DataFrame) -> str:
    rows = records(gaps)
    few = [row["machine"] for row in rows if any(has_few_groups(row[n], row[f"{n}_groups"]) for n in _COUNTS)]
    if not few:
        return ""
    return (
        f"Fewer than {MIN_GROUPS} groups in a class ({', '.join(dict.fromkeys(few))}): too few to conclude anything; "
        f"intervals are known to hold from {MIN_GROUPS} on."
    )


def interval_name(comparison: Comparison) -> str:
    """How a column of intervals of gaps is called."""
    return f"{100 * comparison.confidence:g} % interval (points)"


def _seeds(comparison: Comparison) -> str:
    numbers = sorted({int(n) for n in comparison.gaps["n_seeds_expected"]})
    return f"{' or '.join(map(str, numbers))} seed{'' if numbers == [1] else 's'}"

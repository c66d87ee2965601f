"""Evaluating a folder of score files: its systems, their values with intervals, and the tables that show them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench import UserError
from asdbench.challenge.estimating import ARITHMETIC, DEVIATION, HARMONIC, Evaluated, evaluate_clips
from asdbench.challenge.sizes import notes_on_size
from asdbench.challenge.systems import System, find_systems, years_of
from asdbench.challenge.truths import clip_tables, find_truths
from asdbench.compare.operating import curves_of_clips, joined
from asdbench.datasets.listing import data_root, walk
from asdbench.errors import warn
from asdbench.frames import frame_of
from asdbench.metrics import official
from asdbench.metrics.official import ALL, decision_columns, result_areas
from asdbench.report.table import DASH, Notes, Table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        year: of the challenge.
        machines: machine types that make up the official score.
        systems: the values of each system, by its name.
        clips: labelled clips of each system, with the columns of `asdbench.challenge.truths.COLUMNS`.
        confidence: of the intervals.
    """

    year: int
    machines: tuple[str, ...]
    systems: dict[str, Evaluated]
    clips: dict[str, pd.DataFrame]
    confidence: float

    def tables(self) -> list[Table]:
        """Values by machine and section; decisions, where there are any; official scores."""
        shown = [areas_table(self), decisions_table(self), official_table(self)]
        return [table for table in shown if table.rows]

    def curves(self) -> pd.DataFrame:
        """ROC and DET curves of every system, one row a threshold; see `asdbench.compare.operating`."""
        return joined(
            curves_of_clips(*official.arrays(clips), {"machine": machine, "system": name})
            for name, table in self.clips.items()
            for machine, clips in table.groupby("machine")
        )


def evaluate(
    folder: str | Path,
    truth: str | Path | None = None,
    year: int | None = None,
    machines: Sequence[str] = (),
    confidence: float = 0.95,
) -> Evaluation:
    """Evaluate all score and decision files below a folder.

    Args:
        folder: with files as challenges and baselines name them (`asdbench.challenge.file_names`).
        truth: a folder with truth files; by default those found below ``folder`` count, and the clips' names.
        year: of the challenge; None where the file names say it.
        machines: the machine types that make up the official score; by default those that any system has scored.
        confidence: of the intervals.

    Raises:
        UserError: anything is wrong with the files; the message names file and row.
    """
    root = data_root(str(folder), "folder")
    folders = walk(root)
    systems = find_systems(root, folders, machines)
    chosen = _choose_year(systems, year, root)
    given = None if truth is None else data_root(str(truth), "folder of the truth")
    clips = clip_tables(systems, find_truths(folders, given, systems), with_domains=chosen > 2020)
    wanted = list(machines) or sorted({machine for table in clips.values() for machine in table["machine"]})
    for sentence in notes_on_size(clips, chosen):
        warn(sentence)
    found = {name: evaluate_clips(table, chosen, wanted, confidence) for name, table in clips.items()}
    return Evaluation(chosen, tuple(wanted), found, clips, confidence)


def _choose_year(systems: Sequence[System], year: int | None, root: Path) -> int:
    possible = years_of(systems)
    said = f"{min(possible)} to {max(possible)}" if len(possible) > 1 else str(min(possible))
    if year is not None and year not in possible:
        raise UserError(f"{systems[0].parts[0].path}: the year {year} was asked for, but this is a name of {said}")
    if year is None and len(possible) > 1:
        raise UserError(f"{root}: the names of the files do not say the year; give --year ({said})")
    return min(possible) if year is None else year


def areas_table(found: Evaluation) -> Table:
    """AUC and partial AUC by system, machine and section, and their means; behind it all values of the result files."""
    headers = list(result_areas(found.year))
    notes = Notes()
    rows = [
        [name, str(row["machine"]), str(row["section"]), *(_cell(row, header, notes) for header in headers)]
        for name, system in found.systems.items()
        for row in _shown(system)
    ]
    return Table(
        "results",
        f"Areas as in the result files of DCASE {found.year}, and {100 * found.confidence:g} % intervals",
        ["System", "Machine", "Section", *headers],
        rows,
        notes.lines(),
        _numbers(found),
        labels=3,
    )


def _shown(system: Evaluated) -> list[dict[str, Any]]:
    """The rows that are worth printing: the means of a machine with one section would say the same again."""
    sections = Counter(row["machine"] for row in system.rows if row["section"] not in (ARITHMETIC, HARMONIC, DEVIATION))
    return [
        row
        for row in system.rows
        if row["section"] not in (ARITHMETIC, HARMONIC, DEVIATION)
        or (row["section"] != DEVIATION and (row["machine"] == ALL or sections[row["machine"]] > 1))
    ]


def _cell(row: dict[str, Any], header: str, notes: Notes) -> str:
    value = row.get(header, math.nan)
    if math.isnan(value):
        return DASH + notes.mark(row["reason"])
    low, high = row[f"{header}: low"], row[f"{header}: high"]
    return f"{value:.4f}" if math.isnan(low) else f"{value:.4f} ({low:.2f}–{high:.2f})"


def _numbers(found: Evaluation) -> pd.DataFrame:
    """All values in full precision; the official score is a row of its own at the end of a system."""
    areas = list(result_areas(found.year))
    columns = ["system", "machine", "section", *areas, *(header for header, _ in decision_columns(found.year))]
    columns += [
        "official score",
        *(f"{header}: {end}" for header in (*areas, "official score") for end in ("low", "high")),
    ]
    rows: list[dict[str, Any]] = []
    for name, system in found.systems.items():
        rows += [{"system": name, **row} for row in system.rows]
        low, high = system.interval
        total = {"official score": system.total, "official score: low": low, "official score: high": high}
        rows.append({"system": name, "machine": ALL, "section": "official score", **total, "reason": system.reason})
    frame = frame_of(rows, [*columns, "n_normal", "n_anomaly", "reason"])
    return frame.astype({"n_normal": "Int64", "n_anomaly": "Int64"})


def decisions_table(found: Evaluation) -> Table:
    """Precision, recall and F1 by system, machine and section, where there are decisions."""
    headers = [header for header, _ in decision_columns(found.year)]
    rows, numbers = [], []
    for name, system in found.systems.items():
        for row in _shown(system):
            values = [row.get(header, math.nan) for header in headers]
            if not all(map(math.isnan, values)):
                own = {"system": name, "machine": row["machine"], "section": row["section"]}
                rows.append([*map(str, own.values()), *(DASH if math.isnan(v) else f"{v:.4f}" for v in values)])
                numbers.append(own | dict(zip(headers, values, strict=True)))
    title = "Decisions: precision, recall and F1 score"
    remarks = (
        ["Precision, recall and F1 score of a domain are over its own clips."] if found.year > 2020 and rows else []
    )
    return Table(
        "decisions",
        title,
        ["System", "Machine", "Section", *headers],
        rows,
        [],
        frame_of(numbers),
        labels=3,
        remarks=remarks,
    )


def official_table(found: Evaluation) -> Table:
    """The official score of each system with its interval."""
    notes = Notes()
    rows, numbers = [], []
    for name, system in found.systems.items():
        low, high = system.interval
        value = DASH + notes.mark(system.reason) if math.isnan(system.total) else f"{system.total:.4f}"
        interval = DASH if math.isnan(low) else f"{low:.4f} to {high:.4f}"
        scored, wanted = len(system.scored), len(found.machines)
        machines = str(scored) if scored == wanted else f"{scored} of {wanted}"
        clips = len(found.clips[name])
        rows.append([name, str(found.year), value, interval, machines, str(clips)])
        numbers.append(
            {"system": name, "year": found.year, "official_score": system.total, "low": low, "high": high}
            | {"confidence": found.confidence, "n_machines": scored, "n_machines_expected": wanted}
            | {"machines": " ".join(found.machines), "n_clips": clips, "reason": system.reason}
        )
    return Table(
        "official",
        f"Official score of DCASE {found.year} Task 2",
        ["System", "Year", "official score", f"{100 * found.confidence:g} % interval", "machines", "clips"],
        rows,
        notes.lines(),
        frame_of(numbers),
        labels=2,
        remarks=[f"Machines: {', '.join(found.machines)}. The interval is over clips, for the system as it is."],
    )

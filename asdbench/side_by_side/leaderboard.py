"""What `asdbench leaderboard` shows: generators of all runs in a folder, ranked for each set of real clips apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench.errors import UserError, warn
from asdbench.report.table import DASH, Notes, Table
from asdbench.side_by_side import cells
from asdbench.side_by_side.entries import Entry, difference, entries

if TYPE_CHECKING:
    from asdbench.results import Results


@dataclass(frozen=True)
class Board:
    """Runs that were tested on the same real clips, with the same detectors and seeds.

    Attributes:
        runs: the newest first.
        table: their generators by rank.
    """

    runs: tuple[Results, ...]
    table: Table


def leaderboard(folder: Path) -> list[Board]:
    """Rank the generators of all runs below a folder.

    Runs with different test clips, machines, detectors, seeds or statistics are never mixed: each group has a board of
    its own. A generator without a result for every machine is listed without a rank.

    Args:
        folder: searched at any depth; a run that cannot be read is left out with a warning.

    Raises:
        UserError: there is no run, or none can be read.
    """
    groups: list[list[Results]] = []
    for results in _runs(folder):
        for group in groups:
            if not difference(group[0], results):
                group.append(results)
                break
        else:
            groups.append([results])
    ranked = [(group, found) for group in groups if (found := entries(group))]
    ranked.sort(key=lambda each: -len(each[1]))
    if not ranked:
        raise UserError(f"{folder}: none of its runs has a generator to rank")
    return [
        Board(tuple(group), _table(group[0], found, number, len(ranked)))
        for number, (group, found) in enumerate(ranked, 1)
    ]


def _runs(folder: Path) -> list[Results]:
    from asdbench.results import SPEC, load

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one with runs that `asdbench run` wrote")
    specs = sorted(folder.rglob(SPEC), key=lambda path: (-path.stat().st_mtime_ns, str(path)))
    specs = [path for path in specs if (path.parent / "scores.parquet").is_file()]
    if not specs:
        raise UserError(f"{folder}: no run in it, expected a folder with runs that `asdbench run` wrote")
    found, last = [], ""
    for path in specs:
        try:
            found.append(load(path.parent))
        except UserError as error:
            last = str(error)
            warn(f"left out: {error}")
    if not found:
        raise UserError(f"none of the {len(specs)} runs below {folder} can be read: {last}")
    return found


def _table(first: Results, found: Sequence[Entry], number: int, boards: int) -> Table:
    import pandas as pd

    notes = Notes()
    ranked = sorted((entry for entry in found if _is_ranked(entry)), key=lambda entry: entry.mean("mean_abs_gap"))
    rest = [entry for entry in found if not _is_ranked(entry)]
    label, model = cells.sound_model(found)
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    for rank, entry in enumerate([*ranked, *rest], 1):
        place = str(rank) if rank <= len(ranked) else DASH + notes.mark(entry.missing or "there is no gap")
        figures = {name: entry.mean(name) for name in _MEANS}
        low, high = figures["mean_abs_gap_low"], figures["mean_abs_gap_high"]
        artefact = entry.artefact()
        row = [place, entry.generator, entry.run]
        row += [
            cells.points(figures["mean_abs_gap"]),
            DASH if math.isnan(low) else f"{100 * low:.2f} to {100 * high:.2f}",
        ]
        row += [cells.points(figures["mean_floor"]), cells.points(figures["mean_gap"], signed=True)]
        row += [cells.number(figures["pearson"], ".2f"), cells.number(entry.agreement("detector kendall"), ".2f")]
        row += [cells.points(entry.agreement("selection regret")), cells.verdicts(list(entry.by_detector.values()))]
        row += ["" if math.isnan(artefact) else f"{artefact:.2f}"]
        row += [cells.sound_cell(entry, model, notes), cells.copies_cell(entry), *cells.cost_cells(entry)]
        rows.append(row)
        own: dict[str, Any] = {
            "board": number,
            "rank": rank if rank <= len(ranked) else None,
            "generator": entry.generator,
        }
        own |= {
            "run": f"{entry.results.spec['name']}/{entry.run}",
            "use": entry.use,
            **figures,
            "artefact_auc": artefact,
        }
        numbers.append(own | cells.heard_numbers(entry) | {"reason": "" if rank <= len(ranked) else entry.missing})
    header = [
        "rank",
        "Generator",
        "Run",
        "mean |gap|",
        "interval",
        "floor",
        "mean gap",
        "Pearson",
        "Kendall",
        "regret",
        "verdicts",
    ]
    tested = f"{first.spec['dataset']['use']}: {', '.join(first.comparison.machines)}"
    of = f" (board {number} of {boards}: other test clips, detectors or seeds)" if boards > 1 else ""
    return Table(
        f"leaderboard_{number}" if boards > 1 else "leaderboard",
        f"Generators on {tested}; detectors {', '.join(first.comparison.detectors)}{of}",
        [*header, "artefact AUC", label, "copies", "s/clip", "params (M)"],
        rows,
        notes.lines(),
        pd.DataFrame(numbers),
        labels=3,
        remarks=[
            "Ranked by mean |gap| in points over machines and detectors; neighbours whose intervals overlap are not "
            "told apart. interval: those of the detectors, averaged as if they erred together. floor: what a perfect "
            "generator would show with as many clips. Kendall, regret: of the choice between detectors, in points.",
            cells.VERDICTS_REMARK,
            cells.SOUND_REMARK,
        ],
    )


_MEANS = ("mean_abs_gap", "mean_abs_gap_low", "mean_abs_gap_high", "mean_floor", "mean_gap", "pearson", "spearman")


def _is_ranked(entry: Entry) -> bool:
    return entry.is_whole and not math.isnan(entry.mean("mean_abs_gap"))

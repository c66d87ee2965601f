"""What `asdbench compare` shows: the generators of several runs side by side, on the same real clips and detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asdbench.compare.published import published_summary
from asdbench.report import published
from asdbench.report.published import Published
from asdbench.report.table import DASH, Notes, Table
from asdbench.side_by_side import cells
from asdbench.side_by_side.entries import Entry, entries, refuse_differences

if TYPE_CHECKING:
    from asdbench.results import Results

_OVER_MACHINES = ("mean_gap", "mean_abs_gap", "rms_gap", "mean_relative_gap", "pearson", "spearman", "kendall")
_MEANS = (*_OVER_MACHINES, *(f"{name}_{end}" for name in _OVER_MACHINES for end in ("low", "high")), "mean_floor")


def side_by_side(runs: Sequence[Results]) -> list[Table]:
    """Put the generators of runs side by side: their gaps by detector, and their sound, copies and cost.

    Published figures that the runs ask for stand at the end of the first; without runs, those of MIMII-Gen. A generator
    that gave the very same clips in two runs stands there once.

    Args:
        runs: of benchmarks on the same real test clips; may be empty.

    Raises:
        UserError: the runs were tested on different clips, machines or detectors; or statistics differ.
    """
    refuse_differences(runs)
    found = entries(runs)
    return [_gaps(found, _asked_for(runs)), *([_sound(found)] if found else [])]


def _gaps(found: Sequence[Entry], papers: Sequence[Published]) -> Table:
    import pandas as pd

    notes = Notes()
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    for detector in dict.fromkeys(name for entry in found for name in entry.by_detector):
        for entry in found:
            row = entry.by_detector[detector]
            artefact = entry.artefact(detector)
            run = f"{entry.results.spec['name']}/{entry.run}"
            whole = row["n_machines"] == row["n_machines_expected"]
            shown_row = row if whole else row | {name: math.nan for name in _MEANS if name in row}
            numbers.append({"run": run, **shown_row, "artefact_auc": artefact} | cells.heard_numbers(entry))
            rows.append(_cells(entry, row, artefact, notes))
    judged = []
    for paper in papers:
        known = published_summary(paper.gaps, paper.clips, paper.clips)
        shown = {
            name: getattr(known, name) for name in ("mean_gap", "mean_abs_gap", "mean_floor", "pearson", "spearman")
        }
        label = f"{paper.name}, {paper.gaps_table}"
        judged.append(f"[published]: {paper.citation}. {known.sentence}")
        rows.append(["[published]", label, "", str(len(known.cells)), *_figures(shown), "", ""])
    header = ["Detector", "Generator", "Run", "machines", "mean gap (points)", "mean |gap|", "floor"]
    return Table(
        "comparison",
        "Generators side by side, over machines",
        [*header, "Pearson", "Spearman", "verdicts", "artefact AUC"],
        rows,
        notes.lines(),
        pd.DataFrame(numbers),
        labels=3,
        remarks=[
            "floor: mean |gap| in points that a perfect generator would show with as many clips. "
            f"{cells.VERDICTS_REMARK} artefact AUC: generated normal clips against real ones, mean over machines; 0.5 "
            "where the detector does not hear the generator.",
            *judged,
        ],
    )


def _asked_for(runs: Sequence[Results]) -> list[Published]:
    """Published figures that the specs of the runs ask for; without runs, those to be judged by themselves."""
    names = [run.spec.get("published") for run in runs] or [published.PAPER_OF_THE_TASK]
    return [published.figures(name) for name in dict.fromkeys(names) if name is not None]


def _sound(found: Sequence[Entry]) -> Table:
    import pandas as pd

    notes = Notes()
    label, model = cells.sound_model(found)
    rows = [
        [
            entry.generator,
            entry.run,
            cells.number(entry.agreement("detector kendall")),
            cells.points(entry.agreement("selection regret")),
            cells.sound_cell(entry, model, notes),
            cells.copies_cell(entry),
            *cells.cost_cells(entry),
        ]
        for entry in found
    ]
    header = ["Generator", "Run", "detectors' Kendall", "selection regret (points)", label, "copies", "seconds a clip"]
    return Table(
        "comparison_of_generators",
        "Choice of detectors, sound and cost",
        [*header, "parameters (millions)"],
        rows,
        notes.lines(),
        pd.DataFrame([{"generator": each.generator, "run": each.run} | cells.heard_numbers(each) for each in found]),
        labels=2,
        remarks=[
            "detectors' Kendall: whether the generated set orders detectors as the real one does (1), mean over "
            "machines; selection regret: real AUC that is lost by taking the detector that the generated set prefers.",
            cells.SOUND_REMARK,
        ],
    )


def _cells(entry: Entry, row: dict[str, Any], artefact: float, notes: Notes) -> list[str]:
    have, expected = int(row["n_machines"]), int(row["n_machines_expected"])
    # A mean over the machines that happen to be complete would compare different things.
    whole = have == expected
    figures = _figures(row) if whole else [DASH + notes.mark(str(row["reason"])), *[DASH] * 4]
    heard = "" if math.isnan(artefact) else f"{artefact:.3f}"
    machines = str(have) if whole else f"{have} of {expected}"
    return [str(row["detector"]), entry.generator, entry.run, machines, *figures, cells.verdicts([row]), heard]


def _figures(row: dict[str, Any]) -> list[str]:
    shown = [cells.points(row["mean_gap"], signed=True)]
    shown += [cells.points(row[name]) for name in ("mean_abs_gap", "mean_floor")]
    return shown + [cells.number(row[name]) for name in ("pearson", "spearman")]

"""What `asdbench compare` does: the generators of several runs side by side, on the same real clips and detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asdbench.compare.controls import ARTEFACT
from asdbench.compare.published import published_summary
from asdbench.errors import UserError
from asdbench.frames import records
from asdbench.report import published
from asdbench.report.tables import DASH, Notes, Table

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.results import Results

PAPER_CLIPS = 50
"""Normal and anomalous clips of a test set in the paper."""
_REAL_TEST = "source == 'real' and split == 'test'"


def side_by_side(runs: Sequence[Results]) -> Table:
    """Put the summaries of runs into one table, with the published one at the end.

    A generator that gave the very same clips in two runs stands there once.

    Args:
        runs: of benchmarks on the same real test clips; may be empty.

    Raises:
        UserError: the runs were tested on different clips, machines or detectors; or statistics differ.
    """
    import pandas as pd

    _refuse_differences(runs)
    notes = Notes()
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    seen: set[tuple[str, str, str]] = set()
    for results in runs:
        for row in records(results.summary):
            key = (str(row["detector"]), str(row["generator"]), _content(results, str(row["generator"])))
            if key in seen:
                continue
            seen.add(key)
            artefact = _artefact(results, key[0], key[1])
            numbers.append({"run": f"{results.spec['name']}/{results.folder.name}", **row, "artefact_auc": artefact})
            rows.append(_cells(results, row, artefact, notes))
    rows.sort(key=lambda row: row[0])  # by detector; within one in the order of the runs
    known = published_summary(published.TABLE_IV, PAPER_CLIPS, PAPER_CLIPS)
    shown = {name: getattr(known, name) for name in ("mean_gap", "mean_abs_gap", "mean_floor", "pearson", "spearman")}
    rows.append(["[published]", "MIMII-Gen, Table IV", "", str(len(known.cells)), *_figures(shown), "", ""])
    header = [
        "Detector",
        "Generator",
        "Run",
        "machines",
        "mean gap (points)",
        "mean |gap|",
        "floor",
        "Pearson",
        "Spearman",
    ]
    return Table(
        "comparison",
        "Generators side by side, over machines",
        [*header, "verdicts", "artefact AUC"],
        rows,
        notes.lines(),
        pd.DataFrame(numbers),
        labels=3,
        remarks=[
            "floor: mean |gap| in points that a perfect generator would show with as many clips. verdicts: machines "
            "that are equivalent/different/too few clips/indistinguishable. artefact AUC: generated normal clips "
            "against real ones, mean over machines; 0.5 where the detector does not hear the generator.",
            f"[published]: {published.CITATION}. {known.sentence}",
        ],
    )


def _cells(results: Results, row: dict[str, Any], artefact: float, notes: Notes) -> list[str]:
    have, expected = int(row["n_machines"]), int(row["n_machines_expected"])
    # A mean over the machines that happen to be complete would compare different things.
    whole = have == expected
    figures = _figures(row) if whole else [DASH + notes.mark(str(row["reason"])), *[DASH] * 4]
    names = ("n_equivalent", "n_different", "n_not_enough_clips", "n_indistinguishable")
    verdicts = "/".join(str(int(row[name])) for name in names)
    heard = "" if math.isnan(artefact) else f"{artefact:.3f}"
    machines = str(have) if whole else f"{have} of {expected}"
    return [str(row["detector"]), str(row["generator"]), results.folder.name, machines, *figures, verdicts, heard]


def _figures(row: dict[str, Any]) -> list[str]:
    points = [f"{100 * row['mean_gap']:+.2f}", f"{100 * row['mean_abs_gap']:.2f}", f"{100 * row['mean_floor']:.2f}"]
    return points + [DASH if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("pearson", "spearman")]


def _artefact(results: Results, detector: str, generator: str) -> float:
    """Mean over machines of the AUC that generated normal clips have; NaN where one is missing."""
    controls = results.comparison.controls
    own = controls[(controls["detector"] == detector) & (controls["generator"] == generator)]
    aucs = own.loc[own["control"] == ARTEFACT, "auc"]
    return float(aucs.mean()) if len(aucs) and bool(aucs.notna().all()) else math.nan


def _content(results: Results, generator: str) -> str:
    """What a generator gave: its clips' hashes, in order."""
    own = results.generated[results.generated["generator"] == generator]
    return "".join(sorted(own["content_hash"]))


def _refuse_differences(runs: Sequence[Results]) -> None:
    """Check that runs may be put side by side."""
    for other in runs[1:]:
        first, names = runs[0], f"{runs[0].folder} and {other.folder}"
        machines = [sorted(results.comparison.machines) for results in (first, other)]
        if machines[0] != machines[1]:
            raise UserError(
                f"{names} cannot be compared: they test on the machines {', '.join(machines[0])} "
                f"and {', '.join(machines[1])}; expected the same"
            )
        tested = [_tested(results.scores) for results in (first, other)]
        for machine in machines[0]:
            if tested[0].get(machine) != tested[1].get(machine):
                raise UserError(
                    f"{names} cannot be compared: they test {machine} on different real clips "
                    f"({len(tested[0].get(machine, ()))} and {len(tested[1].get(machine, ()))}); expected the same"
                )
        for field in ("detectors", "statistics", "seeds"):
            if first.spec[field] != other.spec[field]:
                raise UserError(f"{names} cannot be compared: their {field} differ; expected the same")


def _tested(scores: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Content hashes of the real test clips of each machine."""
    real = scores.query(_REAL_TEST)
    return {str(machine): frozenset(clips["content_hash"]) for machine, clips in real.groupby("machine")}

"""Cells that tables of generators side by side have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from asdbench.report.table import DASH, Notes
from asdbench.side_by_side.entries import Entry

VERDICTS = ("n_equivalent", "n_different", "n_too_few", "n_indistinguishable")


def points(value: float, signed: bool = False) -> str:
    """A fraction in points, a dash where it is not defined."""
    if math.isnan(value):
        return DASH
    return f"{100 * value:+.2f}" if signed else f"{100 * value:.2f}"


def number(value: float, form: str = ".3f") -> str:
    """A number, a dash where it is not defined."""
    return DASH if math.isnan(value) else format(value, form)


def verdicts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Cells that are equivalent/different/too few/indistinguishable."""
    return "/".join(str(sum(int(row[name]) for row in rows)) for name in VERDICTS)


def sound_cell(entry: Entry, model: str, notes: Notes) -> str:
    """FAD and its floor, a dash with the reason where it is another figure than that of the other rows."""
    sound = entry.sound()
    if not sound.label:
        return DASH + notes.mark("the run has no embedding")
    if math.isnan(sound.value):
        return DASH + notes.mark("the run could not compute it for every seed")
    if sound.model != model:
        return DASH + notes.mark(f"the run has it by {sound.model}")
    return f"{sound.value:.3g}" + ("" if math.isnan(sound.floor) else f" ({sound.floor:.2g})")


def sound_model(entries: Sequence[Entry]) -> tuple[str, str]:
    """Label and model of the first FAD that there is."""
    return next(((s.label, s.model) for s in (entry.sound() for entry in entries) if s.model), ("FAD", ""))


def copies_cell(entry: Entry) -> str:
    """On how many machines training clips were found, of those looked at; empty where nobody looked."""
    found, known = entry.copies()
    return f"{found} of {known}" if known else ""


def cost_cells(entry: Entry) -> list[str]:
    """Seconds a clip, and millions of parameters (empty for what has none)."""
    cost = entry.cost()
    size = "" if math.isnan(cost["parameters"]) else f"{cost['parameters'] / 1e6:.2f}"
    return [number(cost["seconds_per_clip"], ".3g"), size]


def heard_numbers(entry: Entry) -> dict[str, Any]:
    """The figures of one generator that are not the summary's."""
    sound, (found, known) = entry.sound(), entry.copies()
    return {
        "detector_kendall": entry.agreement("detector kendall"),
        "selection_regret": entry.agreement("selection regret"),
        "fad": sound.value,
        "fad_floor": sound.floor,
        "fad_embedding": sound.model,
        "machines_with_copies": found,
        "machines_looked_at": known,
        **entry.cost(),
    }


SOUND_REMARK = (
    "FAD: of generated against real anomalies over all machines, its floor between halves of the real ones in "
    "parentheses. copies: machines on which training clips were found among generated ones. seconds a clip: as "
    "measured where it ran; millions of parameters: of what was trained."
)
VERDICTS_REMARK = "verdicts: cells (machine and detector) equivalent/different/too few/indistinguishable."
"""Remarks that explain these cells."""

"""Score and decision files of DCASE Task 2: rows of clip and value, read with every row checked, and written."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asdbench import UserError
from asdbench.audio import AUDIO_SUFFIXES
from asdbench.datasets.dcase.names import clip_key, parse_name
from asdbench.datasets.tables import Row, read_rows


@dataclass(frozen=True)
class Entry:
    """One row of a file.

    Attributes:
        name: the clip's name as it stands there.
        value: score, or decision (1.0: anomalous).
        place: file and row, for messages.
    """

    name: str
    value: float
    place: str


Entries = dict[str, Entry]
"""The rows of a file by clip; see `asdbench.datasets.dcase.names.clip_key`."""


def read_scores(path: Path) -> Entries:
    """Read a score file: clip and score a row, no header; the order of the rows means nothing.

    Byte-order mark and Windows line ends are accepted.

    Raises:
        UserError: the file is empty, or a row is not a clip and a finite number, or repeats a clip; the message names
            file and row.
    """
    return _read(path, "score")


def read_decisions(path: Path) -> Entries:
    """Read a decision file: clip and 0 or 1 a row; errors as `read_scores`."""
    entries = _read(path, "decision")
    for entry in entries.values():
        if entry.value not in (0.0, 1.0):
            raise UserError(f"{entry.place}: the decision is {entry.value:g}; expected 0 (normal) or 1 (anomalous)")
    return entries


def write_entries(path: Path, rows: Iterable[tuple[str, float | int]]) -> None:
    """Write clips and values; numbers that are read back are equal to the last bit."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows((name, repr(value)) for name, value in rows)
    path.write_bytes(buffer.getvalue().encode())


def _read(path: Path, what: str) -> Entries:
    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path}: the file is empty; expected a row of clip and {what} for each clip")
    entries: Entries = {}
    for position, row in enumerate(rows):
        if len(row.cells) != 2:
            cells = f"{len(row.cells)} cell{'' if len(row.cells) == 1 else 's'}"
            raise UserError(f"{row.place}: {cells}; expected two, clip and {what}")
        name, cell = row.cells
        if not name:
            raise UserError(f"{row.place}: there is no clip's name; expected clip and {what}")
        entry = Entry(name, _number(row, cell, what, position == 0), row.place)
        first = entries.setdefault(clip_key(name), entry)
        if first is not entry:
            raise UserError(f"{row.place}: the clip '{name}' stands there a second time (first in {first.place})")
    return entries


def _number(row: Row, cell: str, what: str, first: bool) -> float:
    try:
        value = float(cell.replace("_", "?"))  # Python would read 1_000
    except ValueError:
        if first and not _is_clip(row.cells[0]):
            header = ",".join(row.cells)
            raise UserError(f"{row.place}: '{header}' is a header; these files have none, remove the row") from None
        raise UserError(f"{row.place}: the {what} is '{cell}'; expected a number") from None
    if not math.isfinite(value):
        raise UserError(f"{row.place}: the {what} is '{cell}'; expected a finite number")
    return value


def _is_clip(name: str) -> bool:
    return name.lower().endswith(AUDIO_SUFFIXES) or parse_name(clip_key(name)) is not None

"""Recordings listed by a CSV manifest."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from asdbench import UserError
from asdbench.clips import DOMAINS, SPLITS
from asdbench.datasets.folder.items import PARENT, Item, parent
from asdbench.datasets.folder.tree import machine_of_parts
from asdbench.datasets.folder.words import CELL_WORDS, FOLDER_WORDS, Conditions, is_glob
from asdbench.datasets.tables import Row, read_any_table
from asdbench.errors import did_you_mean, warn

_REQUIRED = ("path", "condition")
_OPTIONAL = ("machine", "section", "domain", "split", "group")


@dataclass(frozen=True)
class Columns:
    """What the columns of a manifest mean.

    Attributes:
        conditions: what the cells of the column ``condition`` mean.
        machine: the column that names machines, a glob for the folders that do, or the machine of rows that name none.
        group: the column that groups recordings, or "parent"; None for "group" where there is one.
    """

    conditions: Conditions
    machine: str
    group: str | None


def items_of_manifest(manifest: Path, root: Path, how: Columns) -> list[Item]:
    """Read the recordings that a manifest lists; columns with other names become attributes.

    What had to be guessed, such as separators or what the words for the conditions mean, is said in one warning.

    Args:
        manifest: a CSV file with the columns ``path`` (relative to the root) and ``condition``, and where wanted
            ``machine``, ``section``, ``domain``, ``split`` and ``group``.
        root: the data root; every path must stay below it, links resolved.
        how: what the columns mean.

    Raises:
        UserError: a column is missing, or a row is wrong; the message names file and row.
    """
    if not manifest.is_file():
        raise UserError(f"manifest {manifest} does not exist; expected a CSV file with the columns path,condition")
    columns, rows, guessed = read_any_table(manifest)
    for name in _REQUIRED:
        if name not in columns:
            raise UserError(f"{manifest}: there is no column '{name}'{did_you_mean(name, columns)}")
    group = how.group
    if group not in (None, PARENT, *columns):
        raise UserError(f"{manifest}: there is no column '{group}' to group by{did_you_mean(str(group), columns)}")
    if group is None and "group" in columns:
        group = "group"
    if not rows:
        raise UserError(f"{manifest}: the manifest lists no recording")
    machine_column = how.machine if how.machine in columns else "machine"
    free = [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL, machine_column)]
    files = _Files(root)
    words = _Words(how.conditions)
    items = []
    for row in rows:
        cells = dict(zip(columns, row.cells, strict=True))
        clip_id, path = files.find(row, cells["path"])
        group_name = parent(clip_id) if group == PARENT else cells[group] if group else ""
        if group and not group_name:
            raise UserError(f"{row.place}: the column '{group}' is empty; expected what must not straddle the split")
        items.append(
            Item(
                clip_id=clip_id,
                path=path,
                condition=words.condition(row, cells["condition"]),
                place=row.place,
                machine=_machine(row, cells, clip_id, machine_column, how.machine),
                section=cells.get("section") or "00",
                domain=_one_of(row, cells, "domain", DOMAINS, "none"),
                split=_one_of(row, cells, "split", SPLITS, ""),
                group=group_name,
                attributes={name: cells[name] for name in free if cells[name]},
            )
        )
    notes = [*guessed, *files.notes(), *words.notes()]
    if notes:
        warn(f"{manifest}: {'; '.join(notes)}")
    return items


def _machine(row: Row, cells: dict[str, str], clip_id: str, column: str, setting: str) -> str:
    """The machine of a row: its cell, the folder that fits a glob, or the one that the setting names."""
    if cells.get(column):
        return cells[column]
    if column == setting:
        raise UserError(f"{row.place}: the column '{column}' is empty; expected the machine")
    return machine_of_parts(clip_id.split("/")[:-1], setting, row.place) if is_glob(setting) else setting


class _Words:
    """Reads the words for the condition, and counts those that are not asdbench's own."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._read: dict[tuple[str, str], int] = defaultdict(int)

    def condition(self, row: Row, cell: str) -> str:
        """The condition that a cell says."""
        found = self._conditions.of(cell, CELL_WORDS, row.place)
        if not found:
            own = {"normal": self._conditions.normal, "anomaly": self._conditions.anomaly}
            words = [word for word, meaning in CELL_WORDS.items() if own[meaning] is None]
            words += [pattern for patterns in own.values() for pattern in patterns or ()]
            raise UserError(f"{row.place}: the condition is '{cell}'; expected one of {', '.join(words)}")
        # 0 and 1 are told too: in some tables 1 is a pass.
        if cell.lower() not in FOLDER_WORDS and getattr(self._conditions, found) is None:
            self._read[cell, found] += 1
        return found

    def notes(self) -> list[str]:
        """What was read as what."""
        return [f"'{word}' is read as {meaning} ({_rows(count)})" for (word, meaning), count in self._read.items()]


class _Files:
    """Finds the files that rows name, and refuses what leaves the root or comes twice."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._real_root = os.path.realpath(root)
        self._rows: dict[str, Row] = {}
        self._backslashes = 0

    def find(self, row: Row, cell: str) -> tuple[str, str]:
        """Return clip id and absolute path of the file that a row names."""
        if not cell or "\0" in cell:
            raise UserError(f"{row.place}: the column 'path' is empty; expected a file below {self._root}")
        if "\\" in cell and os.sep == "/" and not os.path.exists(os.path.join(self._root, cell)):
            cell = cell.replace("\\", "/")
            self._backslashes += 1
        path = os.path.normpath(os.path.join(self._root, cell))
        real = os.path.realpath(path)
        for candidate, base in ((path, self._root), (real, self._real_root)):
            if not _is_below(candidate, base):
                raise UserError(f"{row.place}: the path '{cell}' leaves the data root {self._root}")
        if not os.path.isfile(real):
            raise UserError(f"{row.place}: there is no file '{cell}' below {self._root}")
        first = self._rows.setdefault(real, row)
        if first is not row:
            raise UserError(f"{row.place}: the file '{cell}' is listed a second time (first in {first.place})")
        return os.path.relpath(path, self._root).replace(os.sep, "/"), path

    def notes(self) -> list[str]:
        """How many paths were written as on Windows."""
        return [f"backslashes are read as slashes ({_rows(self._backslashes)})"] if self._backslashes else []


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _is_below(path: str, base: str) -> bool:
    try:
        return os.path.commonpath([path, base]) == base
    except ValueError:  # another drive
        return False


def _one_of(row: Row, cells: dict[str, str], column: str, words: tuple[str, ...], empty: str | None = None) -> str:
    value = cells.get(column, "").lower()
    if not value and empty is not None:
        return empty
    if value not in words:
        raise UserError(f"{row.place}: the {column} is '{cells[column]}'; expected one of {', '.join(words)}")
    return value

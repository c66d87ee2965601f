"""Recordings listed by a CSV manifest."""

from __future__ import annotations

import os
from pathlib import Path

from asdbench import UserError
from asdbench.clips import DOMAINS, SPLITS
from asdbench.datasets.folder.items import CONDITION_WORDS, PARENT, Item, parent
from asdbench.datasets.tables import Row, read_table
from asdbench.errors import did_you_mean

_REQUIRED = ("path", "condition")
_OPTIONAL = ("machine", "section", "domain", "split", "group")


def items_of_manifest(manifest: Path, root: Path, default_machine: str, group: str | None) -> list[Item]:
    """Read the recordings that a manifest lists; columns with other names become attributes.

    Args:
        manifest: a CSV file with the columns ``path`` (relative to the root) and ``condition``, and where wanted
            ``machine``, ``section``, ``domain``, ``split`` and ``group``.
        root: the data root; every path must stay below it, links resolved.
        default_machine: machine type of rows that name none.
        group: the column that groups recordings, or "parent"; by default "group" where there is one.

    Raises:
        UserError: a column is missing, or a row is wrong; the message names file and row.
    """
    if not manifest.is_file():
        raise UserError(f"manifest {manifest} does not exist; expected a CSV file with the columns path,condition")
    columns, rows = read_table(manifest)
    for name in _REQUIRED:
        if name not in columns and len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
            raise UserError(f"{manifest}: expected commas between the columns, found {columns[0]!r}")
        if name not in columns:
            raise UserError(f"{manifest}: there is no column '{name}'{did_you_mean(name, columns)}")
    if group not in (None, PARENT, *columns):
        raise UserError(f"{manifest}: there is no column '{group}' to group by{did_you_mean(str(group), columns)}")
    if group is None and "group" in columns:
        group = "group"
    if not rows:
        raise UserError(f"{manifest}: the manifest lists no recording")
    free = [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL)]
    files = _Files(root)
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
                condition=CONDITION_WORDS[_one_of(row, cells, "condition", tuple(CONDITION_WORDS))],
                place=row.place,
                machine=cells.get("machine") or default_machine,
                section=cells.get("section") or "00",
                domain=_one_of(row, cells, "domain", DOMAINS, "none"),
                split=_one_of(row, cells, "split", SPLITS, ""),
                group=group_name,
                attributes={name: cells[name] for name in free if cells[name]},
            )
        )
    return items


class _Files:
    """Finds the files that rows name, and refuses what leaves the root or comes twice."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._real_root = os.path.realpath(root)
        self._rows: dict[str, Row] = {}

    def find(self, row: Row, cell: str) -> tuple[str, str]:
        """Return clip id and absolute path of the file that a row names."""
        if not cell or "\0" in cell:
            raise UserError(f"{row.place}: the column 'path' is empty; expected a file below {self._root}")
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

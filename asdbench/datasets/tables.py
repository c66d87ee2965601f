"""Reading CSV files so that an error can name the row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asdbench import UserError


@dataclass(frozen=True)
class Row:
    """One row of a CSV file.

    Attributes:
        place: where it stands, for messages: ``"/data/truth.csv, row 3"``; rows count from 1 as in an editor.
        cells: its values, without surrounding blanks.
    """

    place: str
    cells: list[str]


def read_rows(path: str | Path) -> list[Row]:
    """Read a CSV file without giving its first row a meaning; blank rows are left out.

    Raises:
        UserError: the file cannot be read, is not UTF-8 text or is not a CSV file.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text; save the file as CSV in UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path}: the file holds NUL bytes; expected a CSV file in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append(Row(f"{path}, row {reader.line_num}", cells))
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: not a row of a CSV file ({error})") from error
    return rows


def read_table(path: str | Path) -> tuple[list[str], list[Row]]:
    """Read a CSV file whose first row names the columns; every row gets as many cells as there are columns.

    Raises:
        UserError: as `read_rows`, or the file is empty, a column name repeats, or a row has too many or too few cells.
    """
    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path}: the file is empty; expected a row of column names")
    columns = rows[0].cells
    repeated = _repeated(columns)
    if repeated is not None:
        raise UserError(f"{rows[0].place}: the column '{repeated}' stands there twice")
    for row in rows[1:]:
        if len(row.cells) != len(columns):
            raise UserError(f"{row.place}: {len(row.cells)} cells, but the file has {len(columns)} columns")
    return columns, rows[1:]


def _repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None

"""Reading CSV files so that an error can name the row."""

from __future__ import annotations

import codecs
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
    return _rows(path, _text(path, _content(path)), ",")


def read_table(path: str | Path) -> tuple[list[str], list[Row]]:
    """Read a CSV file whose first row names the columns; every row gets as many cells as there are columns.

    Raises:
        UserError: as `read_rows`, or the file is empty, a column name repeats, or a row has too many or too few cells.
    """
    return _table(path, read_rows(path))


def read_any_table(path: str | Path) -> tuple[list[str], list[Row], list[str]]:
    """Read a table as spreadsheets write it: UTF-8 or UTF-16, with commas, semicolons or tabs between the columns.

    Returns:
        Names of the columns, the rows, and what is not as in a CSV file in UTF-8, a phrase each.

    Raises:
        UserError: as `read_table`.
    """
    content = _content(path)
    encoding = next((name for mark, name in _UTF16.items() if content.startswith(mark)), "")
    if not encoding and b"\0" in content[:_SAMPLE]:  # no byte order mark: ASCII letters tell the order
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be" if content[:1] == b"\0" else ""
    text = _text(path, content, encoding or "utf-8-sig")
    header = text.lstrip("\ufeff\r\n").splitlines()[:1] or [""]
    delimiter = max(_DELIMITERS, key=header[0].count)
    columns, rows = _table(path, _rows(path, text, delimiter))
    found = ["it is read as UTF-16"] if encoding else []
    return columns, rows, found + ([f"columns are separated by {_DELIMITERS[delimiter]}"] if delimiter != "," else [])


_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SAMPLE = 1000  # bytes


def _content(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error


def _text(path: str | Path, content: bytes, encoding: str = "utf-8-sig") -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise UserError(f"{path}: byte {error.start} is not {name} text; save the file as CSV in UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path}: the file holds NUL bytes; expected a CSV file in UTF-8")
    return text


def _rows(path: str | Path, text: str, delimiter: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append(Row(f"{path}, row {reader.line_num}", cells))
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: not a row of a CSV file ({error})") from error
    return rows


def _table(path: str | Path, rows: list[Row]) -> tuple[list[str], list[Row]]:
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

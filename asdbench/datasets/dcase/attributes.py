"""``attributes_*.csv``: the tables of DCASE Task 2 and MIMII DG that list the attributes of clips."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from asdbench import UserError
from asdbench.datasets.dcase.names import parse_name, stem
from asdbench.datasets.tables import read_table

TABLE_NAME = re.compile(r"attributes_\d+\.csv", re.IGNORECASE)

_FILE_COLUMN = "file_name"
_NAME_COLUMN = re.compile(r"d(\d+)p")
_FULL_NAME_COLUMN = re.compile(r"file_name_with_\w*attributes")
_NOTHING = ("", "noattribute", "nan", "none")


@dataclass(frozen=True)
class Listed:
    """The attributes that one row gives to one clip, and where that row stands."""

    clip: str
    attributes: dict[str, str]
    place: str


def read_attributes(path: str) -> Iterator[Listed]:
    """Yield the rows of a table with the columns ``file_name,d1p,d1v,d2p,d2v,...`` (name and value of each attribute).

    The tables of 2022 have one more column with the clip's full name, which may say more than the others.

    Raises:
        UserError: a column or a value is missing, or an attribute has two values.
    """
    columns, rows = read_table(path)
    if _FILE_COLUMN not in columns:
        raise UserError(f"{path}: no column '{_FILE_COLUMN}'; expected the columns file_name,d1p,d1v,...")
    pairs = []
    for column in columns:
        match = _NAME_COLUMN.fullmatch(column)
        if match is None:
            continue
        value_column = f"d{match[1]}v"
        if value_column not in columns:
            raise UserError(f"{path}: there is a column '{column}' but no column '{value_column}'")
        pairs.append((columns.index(column), columns.index(value_column)))
    full_names = [index for index, column in enumerate(columns) if _FULL_NAME_COLUMN.fullmatch(column)]
    for row in rows:
        listed: dict[str, str] = {}
        for name_at, value_at in pairs:
            name, value = row.cells[name_at], row.cells[value_at]
            if name.lower() in _NOTHING:
                continue
            if not value:
                raise UserError(f"{row.place}: the attribute '{name}' has no value")
            listed = merge_attributes(listed, {name: value}, row.place, "another column")
        for index in full_names:
            full = parse_name(stem(row.cells[index]))
            if full is None:
                raise UserError(f"{row.place}: '{row.cells[index]}' is not the name of a clip")
            listed = merge_attributes(full.attributes, listed, row.place, "the full name")
        yield Listed(stem(row.cells[columns.index(_FILE_COLUMN)]), listed, row.place)


def merge_attributes(
    known: Mapping[str, str], more: Mapping[str, str], place: str, known_place: str = "the clip's name"
) -> dict[str, str]:
    """Add the attributes that stand in ``place`` to known ones; values that are equal as numbers (03 and 3) agree.

    Where both give a value and they differ, there is no saying which is right, and clips asked for by attribute would
    silently be the wrong ones.

    Raises:
        UserError: the same attribute has two values.
    """
    merged = dict(known)
    for name, value in more.items():
        if name in merged and not _same(merged[name], value):
            raise UserError(f"{place}: the attribute '{name}' is '{value}' here but '{merged[name]}' in {known_place}")
        merged.setdefault(name, value)
    if set(merged) > {"raw"} and more:
        merged.pop("raw", None)  # the unparsed text of the name says the same less clearly
    return merged


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False

"""Rows of pandas tables as plain mappings, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, as mappings from the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table of rows.

    Args:
        rows: mappings from the names of columns.
        columns: which columns, in this order, also where there is no row; None for those of the rows.
    """
    import pandas as pd

    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))

"""Rows of pandas tables as plain mappings, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, as mappings from the names of its columns to Python values; None where one is NA."""
    names = [str(name) for name in frame.columns]
    columns = [_values(frame.iloc[:, place]) for place in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series[Any]) -> list[Any]:
    """A column at once: `DataFrame.to_dict` fetches each cell of a text column by itself, which takes far longer."""
    import numpy as np
    import pandas as pd

    values = column.tolist()
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return values
    return [value.item() if isinstance(value, np.generic) else None if value is pd.NA else value for value in values]


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table of rows.

    Args:
        rows: mappings from the names of columns.
        columns: which columns, in this order, also where there is no row; None for those of the rows.
    """
    import pandas as pd

    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))

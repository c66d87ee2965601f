"""Rows of pandas tables as plain mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, as mappings from the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]

"""Writing the tables that stand beside clips in the layout of DCASE Task 2."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_attributes(folder: Path, section: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``folder/attributes_SECTION.csv``, as in the real data: ``file_name,d1p,d1v,d2p,d2v``.

    Args:
        folder: of one machine type.
        section: such as "00".
        rows: with ``clip_id`` and ``attributes``, in order.
    """
    width = max((len(row["attributes"]) for row in rows), default=0)
    header = ["file_name"] + [f"d{k}{kind}" for k in range(1, width + 1) for kind in "pv"]
    lines = ([row["clip_id"], *(word for pair in row["attributes"].items() for word in pair)] for row in rows)
    write_table(folder / f"attributes_{section}.csv", header, lines)


def write_table(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file in UTF-8."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)

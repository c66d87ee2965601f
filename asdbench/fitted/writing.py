"""Scores of recordings as text: CSV for programs, a table for people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.fitted.record import Record
from asdbench.folders import temporary_folder
from asdbench.store import disk_errors

if TYPE_CHECKING:
    import pandas as pd


def as_csv(scores: pd.DataFrame) -> str:
    """The columns ``file``, ``score`` (all its digits) and ``decision``."""
    return scores.to_csv(index=False, lineterminator="\n")


def as_table(scores: pd.DataFrame, record: Record) -> str:
    """One line a recording, and one that counts them."""
    width = max(map(len, ["recording", *scores["file"]]))
    lines = [f"{'recording':<{width}}  {'score':>12}  decision"]
    for row in scores.itertuples():
        lines.append(f"{row.file:<{width}}  {row.score:>12.6g}  {row.decision}".rstrip())
    return "\n".join([*lines, "", summary(scores, record)]) + "\n"


def summary(scores: pd.DataFrame, record: Record) -> str:
    """How many recordings there are, and how many of them are called anomalous."""
    count = f"{len(scores)} recording{'' if len(scores) == 1 else 's'} of {record.fitted.machine}"
    if record.threshold is None:
        return f"{count}; the detector has no decision threshold"
    above = int((scores["decision"] == "anomaly").sum())
    return f"{count}, {above} above the threshold {record.threshold}"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; a device or pipe that is there is written to.

    Raises:
        UserError: the disk refuses; what was there is there still.
    """
    if path.exists() and not path.is_file():
        with disk_errors(path):
            path.write_text(text, encoding="utf-8")
        return
    place = path.resolve()  # a link stays a link
    with disk_errors(path), temporary_folder(place.parent) as work:
        part = work / "text"
        part.write_text(text, encoding="utf-8")
        os.replace(part, place)

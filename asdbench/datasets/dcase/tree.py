"""What the folder of a DCASE Task 2 clip says: machine, split, domain and year."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asdbench.datasets.listing import Folder

SUPPLEMENTAL = "supplemental"
"""Folder of 2025 and later with clean machine sounds and noise alone: neither training nor test clips of the task."""

_SPLIT_FOLDER = re.compile(
    r"(?:(?P<domain>source|target)_)?(?P<split>train|test)(?P<renamed>_rename)?(?:_r\d+)?", re.IGNORECASE
)
_ARCHIVE_FOLDER = re.compile(
    r"(?:(?:dev|eval)_(?:data_)?(?:(?:train|test)_)?)?(?P<machine>.+?)(?:_(?:train|test))?(?:_r\d+)?"
)
_CONTAINERS = ("dev_data", "eval_data")
_YEAR = re.compile(r"dcase[-_ ]?(20\d\d)", re.IGNORECASE)
_YEAR_ALONE = re.compile(r"20[2-9]\d")


@dataclass(frozen=True)
class Place:
    """What the folder of a clip says; "" stands for what it does not say.

    Attributes:
        machine: the machine type.
        machine_folder: path of the machine's folder, where ``attributes_*.csv`` stand.
        split: "train", "test" or "".
        domain: "source", "target" or "" (the folders ``source_test`` and ``target_test`` of 2021 name it).
        renamed: the folder holds evaluation clips that were given their full names by the organisers' tool.
        year: year of the challenge that the path names, or None.
    """

    machine: str
    machine_folder: str
    split: str
    domain: str
    renamed: bool
    year: int | None


def place(folder: Folder) -> Place | None:
    """Read the path of a folder that holds clips; None for folders whose clips are no part of the task."""
    path = Path(folder.path)
    path_parts = path.parts[1:]
    # The root's own name may count as the machine's or name the year; what stands above it says nothing about the data.
    own_parts = path_parts[-len(folder.parts) - 1 :]
    if any(part.lower().startswith(SUPPLEMENTAL) for part in own_parts):
        return None
    match = _SPLIT_FOLDER.fullmatch(path_parts[-1]) if path_parts else None
    levels = 1 if match else 0
    if len(path_parts) <= levels:
        return None
    said = {key: (value or "").lower() for key, value in match.groupdict().items()} if match else {}
    return Place(
        machine=machine_name(path_parts[-1 - levels]),
        machine_folder=str(path.parent if match else path),
        split=said.get("split", ""),
        domain=said.get("domain", ""),
        renamed=bool(said.get("renamed")),
        year=year_of(own_parts),
    )


def machine_name(folder_name: str) -> str:
    """Machine type of a machine's folder, also where that has the name of the archive: ``eval_data_fan_train_r2``."""
    match = _ARCHIVE_FOLDER.fullmatch(folder_name)
    return match["machine"] if match and folder_name not in _CONTAINERS else folder_name


def year_of(parts: Sequence[str]) -> int | None:
    """Year that a path names (``dcase2023t2``, ``2023``), the innermost one counting, or None."""
    for part in reversed(parts):
        match = _YEAR.search(part)
        if match:
            return int(match[1])
        if _YEAR_ALONE.fullmatch(part):
            return int(part)
    return None

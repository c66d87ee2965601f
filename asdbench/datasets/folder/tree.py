"""Recordings told apart by the names of the folders they lie in: ``normal/`` and ``abnormal/``, or as settings say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asdbench import UserError
from asdbench.clips import SPLITS
from asdbench.datasets.folder.items import Item
from asdbench.datasets.folder.words import FOLDER_WORDS, Conditions, is_glob, matches
from asdbench.datasets.listing import Folder
from asdbench.errors import warn

_SECTION = re.compile(r"(?:id|section)_(\d+)", re.IGNORECASE)
_EXPECTED = (
    "expected normal/ and abnormal/ (or anomaly/, anomalous/) directly below it or below one folder per machine, "
    "such as fan/normal/, fan/id_00/normal/ or fan/train/normal/"
)
_SHOWN_NAMES = 8


@dataclass(frozen=True)
class Naming:
    """What the names of folders mean.

    Attributes:
        conditions: which of them say the condition.
        machine: name of the machine where no folder names it, or a glob for the folders that do.
    """

    conditions: Conditions
    machine: str


def items_of_tree(root: Path, folders: Sequence[Folder], naming: Naming) -> list[Item]:
    """List the recordings of ``[machine/][id_00/][train|test/]normal/[train|test/]...``.

    Where both conditions are given by settings, recordings that lie elsewhere are left out, and a warning says so.

    Raises:
        UserError: audio lies outside such folders, or below more than one folder that could name the machine.
    """
    items: list[Item] = []
    astray: list[tuple[Folder, str]] = []
    for folder in folders:
        if not folder.audio:
            continue
        said = [naming.conditions.of(part, FOLDER_WORDS, folder.path) for part in folder.parts]
        at = next((i for i, condition in enumerate(said) if condition), None)
        if at is None:
            astray += [(folder, name) for name in folder.audio]
            continue
        machine, section, split = _labels(folder, at, naming)
        items += [
            Item(folder.clip_id(name), path, said[at], path, machine, section, split=split)
            for name, path in ((name, folder.file(name)) for name in folder.audio)
        ]
    if astray and items and naming.conditions.are_given:
        names = _names(folder for folder, _ in astray)
        warn(
            f"data root {root}: {len(astray)} audio files are left out, since neither 'normal' nor 'anomaly' names "
            f"their folders ({names})"
        )
    elif astray:
        folder, name = astray[0]
        raise UserError(
            f"data root {root}: {len(astray)} of {len(astray) + len(items)} audio files, such as {folder.file(name)}, "
            f"lie in no folder that says whether they are normal; {_EXPECTED}; or say which folders do with the "
            f"settings 'normal' and 'anomaly' (folders found: {_names(folder for folder, _ in astray)}); or list them "
            "in a manifest"
        )
    return items


def _labels(folder: Folder, at: int, naming: Naming) -> tuple[str, str, str]:
    """Machine, section and split of a folder whose name at a place says the condition."""
    machine, section, split = naming.machine, "00", ""
    machines = []
    for part in folder.parts[:at]:
        if part.lower() in SPLITS:
            split = part.lower()
        elif match := _SECTION.fullmatch(part):
            section = match[1]
        else:
            machines.append(part)
    if folder.parts[at + 1 : at + 2] and folder.parts[at + 1].lower() in SPLITS:
        split = folder.parts[at + 1].lower()
    if is_glob(naming.machine):
        return machine_of_parts(folder.parts, naming.machine, folder.path), section, split
    if len(machines) > 1:
        raise UserError(
            f"{folder.path}: both of {'/'.join(machines)} could be the machine; {_EXPECTED}; or say which with a glob, "
            "such as machine: 'fan_*'"
        )
    return (machines[0] if machines else machine), section, split


def machine_of_parts(parts: Sequence[str], pattern: str, place: str) -> str:
    """The folder that fits the glob of machines.

    Raises:
        UserError: none does, or several do.
    """
    found = [part for part in parts if matches(part, [pattern])]
    if len(found) != 1:
        what = f"{' and '.join(found)} fit" if found else "no folder on the way to it fits"
        raise UserError(f"{place}: {what} the setting machine: '{pattern}'; expected one folder that names the machine")
    return found[0]


def _names(folders: Iterable[Folder]) -> str:
    names = list(dict.fromkeys("/".join(folder.parts) or "." for folder in folders))
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {len(names) - _SHOWN_NAMES} more" if names[_SHOWN_NAMES:] else "")

"""Recordings told apart by the names of the folders they lie in: ``normal/`` and ``abnormal/``."""

from __future__ import annotations

import re
from pathlib import Path

from asdbench import UserError
from asdbench.clips import SPLITS
from asdbench.datasets.folder.items import CONDITION_WORDS, Item
from asdbench.datasets.listing import Folder

_SECTION = re.compile(r"(?:id|section)_(\d+)", re.IGNORECASE)
_EXPECTED = (
    "expected normal/ and abnormal/ (or anomaly/, anomalous/) directly below it or below one folder per machine, "
    "such as fan/normal/, fan/id_00/normal/ or fan/train/normal/"
)


def items_of_tree(root: Path, folders: list[Folder], default_machine: str) -> list[Item]:
    """List the recordings of ``[machine/][id_00/][train|test/]normal/[train|test/]...``.

    Raises:
        UserError: audio lies outside such folders, or below more than one folder that could name the machine.
    """
    items = []
    astray: list[str] = []
    for folder in folders:
        if not folder.audio:
            continue
        words = [part.lower() for part in folder.parts]
        at = next((i for i, word in enumerate(words) if word.isalpha() and word in CONDITION_WORDS), None)
        if at is None:
            astray += [folder.file(name) for name in folder.audio]
            continue
        machine, section, split = default_machine, "00", ""
        machines = []
        for part, word in zip(folder.parts[:at], words, strict=False):
            if word in SPLITS:
                split = word
            elif match := _SECTION.fullmatch(part):
                section = match[1]
            else:
                machines.append(part)
        if len(machines) > 1:
            raise UserError(f"{folder.path}: both of {'/'.join(machines)} could be the machine; {_EXPECTED}")
        if machines:
            machine = machines[0]
        if words[at + 1 : at + 2] and words[at + 1] in SPLITS:
            split = words[at + 1]
        items += [
            Item(folder.clip_id(name), path, CONDITION_WORDS[words[at]], path, machine, section, split=split)
            for name, path in ((name, folder.file(name)) for name in folder.audio)
        ]
    if astray:
        raise UserError(
            f"data root {root}: {len(astray)} of {len(astray) + len(items)} audio files, such as {astray[0]}, lie in "
            f"no folder that says whether they are normal; {_EXPECTED}; or list them in a manifest"
        )
    return items

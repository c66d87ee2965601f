"""Any recordings: folders named ``normal`` and ``abnormal``, or a CSV manifest."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench import Dataset, UserError, dataset, setting
from asdbench.datasets.folder.items import PARENT, Item, parent
from asdbench.datasets.folder.manifest import items_of_manifest
from asdbench.datasets.folder.splitting import split_items
from asdbench.datasets.folder.tree import items_of_tree
from asdbench.datasets.listing import data_root, label_table, require_audio, require_machine, walk

if TYPE_CHECKING:
    import pandas as pd

_UNSAFE = re.compile(r"""[/\\:*?"<>|\x00-\x1f]|^\.+$""")
"""Names of machines serve as names of folders, so they must not lead anywhere else."""


@dataset("folder")
class FolderDataset(Dataset):
    """Any recordings: ``normal/`` and ``abnormal/`` folders, or a CSV manifest.

    Folders: ``normal/`` and ``abnormal/`` (or ``anomaly/``, ``anomalous/``; any case) below the root, below one folder
    a machine, or as MIMII has them (``fan/id_00/normal/``). A split by folders ``train/`` and ``test/`` is kept.

    Manifest: columns ``path`` and ``condition`` (normal, 0; anomaly, abnormal, anomalous, 1), optional ``machine``,
    ``section``, ``domain``, ``split`` and ``group``; all other columns become attributes.

    Without a given split, ``test_fraction`` of the normal clips and all anomalous ones are test clips. Clips of one
    group (say, cut from one recording) stay on one side, and in the test set or with the generators.
    """

    root: str = setting(min_length=1, description="folder under which the recordings lie")
    machine: str | None = setting(
        None, min_length=1, description="machine type where nothing names one; by default the name of the root folder"
    )
    manifest: str | None = setting(
        None, min_length=1, description="CSV file that lists the recordings, relative to root"
    )
    test_fraction: float = setting(0.5, gt=0, lt=1, description="share of the normal clips that become test clips")
    split_seed: int = setting(0, description="another seed draws other clips for the test side")
    group: str | None = setting(
        None,
        min_length=1,
        description="what must not straddle the split: a manifest column (default: 'group' where there is one) or "
        "'parent', the folder of the file",
    )

    def machines(self) -> list[str]:
        """Machine types, sorted.

        Raises:
            UserError: the root is missing or holds no recordings that can be told apart, or the manifest is wrong.
        """
        return sorted(self._items)

    def clips(self, machine: str, folder: Path) -> pd.DataFrame:
        """List the clips of one machine type; see `asdbench.Dataset.clips`. Audio files are not opened.

        Raises:
            UserError: the machine is unknown, or its clips cannot be split as asked.
        """
        require_machine(machine, self.machines(), self._root)
        items = self._items[machine]
        sides = split_items(items, self.test_fraction, self.split_seed)
        grouped = any(item.group for item in items)
        return label_table(
            {
                "clip_id": item.clip_id,
                "path": item.path,
                "machine": item.machine,
                "section": item.section,
                "domain": item.domain,
                "split": side,
                "condition": item.condition,
                "attributes": item.attributes,
                **({"group": item.group or item.clip_id} if grouped else {}),
            }
            for item, side in zip(items, sides, strict=True)
        )

    @cached_property
    def _root(self) -> Path:
        return data_root(self.root)

    @cached_property
    def _items(self) -> dict[str, list[Item]]:
        default_machine = self.machine or self._root.resolve().name
        if self.manifest is not None:
            items = items_of_manifest(self._root / self.manifest, self._root, default_machine, self.group)
        else:
            if self.group not in (None, PARENT):
                raise UserError(f"group '{self.group}' names a column, but no manifest is given; expected 'parent'")
            folders = walk(self._root)
            require_audio(self._root, folders)
            items = items_of_tree(self._root, folders, default_machine)
            if self.group == PARENT:
                items = [replace(item, group=parent(item.clip_id)) for item in items]
        machines = defaultdict(list)
        for item in items:
            if not item.machine or _UNSAFE.search(item.machine):
                raise UserError(f"{item.place}: '{item.machine}' cannot name a machine, since it cannot name a folder")
            machines[item.machine].append(item)
        return dict(machines)

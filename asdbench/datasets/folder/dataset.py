"""Any recordings: folders named ``normal`` and ``abnormal``, or a CSV manifest."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench import Dataset, UserError, dataset, setting
from asdbench.audio import MIN_SECONDS
from asdbench.copies import refuse_divided
from asdbench.datasets.folder.cutting import cut_items
from asdbench.datasets.folder.items import PARENT, Item, parent
from asdbench.datasets.folder.manifest import Columns, items_of_manifest
from asdbench.datasets.folder.splitting import split_items
from asdbench.datasets.folder.tree import Naming, items_of_tree
from asdbench.datasets.folder.words import Conditions, Patterns
from asdbench.datasets.listing import (
    ON_BAD_CLIP,
    OnBadClip,
    data_root,
    label_table,
    require_audio,
    require_machine,
    tell_of_unread,
    walk,
)
from asdbench.errors import warn

if TYPE_CHECKING:
    import pandas as pd

_UNSAFE = re.compile(r"""[/\\:*?"<>|\x00-\x1f]|^\.+$""")
"""Names of machines serve as names of folders, so they must not lead anywhere else."""


@dataset("folder")
class FolderDataset(Dataset):
    """Any recordings: ``normal/`` and ``abnormal/`` folders, or a CSV manifest.

    Folders: ``normal/`` and ``abnormal/`` (or ``anomaly/``, ``anomalous/``; any case) below the root, below one folder
    a machine, or as MIMII has them (``fan/id_00/normal/``); with ``normal`` and ``anomaly`` folders of any names. A
    split by folders ``train/`` and ``test/`` is kept.

    Manifest: columns ``path`` and ``condition`` (normal, ok, healthy, 0; anomaly, ng, faulty, 1, and the like),
    optional ``machine``, ``section``, ``domain``, ``split`` and ``group``; all other columns become attributes.

    Without a given split, ``test_fraction`` of the normal clips and all anomalous ones are test clips. Clips of one
    group (say, cut from one recording) stay on one side, and in the test set or with the generators. So do copies of
    the same audio.
    """

    root: str = setting(min_length=1, description="folder under which the recordings lie")
    normal: Patterns | None = setting(
        None,
        description="names or globs of the folders of normal recordings, or of what a manifest calls them; "
        "by default the usual words",
    )
    anomaly: Patterns | None = setting(None, description="the same for anomalous recordings")
    machine: str | None = setting(
        None,
        min_length=1,
        description="machine type where nothing names one (default: the name of the root folder), a glob for the "
        "folders that name machines ('fan_*'), or the manifest's column that does",
    )
    manifest: str | None = setting(
        None, min_length=1, description="CSV file that lists the recordings, relative to root"
    )
    clip_seconds: float | None = setting(
        None,
        ge=MIN_SECONDS,
        description="cut recordings into clips of this length as they are read; a recording is then a group",
    )
    hop_seconds: float | None = setting(
        None, gt=0.001, description="time from one clip of a recording to the next; by default clip_seconds"
    )
    test_fraction: float = setting(0.5, gt=0, lt=1, description="share of the normal clips that become test clips")
    split_seed: int = setting(0, description="another seed draws other clips for the test side")
    group: str | None = setting(
        None,
        min_length=1,
        description="what must not straddle the split: a manifest column (default: 'group' where there is one) or "
        "'parent', the folder of the file",
    )
    on_bad_clip: OnBadClip = setting("error", description=ON_BAD_CLIP)

    def machines(self) -> list[str]:
        """Machine types, sorted.

        Raises:
            UserError: the root is missing or holds no recordings that can be told apart, or the manifest is wrong.
        """
        return sorted(self._items)

    def clips(self, machine: str, folder: Path) -> pd.DataFrame:
        """List the clips of one machine type; see `asdbench.Dataset.clips`. Of audio files at most headers are read.

        Raises:
            NotApplicableError: the machine has no normal clip.
            UserError: the machine is unknown, or its clips cannot be split as asked.
        """
        require_machine(machine, self.machines(), self._root)
        items = self._clip_items(machine)
        sides, _ = split_items(items, self.test_fraction, self.split_seed)  # `divide` says what had to be divided
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

    def divide(self, machine: str, clips: pd.DataFrame) -> list[str]:
        """Split the clips that can be used, copies on one side; see `asdbench.Dataset.divide`.

        Raises:
            NotApplicableError: no normal clip is left.
            UserError: the clips cannot be split as asked.
        """
        known = {item.clip_id: item for item in self._clip_items(machine)}
        refuse_divided(clips, [known[clip_id].split for clip_id in clips["clip_id"]])
        shared = clips["group"].duplicated(keep=False)
        items = [
            replace(known[clip_id], group=group if is_shared or known[clip_id].group else "")
            for clip_id, group, is_shared in zip(clips["clip_id"], clips["group"], shared, strict=True)
        ]
        sides, note = split_items(items, self.test_fraction, self.split_seed)
        if note:
            warn(note)
        return sides

    def skips_bad_clips(self) -> bool:
        """Whether the setting ``on_bad_clip`` says so."""
        return self.on_bad_clip == "skip"

    def _clip_items(self, machine: str) -> list[Item]:
        """The clips of a machine: its recordings, or what they are cut into."""
        if machine not in self._cut:
            items = self._items[machine]
            if self.clip_seconds is not None:
                items = cut_items(items, self.clip_seconds, self.hop_seconds or self.clip_seconds)
            self._cut[machine] = items
        return self._cut[machine]

    @cached_property
    def _cut(self) -> dict[str, list[Item]]:
        return {}

    @cached_property
    def _root(self) -> Path:
        return data_root(self.root)

    @cached_property
    def _items(self) -> dict[str, list[Item]]:
        if self.hop_seconds is not None and self.clip_seconds is None:
            raise UserError(f"hop_seconds is {self.hop_seconds}, but no clip_seconds is given; expected both")
        conditions = Conditions(self.normal, self.anomaly)
        default_machine = self.machine or self._root.resolve().name
        if self.manifest is not None:
            how = Columns(conditions, default_machine, self.group)
            items = items_of_manifest(self._root / self.manifest, self._root, how)
        else:
            if self.group not in (None, PARENT):
                raise UserError(f"group '{self.group}' names a column, but no manifest is given; expected 'parent'")
            folders = walk(self._root)
            tell_of_unread(folders)
            require_audio(self._root, folders)
            items = items_of_tree(self._root, folders, Naming(conditions, default_machine))
            if self.group == PARENT:
                items = [replace(item, group=parent(item.clip_id)) for item in items]
        machines = defaultdict(list)
        for item in items:
            if not item.machine or _UNSAFE.search(item.machine):
                raise UserError(f"{item.place}: '{item.machine}' cannot name a machine, since it cannot name a folder")
            machines[item.machine].append(item)
        return dict(machines)

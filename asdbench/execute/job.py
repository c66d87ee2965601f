"""A unit at work: what the stages have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.plan import CLIPS
from asdbench.plugins import Plugin, Registry
from asdbench.roles import Roles, assign_roles
from asdbench.spec import Holdout
from asdbench.store import Store

P = TypeVar("P", bound=Plugin)
Task = dict[str, Any]

Progress = Callable[[int, int, str], None]
"""Called with steps done, all steps, and a note."""


@dataclass(frozen=True)
class Job:
    """One unit at work.

    Attributes:
        task: what the plan says.
        store: holds the artefacts that the unit reads.
        folder: where its own artefact is written.
        work: for training: a folder that outlives an interruption; otherwise none.
        progress: says how far the unit is.
    """

    task: Task
    store: Store
    folder: Path
    work: Path
    progress: Progress


def load_clips(store: Store, key: str) -> ClipSet:
    """The clip set of a "clips" or "generate" artefact."""
    folder = store.path(key)
    return ClipSet.load(folder / CLIPS, folder)


def roles_of(task: Task, store: Store) -> Roles:
    """Who may see which clips of the machine of a task."""
    return assign_roles(load_clips(store, task["clips"]), Holdout(**task["holdout"]))


def build(registry: Registry[type[P]], task: Task) -> P:
    """The plugin of a task, with its seed.

    Raises:
        UserError: its code is not that of the plan any more.
    """
    entry = task["plugin"]
    kind = registry.get(entry["use"])
    if plugins.source_id(kind) != task["source"]:
        raise UserError(f"the code of '{entry['use']}' changed while the benchmark ran; run it again")
    plugin = kind(**entry["settings"])
    plugin.seed = task.get("seed", 0)
    return plugin

"""Real clips for `asdbench train` and `asdbench generate`: all of a folder's, or a benchmark's pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean
from asdbench.plan import Plan, checked_clips, choose_machines, fetch_recordings, finished, outstanding, plan_clips
from asdbench.progress import Progress
from asdbench.roles import assign_roles
from asdbench.settings_text import build_plugin
from asdbench.spec import LoadedSpec
from asdbench.store import Store


def of_folder(
    root: Path, dataset: str, assignments: Iterable[str], machines: Sequence[str], store: Store, progress: Progress
) -> ClipSet:
    """All clips of a folder, training and test.

    Args:
        root: the folder.
        dataset: name of the dataset plugin that reads it.
        assignments: further settings of the plugin, as ``NAME=VALUE``.
        machines: names of the machine types to take; none for all.
        store: remembers recordings that were inspected before.
        progress: shows how far it is.

    Raises:
        UserError: there are no such clips, or one of them cannot be used.
    """
    reader = build_plugin(plugins.datasets.get(dataset), [f"root={str(root)!r}", *assignments])
    chosen = _chosen(machines, reader.machines(), str(root))
    tables = [reader.clips(machine, store.root) for machine in chosen]
    with progress.steps("checking recordings", sum(map(len, tables)), "file") as steps:
        return ClipSet.concat([checked_clips(table, reader, store, steps) for table in tables])


def of_benchmark(loaded: LoadedSpec, machines: Sequence[str], store: Store, progress: Progress) -> ClipSet:
    """The clips that a benchmark keeps for generators, of the machines named, or of all; made where they are not there.

    Raises:
        UserError: there is no such machine; the clips cannot be made or used.
    """
    from asdbench.execute.job import load_clips
    from asdbench.execute.local import cpu_count, run_units

    fetch_recordings(loaded, machines)
    plan = Plan(machines=_chosen(machines, choose_machines(loaded), "the benchmark"))
    plan_clips(plan, loaded, store, progress)
    units = outstanding(plan, finished(plan, store))
    with progress.steps("making recordings", len(units), "unit") as steps:
        failures = run_units(
            units, store, cpu_count(), loaded.plugin_files, lambda unit: None, lambda unit, failure: steps.advance()
        )
    if failures:
        raise UserError(f"could not {failures[0].unit.label}: {failures[0].reason}")
    sets = [load_clips(store, key) for key in plan.clips.values()]
    return ClipSet.concat([assign_roles(clips, loaded.spec.holdout).pool for clips in sets])


def _chosen(machines: Sequence[str], known: Sequence[str], where: str) -> list[str]:
    for machine in machines:
        if machine not in known:
            raise UserError(f"{where}: there is no machine '{machine}'{did_you_mean(machine, known)}")
    return list(machines or known)

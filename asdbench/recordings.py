"""Real clips for `asdbench train`, `generate` and `fit`: those of a folder, or of a benchmark, by who may use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean
from asdbench.plan import Plan, choose_machines, fetch_recordings, finished, outstanding, plan_clips
from asdbench.progress import Progress
from asdbench.roles import Roles, assign_roles
from asdbench.settings_text import build_plugin
from asdbench.sound_clips import listed_sound_clips, sound_clips, tell_of_left_out
from asdbench.spec import LoadedSpec
from asdbench.store import Store


def of_folder(
    root: Path, dataset: str, assignments: Iterable[str], machines: Sequence[str], store: Store, progress: Progress
) -> ClipSet:
    """All clips of a folder, training and test; machines without normal clips are left out with a warning.

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
    sound = sound_clips(chosen, reader, store.inspect_files, store.root, progress, store.audio_hashes)
    tell_of_left_out(sound.left_out)
    return ClipSet.concat(list(sound.sets.values()))


def normal_of_folder(
    root: Path,
    dataset: str,
    assignments: Iterable[str],
    machine: str | None,
    everything: bool,
    store: Store,
    progress: Progress,
) -> ClipSet:
    """The normal training clips of one machine type of a folder; no other file is opened.

    Args:
        root, dataset, assignments, store, progress: as for `of_folder`.
        machine: the machine type; None where the folder has one only.
        everything: take the normal test clips too.

    Raises:
        UserError: there are no such clips, or one of them cannot be used.
    """
    reader = build_plugin(plugins.datasets.get(dataset), [f"root={str(root)!r}", *assignments])
    name = _one(machine, reader.machines(), str(root))
    table = reader.clips(name, store.root)
    normal = table[(table["condition"] == "normal") & (everything | (table["split"] == "train"))]
    if normal.empty:
        raise UserError(f"{root}: {name} has no normal training clip ({len(table)} clips found)")
    table = normal.reset_index(drop=True)
    return listed_sound_clips(
        {name: table}, reader, store.inspect_files, progress, store.audio_hashes, divided=False
    ).sets[name]


def of_benchmark(loaded: LoadedSpec, machines: Sequence[str], store: Store, progress: Progress) -> ClipSet:
    """The clips that a benchmark keeps for generators, of the machines named, or of all; made where they are not there.

    Raises:
        UserError: there is no such machine; the clips cannot be made or used.
    """
    return ClipSet.concat([roles.pool for roles in _roles(loaded, machines, store, progress)])


def normal_of_benchmark(loaded: LoadedSpec, machine: str | None, store: Store, progress: Progress) -> ClipSet:
    """The clips of one machine type that the detectors of a benchmark learn from.

    Args:
        machine: the machine type; None where the benchmark has one only.

    Raises:
        UserError: as for `of_benchmark`.
    """
    name = _one(machine, choose_machines(loaded), "the benchmark")
    return _roles(loaded, [name], store, progress)[0].fit


def _roles(loaded: LoadedSpec, machines: Sequence[str], store: Store, progress: Progress) -> list[Roles]:
    """Who may use which clips of each machine."""
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
    return [assign_roles(load_clips(store, key), loaded.spec.holdout) for key in plan.clips.values()]


def _one(machine: str | None, known: Sequence[str], where: str) -> str:
    if machine is None and len(known) != 1:
        raise UserError(f"{where}: {len(known)} machines are found; name one with --machine: {', '.join(known)}")
    return _chosen([machine] if machine is not None else [], known, where)[0]


def _chosen(machines: Sequence[str], known: Sequence[str], where: str) -> list[str]:
    for machine in machines:
        if machine not in known:
            raise UserError(f"{where}: there is no machine '{machine}'{did_you_mean(machine, known)}")
    return list(machines or known)

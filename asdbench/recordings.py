"""Real clips for `asdbench train` and `asdbench generate`: all of a folder's, or a benchmark's pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean
from asdbench.exposure import training_clips
from asdbench.plan import Plan, checked_clips, choose_machines, outstanding, plan_clips
from asdbench.progress import Progress
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

    Raises:
        UserError: there are no such clips, or one of them cannot be used.
    """
    reader = build_plugin(plugins.datasets.get(dataset), [f"root={str(root)!r}", *assignments])
    known = reader.machines()
    for machine in machines:
        if machine not in known:
            raise UserError(f"{root}: there is no machine '{machine}'; found: {', '.join(known)}")
    tables = [reader.clips(machine, store.root) for machine in machines or known]
    with progress.steps("checking recordings", sum(map(len, tables)), "file") as steps:
        return ClipSet.concat([checked_clips(table, reader, store, steps) for table in tables])


def of_benchmark(loaded: LoadedSpec, target: str | None, store: Store, progress: Progress) -> ClipSet:
    """The clips that a benchmark lets a generator learn from; see `asdbench.exposure`.

    Args:
        loaded: the benchmark.
        target: the machine that the model is for, where the exposure asks for a model for each.
        store: where the clips are, or are made.

    Raises:
        UserError: a target is missing, unknown or pointless; the clips cannot be made or used.
    """
    from asdbench.execute.local import cpu_count, run_units
    from asdbench.execute.stages import load_clips
    from asdbench.plan import finished

    plan = Plan(machines=choose_machines(loaded))
    if (target is None) == (loaded.spec.exposure == "other-machines"):
        word = "a model for each machine: name it with --for" if target is None else "one model for all, without --for"
        raise UserError(f"{loaded.place('exposure')}: exposure '{loaded.spec.exposure}' takes {word}")
    if target is not None and target not in plan.machines:
        raise UserError(f"--for {target}: the benchmark has no such machine{did_you_mean(target, plan.machines)}")
    plan_clips(plan, loaded, store, progress)
    units = outstanding(plan, finished(plan, store))
    with progress.steps("making recordings", len(units), "unit") as steps:
        failures = run_units(
            units, store, cpu_count(), loaded.plugin_files, lambda unit: None, lambda unit, failure: steps.advance()
        )
    if failures:
        raise UserError(f"could not {failures[0].unit.label}: {failures[0].reason}")
    sets = [load_clips(store, key) for key in plan.clips.values()]
    return training_clips(sets, loaded.spec.holdout, loaded.spec.exposure, target)

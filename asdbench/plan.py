"""The plan of a run: a graph of units, each with a key made of everything its result depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean
from asdbench.plugins import Plugin, source_id
from asdbench.roles import assign_roles
from asdbench.seeding import derive_seed
from asdbench.spec import LoadedSpec
from asdbench.store import Store, key_of


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that is stored.

    Attributes:
        key: address of its artefact.
        stage: "clips", "fit", "generate" or "score".
        label: what it does, for people.
        needs: keys of the units whose artefacts it reads.
        task: everything a worker needs to carry it out, as JSON values.
        machine, detector, source, seed: what it belongs to in the score table (None where it does not apply).
    """

    key: str
    stage: str
    label: str
    needs: tuple[str, ...]
    task: dict[str, Any] = field(repr=False)
    machine: str
    detector: str | None = None
    source: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class ScoreUse:
    """Where a score unit's artefact enters the score table; several detectors of the spec may share one unit."""

    key: str
    machine: str
    detector: str
    source: str
    seed: int
    generation_seed: int


@dataclass
class Plan:
    """All units of a run.

    Attributes:
        units: by key, every unit after those it needs.
        scores: the rows of blocks of the score table.
        clips: key of each machine's clips.
        generated: key of the generated clips by (machine, generator, seed).
        machines: in the order of the spec.
    """

    machines: list[str]
    units: dict[str, Unit] = field(default_factory=dict)
    scores: list[ScoreUse] = field(default_factory=list)
    clips: dict[str, str] = field(default_factory=dict)
    generated: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def add(self, unit: Unit) -> str:
        """Add a unit unless an equal one is there; return its key."""
        self.units.setdefault(unit.key, unit)
        return unit.key


def make_plan(loaded: LoadedSpec, store: Store, progress: Callable[[str, int, int], None] | None = None) -> Plan:
    """Lay out the units of a spec.

    Recordings on disk are listed and inspected here, so that what is wrong with them is said before anything runs.

    Args:
        progress: called with (text, files done, files in all) while recordings are inspected.

    Raises:
        UserError: unknown machine, bad recordings, audio that would have two roles.
    """
    plan = Plan(machines=choose_machines(loaded))
    contents = _plan_clips(plan, loaded, store, progress)
    spec = loaded.spec
    holdout = spec.holdout.model_dump()
    generate_real = any(entry.anomaly == "generated" for entry in spec.test_sets.values())
    for machine in plan.machines:
        clips, content = plan.clips[machine], contents[machine]
        for seed in spec.seeds:
            sources: list[tuple[str, str | None]] = [("real", None)]
            for name, generator in loaded.generators.items() if generate_real else ():
                task = {
                    "plugin": _entry(generator),
                    "seed": derive_seed(seed, "generate", machine),
                    "holdout": holdout,
                    "count": spec.generated_clips,
                }
                key = key_of(stage="generate", clips=content, code=_code(generator), **task)
                task |= {"clips": clips}
                label = f"generate clips of {machine} with {name}, seed {seed}"
                unit = Unit(key, "generate", label, (clips,), task, machine, source=name, seed=seed)
                plan.generated[machine, name, seed] = plan.add(unit)
                sources.append((name, key))
            for name, detector in loaded.detectors.items():
                entry = _entry(detector)
                unit_seed = derive_seed(seed, "fit", machine)
                fitted = key_of(
                    stage="fit",
                    clips=content,
                    code=_code(detector),
                    plugin={"use": entry["use"], "settings": detector.settings(scoring=False)},
                    seed=unit_seed,
                    holdout=holdout,
                )
                task = {"plugin": entry, "seed": unit_seed, "holdout": holdout, "clips": clips}
                label = f"fit {name} on {machine}, seed {seed}"
                plan.add(Unit(fitted, "fit", label, (clips,), task, machine, detector=name, seed=seed))
                for source, generated in sources:
                    key = key_of(stage="score", fit=fitted, clips=content, generated=generated, plugin=entry)
                    task = {
                        "plugin": entry,
                        "seed": unit_seed,
                        "holdout": holdout,
                        "clips": clips,
                        "fit": fitted,
                        "generated": generated,
                    }
                    needs = (clips, fitted, *([generated] if generated else []))
                    label = f"score {source} clips of {machine} with {name}, seed {seed}"
                    plan.add(Unit(key, "score", label, needs, task, machine, name, source, seed))
                    plan.scores.append(ScoreUse(key, machine, name, source, seed, seed if generated else -1))
    return plan


def choose_machines(loaded: LoadedSpec) -> list[str]:
    """The machines of a run: those of the spec, or all that the dataset has.

    Raises:
        UserError: the dataset has no such machine (with the nearest one that it has).
    """
    try:
        known = loaded.dataset.machines()
    except UserError as error:
        raise UserError(f"{loaded.place('dataset')}: {error}") from None
    wanted = loaded.spec.machines
    for index, name in enumerate(wanted or ()):
        if name not in known:
            raise UserError(
                f"{loaded.place('machines', index)}: the dataset has no machine '{name}'{did_you_mean(name, known)}"
            )
    return list(wanted or known)


def finished(plan: Plan, store: Store) -> set[str]:
    """Keys of the units whose artefacts are in the store."""
    return {key for key in plan.units if store.has(key)}


def outstanding(plan: Plan, done: Iterable[str]) -> list[Unit]:
    """The units that have to run: not done, and wanted for a score that is not done either, in order."""
    done = set(done)
    wanted = {use.key for use in plan.scores} | set(plan.clips.values()) | set(plan.generated.values())
    run: set[str] = set()
    for unit in reversed(plan.units.values()):
        if unit.key in done or (unit.key not in wanted and unit.key not in run):
            continue
        run.add(unit.key)
        run.update(unit.needs)
    return [unit for key, unit in plan.units.items() if key in run and key not in done]


def _plan_clips(
    plan: Plan, loaded: LoadedSpec, store: Store, progress: Callable[[str, int, int], None] | None
) -> dict[str, str]:
    """Add the clips of every machine; return what identifies their content to the units that use them."""
    dataset = loaded.dataset
    entry = _entry(dataset)
    if dataset.makes_audio:
        for machine in plan.machines:
            key = key_of(stage="clips", code=_code(dataset), plugin=entry, machine=machine)
            task = {"plugin": entry, "machine": machine, "holdout": loaded.spec.holdout.model_dump()}
            plan.clips[machine] = plan.add(Unit(key, "clips", f"make clips of {machine}", (), task, machine))
        return dict(plan.clips)
    store.prepare()
    tables = {machine: dataset.clips(machine, store.root) for machine in plan.machines}
    total, done = sum(len(table) for table in tables.values()), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("checking recordings", done, total)

    contents = {}
    for machine, table in tables.items():
        infos = store.inspect_files(list(table["path"]), tick)
        clips = ClipSet.from_files(table, dataset.sample_rate, dataset.channel, infos=infos)
        assign_roles(clips, loaded.spec.holdout)
        contents[machine] = clips.content_id()
        # The artefact holds paths, so the same recordings elsewhere have another key, but the same content.
        key = key_of(stage="clips", content=contents[machine], paths=list(clips.frame["path"]))
        plan.clips[machine] = plan.add(Unit(key, "clips", f"list clips of {machine}", (), {}, machine))
        if not store.has(key):
            with store.publish(key, {"stage": "clips", "machine": machine}) as folder:
                clips.save(folder / "clips.parquet")
    return contents


def _entry(plugin: Plugin) -> dict[str, Any]:
    return {"use": plugin.name, "settings": plugin.settings()}


def _code(plugin: Plugin) -> dict[str, str]:
    return {"version": plugin.version, "source": source_id(type(plugin))}

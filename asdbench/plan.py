"""The plan of a run: a graph of units, each with a key made of everything its result depends on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asdbench.audio_hash import hashes_of
from asdbench.clips import ClipSet
from asdbench.errors import NotApplicableError, UserError, did_you_mean, warn
from asdbench.exposure import model_for
from asdbench.inspection import BadClip, BadClipsError
from asdbench.metrics.audio.quality import POOLED
from asdbench.plugins import Detector, Embedding, Generator, Plugin, source_id
from asdbench.progress import Progress
from asdbench.roles import Roles, assign_roles
from asdbench.seeding import derive_seed
from asdbench.segments import file_of
from asdbench.sound_clips import Hashes, Inspect, SoundClips, sound_clips, tell_of_left_out
from asdbench.spec import LoadedSpec
from asdbench.store import Store, StoreError, file_stat, key_of

CLIPS, FILES = "clips.parquet", "files.json"
"""Files of a "clips" artefact: the table, and the state in which recordings on disk were found."""


_CLIPS, _QUALITY, _COPIES, _SCORES = 2, 1, 1, 2
"""Versions of how tables of clips, audio quality, copies and scores are computed: to be raised when that
changes, so that they are made anew."""


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that is stored.

    Attributes:
        key: address of its artefact.
        stage: "clips", "fit", "train", "generate", "score", "quality" or "copies".
        label: what it does, for people.
        needs: keys of the units whose artefacts it reads.
        task: everything a worker needs to carry it out, as JSON values.
    """

    key: str
    stage: str
    label: str
    needs: tuple[str, ...]
    task: dict[str, Any] = field(repr=False)

    def message(self) -> dict[str, Any]:
        """What a worker is told."""
        return {"stage": self.stage, "key": self.key, "label": self.label, "task": self.task}


@dataclass(frozen=True)
class ScoreUse:
    """Where a score unit's artefact enters the score table; several detectors of the spec may share one unit."""

    key: str
    machine: str
    detector: str
    source: str
    seed: int
    generation_seed: int


@dataclass(frozen=True)
class Listening:
    """A unit that listens to generated clips, and what its rows are about.

    Attributes:
        key: of the unit.
        machine: machine type, or "pooled".
        generator, seed: whose clips.
        embedding: name in the spec; "" for the search for copies.
    """

    key: str
    machine: str
    generator: str
    seed: int
    embedding: str = ""


@dataclass
class Plan:
    """All units of a run.

    Attributes:
        units: by key, every unit after those it needs.
        scores: the rows of blocks of the score table.
        quality: comparisons of generated with real clips.
        copies: searches for training clips among generated ones.
        inputs: what each detector depends on beside settings, seed and clips; see `asdbench.plugins.Plugin.inputs`.
        clips: key of each machine's clips.
        generated: key of the generated clips by (machine, generator, seed).
        machines: in the order of the spec.
        skipped: recordings that cannot be used and are left out, by machine.
        left_out: why a machine cannot be used, by machine: it has no normal clips.
    """

    machines: list[str]
    units: dict[str, Unit] = field(default_factory=dict)
    scores: list[ScoreUse] = field(default_factory=list)
    quality: list[Listening] = field(default_factory=list)
    copies: list[Listening] = field(default_factory=list)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    generated: dict[tuple[str, str, int], str] = field(default_factory=dict)
    skipped: dict[str, list[BadClip]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, unit: Unit) -> str:
        """Add a unit unless an equal one is there; return its key."""
        self.units.setdefault(unit.key, unit)
        return unit.key


def make_plan(loaded: LoadedSpec, store: Store, progress: Progress) -> Plan:
    """Lay out the units of a spec.

    Recordings on disk are listed and inspected here, so that what is wrong with them is said before anything runs.

    Args:
        loaded: the spec.
        store: remembers recordings that were inspected before.
        progress: shows how far the inspection is.
        hashes: of the audio that is read.

    Raises:
        UserError: unknown machine, bad recordings, audio that would have two roles.
    """
    plan = Plan(machines=choose_machines(loaded))
    identities = plan_clips(plan, loaded, store, progress)
    makers: dict[str, Generator] = {}
    if any(entry.anomaly == "generated" for entry in loaded.spec.test_sets.values()):
        makers = loaded.generators | loaded.variants
    inputs = {name: _inputs(loaded, ("generators", name), generator) for name, generator in makers.items()}
    plan.inputs = {name: _inputs(loaded, ("detectors", name), detector) for name, detector in loaded.detectors.items()}
    for machine, identity in identities.items():
        for seed in loaded.spec.seeds:
            generated = {}
            for name, generator in makers.items():
                model = None
                if generator.needs_training():
                    trained = name.partition(".")[0]  # a variant has the training of its generator
                    model = _plan_training(plan, loaded, identities, trained, inputs[trained], seed, machine)
                generated[name] = _plan_generation(
                    plan, loaded, machine, identity, seed, name, generator, inputs[name], model
                )
            for name, detector in loaded.detectors.items():
                _plan_detector(plan, loaded, machine, identity, seed, name, detector, generated)
    for name, embedding in loaded.embeddings.items():
        _plan_quality(plan, loaded, identities, name, embedding)
    for name in makers:
        if name in loaded.controlled:
            _plan_copies(plan, loaded, identities, name, inputs[name])
    return plan


def _plan_quality(
    plan: Plan, loaded: LoadedSpec, identities: dict[str, Identity], name: str, embedding: Embedding
) -> None:
    """Add the comparison of each generator's clips with real ones, by machine and over all machines."""
    inputs = _inputs(loaded, ("embeddings", name), embedding)
    groups = [[machine] for machine in identities]
    groups += [list(identities)] if len(identities) > 1 else []
    for generator in loaded.generators:
        for seed in loaded.spec.seeds:
            for machines in groups:
                made = [plan.generated.get((machine, generator, seed)) for machine in machines]
                generated = {machine: key for machine, key in zip(machines, made, strict=True) if key}
                if len(generated) < len(machines):
                    continue
                how = loaded.spec.statistics
                task = _task(embedding) | {"confidence": how.confidence, "fad_infinity": how.fad_infinity}
                tests = [identities[machine].test for machine in machines]
                key = key_of(
                    stage="quality",
                    method=_QUALITY,
                    version=embedding.version,
                    inputs=inputs,
                    real=tests,
                    made=generated,
                    **task,
                )
                clips = {machine: plan.clips[machine] for machine in machines}
                task |= {"clips": clips, "generated": generated, "holdout": loaded.spec.holdout.model_dump()}
                where = machines[0] if len(machines) == 1 else POOLED
                whose = f"{where} of {generator}" if len(machines) == 1 else f"all machines of {generator}"
                label = f"compare the sound of {whose} by {name}, seed {seed}"
                plan.add(Unit(key, "quality", label, (*clips.values(), *generated.values()), task))
                plan.quality.append(Listening(key, where, generator, seed, name))


def _plan_copies(
    plan: Plan, loaded: LoadedSpec, identities: dict[str, Identity], name: str, inputs: dict[str, str]
) -> None:
    """Add the search for training clips among the clips of a generator."""
    generator = loaded.generators[name]
    pools = {machine: identity.pool for machine, identity in identities.items()}
    for machine, identity in identities.items():
        for seed in loaded.spec.seeds:
            made = plan.generated[machine, name, seed]
            model = plan.units[made].task["model"]
            task = _task(generator) | {"exposure": loaded.spec.exposure, "model": model}
            sources = {"pools": pools, "test": identity.test, "inputs": inputs, "generated": made}
            key = key_of(stage="copies", method=_COPIES, version=generator.version, machine=machine, **sources, **task)
            clips = {name: plan.clips[name] for name in identities}
            task |= {"clips": clips, "machine": machine, "generated": made}
            task |= {"holdout": loaded.spec.holdout.model_dump()}
            label = f"look for training clips among those of {machine} with {name}, seed {seed}"
            plan.add(Unit(key, "copies", label, (*clips.values(), made, *([model] if model else [])), task))
            plan.copies.append(Listening(key, machine, name, seed))


def _plan_training(
    plan: Plan,
    loaded: LoadedSpec,
    identities: dict[str, Identity],
    name: str,
    inputs: dict[str, str],
    seed: int,
    machine: str,
) -> str:
    """Add the training of a generator that will make clips of a machine; return its key."""
    generator, exposure = loaded.generators[name], loaded.spec.exposure
    target = model_for(machine, exposure)
    task = _task(generator) | {"seed": derive_seed(seed, "train", target or ""), "exposure": exposure, "for": target}
    # Settings that act in sampling only are not part of the training: generators that differ in them share it.
    learnt = task | {"plugin": _entry(generator, late=False)}
    pools = {machine: identity.pool for machine, identity in identities.items()}
    key = key_of(stage="train", version=generator.version, pools=pools, inputs=inputs, **learnt)
    clips = {machine: plan.clips[machine] for machine in identities}
    task |= {"clips": clips, "holdout": loaded.spec.holdout.model_dump()}
    label = f"train {name}{f' for {target}' if target else ''}, seed {seed}"
    return plan.add(Unit(key, "train", label, tuple(clips.values()), task))


def _plan_generation(
    plan: Plan,
    loaded: LoadedSpec,
    machine: str,
    identity: Identity,
    seed: int,
    name: str,
    generator: Generator,
    inputs: dict[str, str],
    model: str | None,
) -> str:
    """Add the making of clips of a machine by a generator; return its key."""
    clips = plan.clips[machine]
    task = _task(generator) | {"seed": derive_seed(seed, "generate", machine)}
    task |= {"count": loaded.spec.generated_clips, "model": model, "exposure": loaded.spec.exposure}
    # Normal clips of a generator tell whether a detector hears the generator rather than the fault.
    task["normals"] = name in loaded.controlled or name in loaded.variants
    task["whole_pool"] = generator.is_control or name in loaded.variants  # controls are not limited by the exposure
    sources = {"pool": identity.pool, "test": identity.test, "inputs": inputs}
    if generator.learns:  # what it must not have learnt from
        sources["fit"] = identity.fit
    key = key_of(stage="generate", version=generator.version, **sources, **task)
    task |= {"clips": clips, "holdout": loaded.spec.holdout.model_dump()}
    label = f"generate clips of {machine} with {name}, seed {seed}"
    plan.add(Unit(key, "generate", label, (clips, *([model] if model else [])), task))
    plan.generated[machine, name, seed] = key
    return key


def _inputs(loaded: LoadedSpec, at: tuple[str, str], plugin: Plugin) -> dict[str, str]:
    """What a plugin depends on beside its settings and clips, such as the files of a model, by content."""
    with _errors_at(loaded.place(*at)):
        return plugin.inputs()


@contextmanager
def _errors_at(place: str) -> Iterator[None]:
    """What a plugin raises while a run is planned, with the place of its entry in the spec."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    except Exception as error:
        raise UserError(f"{place}: failed: {type(error).__name__}: {error}") from error


def _plan_detector(
    plan: Plan,
    loaded: LoadedSpec,
    machine: str,
    identity: Identity,
    seed: int,
    name: str,
    detector: Detector,
    generated: dict[str, str],
) -> None:
    """Add the fit of one detector and a scoring for each source of clips."""
    clips, inputs = plan.clips[machine], plan.inputs[name]
    task = _task(detector) | {"seed": derive_seed(seed, "fit", machine)}
    # Settings that act in scoring only are not part of the fit: detectors that differ in them share it.
    learnt = task | {"plugin": _entry(detector, late=False)} | ({"inputs": inputs} if inputs else {})
    fitted = key_of(stage="fit", version=detector.version, clips=identity.fit, **learnt)
    task |= {"clips": clips, "holdout": loaded.spec.holdout.model_dump()}
    plan.add(Unit(fitted, "fit", f"fit {name} on {machine}, seed {seed}", (clips,), task))
    for source, made in (("real", None), *generated.items()):
        scored = {"generated": made} if made else {"fit": identity.fit, "test": identity.test}
        # What is looked up is found by these names.
        origin = {"origin": [source, seed]} if detector.looks_up else {}
        key = key_of(stage="score", method=_SCORES, fitted=fitted, plugin=task["plugin"], scored=scored | origin)
        needs = (clips, fitted, *([made] if made else []))
        label = f"score {source} clips of {machine} with {name}, seed {seed}"
        score_task = task | {"fit": fitted, "generated": made} | origin
        plan.add(Unit(key, "score", label, needs, score_task))
        plan.scores.append(ScoreUse(key, machine, name, source, seed, seed if made else -1))


def fetch_recordings(loaded: LoadedSpec, machines: Iterable[str] | None = None) -> None:
    """Have the dataset bring recordings that are not on the disk, where it can.

    Args:
        loaded: the spec.
        machines: machine types; by default those of the spec.

    Raises:
        UserError: they cannot be had.
    """
    with _plugin_errors(loaded):
        loaded.dataset.fetch(list(machines) if machines else loaded.spec.machines)


def choose_machines(loaded: LoadedSpec) -> list[str]:
    """The machines of a run: those of the spec, or all that the dataset has.

    Raises:
        UserError: the dataset has no such machine (with the nearest one that it has).
    """
    with _plugin_errors(loaded):
        known = loaded.dataset.machines()
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
    """The units that have to run: not done, and wanted for a table that is not done either, in order."""
    done = set(done)
    wanted = {use.key for use in plan.scores} | set(plan.clips.values()) | set(plan.generated.values())
    wanted |= {use.key for use in (*plan.quality, *plan.copies)}
    run: set[str] = set()
    for unit in reversed(plan.units.values()):
        if unit.key in done or (unit.key not in wanted and unit.key not in run):
            continue
        run.add(unit.key)
        run.update(unit.needs)
    return [unit for key, unit in plan.units.items() if key in run and key not in done]


@dataclass(frozen=True)
class Identity:
    """What identifies the content of a machine's clips to the units that use them, by role."""

    fit: str
    test: str
    pool: str


def plan_clips(plan: Plan, loaded: LoadedSpec, store: Store, progress: Progress) -> dict[str, Identity]:
    """Add the clips of every machine; return their identities."""
    if loaded.dataset.makes_audio:
        return {machine: _plan_made_clips(plan, loaded, machine) for machine in plan.machines}
    store.prepare()
    sound = listed_clips(loaded, plan.machines, store.inspect_files, store.root, progress, store.audio_hashes)
    roles, plan.left_out = divided_clips(loaded, sound)
    plan.skipped = sound.skipped
    return {name: _plan_listed_clips(plan, name, sound.sets[name], own, store) for name, own in roles.items()}


def divided_clips(loaded: LoadedSpec, sound: SoundClips) -> tuple[dict[str, Roles], dict[str, str]]:
    """Who may use which clips of each machine, and why some machines are left out.

    Raises:
        UserError: no machine is left, or clips cannot be divided.
    """
    roles, left_out = {}, dict(sound.left_out)
    for machine, clips in sound.sets.items():
        try:
            roles[machine] = assign_roles(clips, loaded.spec.holdout)
        except NotApplicableError as error:
            left_out[machine] = str(error)
    if not roles:
        raise UserError(f"{loaded.place('dataset')}: {'; '.join(left_out.values())}")
    tell_of_left_out(left_out)
    return roles, left_out


def listed_clips(
    loaded: LoadedSpec,
    machines: Sequence[str],
    inspect: Inspect,
    folder: Path,
    progress: Progress,
    hashes: Hashes = hashes_of,
) -> SoundClips:
    """The clips of machines whose recordings lie on disk, inspected.

    Args:
        loaded: the spec.
        machines: machine types of its dataset.
        inspect: opens recordings.
        folder: see `asdbench.plugins.Dataset.clips`.
        progress: shows how far the inspection is.
        hashes: of the audio that is read.

    Raises:
        BadClipsError: recordings cannot be used.
        UserError: the dataset lists what is no clip.
    """
    with _plugin_errors(loaded):
        return sound_clips(machines, loaded.dataset, inspect, folder, progress, hashes)


def _plan_made_clips(plan: Plan, loaded: LoadedSpec, machine: str) -> Identity:
    """Add the unit that makes the clips of a machine."""
    dataset, holdout = loaded.dataset, loaded.spec.holdout
    task = _task(dataset) | {"machine": machine}
    key = key_of(stage="clips", version=dataset.version, **task)
    made = key_of(stage="clips", method=_CLIPS, version=dataset.version, **task)
    task |= {"holdout": holdout.model_dump()}
    plan.clips[machine] = plan.add(Unit(made, "clips", f"make clips of {machine}", (), task))
    # What cannot be looked at yet is identified by how it is made and divided.
    train = key_of(clips=key, seed=holdout.seed, train=holdout.train)
    test = key_of(clips=key, seed=holdout.seed, normal=holdout.normal, anomaly=holdout.anomaly)
    return Identity(fit=train, test=test, pool=key_of(train=train, test=test))


def _plan_listed_clips(plan: Plan, machine: str, clips: ClipSet, roles: Roles, store: Store) -> Identity:
    """Add the clips of a machine that lie on disk, and store where they are."""
    for note in roles.notes:
        warn(note)
    # The artefact says where the recordings are and in what state they were found, so its key does too; the units that
    # use them are identified by content only.
    files = [[path, *file_stat(path)] for path in dict.fromkeys(map(file_of, clips.frame["path"]))]
    key = key_of(stage="clips", method=_CLIPS, content=clips.content_id(), files=files)
    plan.clips[machine] = plan.add(Unit(key, "clips", f"list clips of {machine}", (), {}))
    if not store.has(key):
        with store.publish(key, {"stage": "clips", "machine": machine}) as folder:
            clips.save(folder / CLIPS)
            (folder / FILES).write_text(json.dumps(files))
    return Identity(roles.fit.content_id(), roles.test.content_id(), roles.pool.content_id())


@contextmanager
def _plugin_errors(loaded: LoadedSpec) -> Iterator[None]:
    """A dataset plugin that raises, or lists what is no clip, is the user's to mend: one sentence, no traceback."""
    try:
        yield
    except StoreError:
        raise
    except UserError as error:
        field = ("dataset", "root") if "root" in loaded.spec.dataset.settings else ("dataset",)
        if isinstance(error, BadClipsError):
            raise BadClipsError(error.bad, loaded.place(*field)) from error
        raise UserError(f"{loaded.place(*field)}: {error}") from error
    except Exception as error:
        use = loaded.spec.dataset.use
        raise UserError(f"{loaded.place('dataset')}: '{use}' failed: {type(error).__name__}: {error}") from error


def _task(plugin: Plugin) -> dict[str, Any]:
    return {"plugin": _entry(plugin), "source": source_id(type(plugin))}


def _entry(plugin: Plugin, late: bool | None = None) -> dict[str, Any]:
    return {"use": plugin.name, "settings": plugin.settings(late=late)}

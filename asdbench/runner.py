"""Running a benchmark: spec -> plan -> units -> score table -> comparison -> a run's folder."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench import plugins
from asdbench.errors import UserError
from asdbench.execute.job import load_clips
from asdbench.execute.local import Failure, cpu_count, run_units
from asdbench.gathering import gather
from asdbench.inspection import BadClip, BadClipsError
from asdbench.plan import Plan, Unit, fetch_recordings, finished, make_plan, outstanding
from asdbench.progress import Progress
from asdbench.results import CONTROLS, SKIPPED_COLUMNS, TRACEBACKS, Results, compare_scores, write
from asdbench.roles import assign_roles, refuse_shared_audio
from asdbench.score_audio import with_audio_hashes
from asdbench.score_groups import score_groups
from asdbench.spec import LoadedSpec, PluginSpec, load_spec
from asdbench.store import Store, disk_errors, key_of

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RUNS = Path("runs")
STORE_VARIABLE = "ASDBENCH_STORE"
BAD_CLIPS = "bad_clips.csv"
"""Beside the runs of a benchmark: the recordings because of which it was refused."""


class IncompleteRunError(UserError):
    """A run that ended, but not for every cell.

    Attributes:
        results: what there is.
    """

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results


def store_for(runs: Path, store: Path | None) -> Store:
    """The store of a runs folder: as given, by the environment variable ASDBENCH_STORE, or ``runs/.store``."""
    return Store(Path(store or os.environ.get(STORE_VARIABLE) or runs / ".store"))


def run(
    spec: str | Path | dict[str, Any] | LoadedSpec,
    *,
    runs: str | Path = DEFAULT_RUNS,
    store: str | Path | None = None,
    workers: int | None = None,
    overrides: Iterable[str] = (),
    plugin_files: Iterable[str | Path] = (),
    quiet: bool = True,
) -> Results:
    """Run a benchmark, or what is left of it.

    Args:
        spec: a YAML file, the name of a spec that ships with asdbench, or a mapping.
        runs: folder under which the run's folder ``<name>/<id>`` is made.
        store: folder of finished work, shared by runs; by default ``runs/.store`` or what ASDBENCH_STORE says.
        workers: processes, one compute thread each; 0 runs everything in this process, which plugins that are defined
            in a notebook or script need. By default one a CPU, or 0 where there are such plugins.
        overrides: ``"detectors.ae.epochs=5"`` and the like.
        plugin_files: Python files with plugins, beside those the spec names.
        quiet: print no progress.

    Raises:
        UserError: spec, data, store or plugins are not usable.
        IncompleteRunError: some units failed; its ``results`` hold the rest.
    """
    if isinstance(spec, LoadedSpec):
        if any((*overrides, *plugin_files)):
            raise UserError("overrides and plugin files belong to load_spec where the spec is loaded already")
        loaded = spec
        plugins.load_files(loaded.plugin_files)  # another spec may have been loaded in between
    else:
        loaded = load_spec(spec, tuple(overrides), tuple(Path(file) for file in plugin_files))
    if workers is not None and workers < 0:
        raise UserError(f"workers: found {workers}, expected 0 or more")
    runs = Path(runs).absolute()
    progress = Progress(quiet)
    progress.say(f"{loaded.spec.name}: planning")
    workers = _choose_workers(loaded, workers)
    fetch_recordings(loaded)
    artefacts = store_for(runs, Path(store) if store else None)
    artefacts.prepare()
    with disk_errors(runs):
        runs.mkdir(parents=True, exist_ok=True)
    plan = plan_run(loaded, artefacts, runs, progress)
    failures = _carry_out(loaded, plan, artefacts, workers, progress)
    artefacts.clean()
    return _conclude(loaded, plan, artefacts, runs, failures, progress)


def plan_run(loaded: LoadedSpec, store: Store, runs: Path, progress: Progress) -> Plan:
    """The plan of a run; where recordings cannot be used, all of them are listed in ``runs/<name>/bad_clips.csv``.

    Raises:
        UserError: as `asdbench.plan.make_plan`.
    """
    listed = runs.absolute() / loaded.spec.name / BAD_CLIPS
    try:
        plan = make_plan(loaded, store, progress)
    except BadClipsError as error:
        with disk_errors(listed.parent):
            listed.parent.mkdir(parents=True, exist_ok=True)
            _bad_table({"": list(error.bad)})[["path", "problem"]].to_csv(listed, index=False)
        can_skip = "on_bad_clip" in loaded.dataset.setting_names()
        hint = "`on_bad_clip: skip` in the dataset leaves such files out; " if can_skip else ""
        raise BadClipsError(error.bad, error.place, f"{hint}all are listed in {listed}") from error
    listed.unlink(missing_ok=True)
    return plan


def _bad_table(skipped: dict[str, list[BadClip]]) -> pd.DataFrame:
    """One row a recording that cannot be used."""
    import pandas as pd

    rows = [(machine, one.path, one.problem) for machine, bad in skipped.items() for one in bad]
    return pd.DataFrame(rows, columns=list(SKIPPED_COLUMNS))


def _choose_workers(loaded: LoadedSpec, workers: int | None) -> int:
    spec = loaded.spec
    entries: list[tuple[plugins.Registry[Any], PluginSpec]] = [(plugins.datasets, spec.dataset)]
    entries += [(plugins.detectors, entry) for entry in spec.detectors.values()]
    entries += [(plugins.generators, entry) for entry in spec.generators.values()]
    entries += [(plugins.embeddings, entry) for entry in spec.embeddings.values()]
    local = [entry.use for registry, entry in entries if not registry.is_portable(entry.use)]
    nested = [part.name for detector in loaded.detectors.values() for part in detector.nested().values()]
    local += [name for name in nested if not plugins.embeddings.is_portable(name)]
    if workers is None:
        return 0 if local else cpu_count()
    if workers and local:
        raise UserError(
            f"the plugin '{local[0]}' is known to this process only and cannot run in worker processes; "
            "use workers=0, or put it into a file and name that under `plugins:`"
        )
    return workers


def _carry_out(loaded: LoadedSpec, plan: Plan, store: Store, workers: int, progress: Progress) -> list[Failure]:
    done = finished(plan, store)
    units = outstanding(plan, done)
    if not units:
        progress.say(f"{loaded.spec.name}: all {len(plan.units)} units are in the store")
        return []
    how = f"{workers} worker{'s' if workers != 1 else ''}" if workers else "this process"
    progress.say(f"{loaded.spec.name}: {len(units)} of {len(plan.units)} units to run with {how}")
    with progress.steps(loaded.spec.name, len(units), "unit") as steps:

        def on_start(unit: Unit) -> None:
            steps.advance(0, note=unit.label)

        def on_end(unit: Unit, failure: Failure | None) -> None:
            steps.advance(note=unit.label)
            if failure is not None and failure.cause is None:
                what = "failed" if failure.applicable else "left out"
                progress.say(f"{what}: {unit.label}: {failure.reason}")

        def on_progress(unit: Unit, done: int, total: int, note: str) -> None:
            steps.advance(0, note=f"{unit.label}: {done} of {total}{f', {note}' if note else ''}")

        return run_units(units, store, workers, loaded.plugin_files, on_start, on_end, on_progress)


def _conclude(
    loaded: LoadedSpec, plan: Plan, store: Store, runs: Path, failures: list[Failure], progress: Progress
) -> Results:
    progress.say(f"{loaded.spec.name}: computing tables")
    resolved = loaded.resolved() | {"machines": plan.machines}
    scores = _score_table(plan, store)
    generated = _generated_table(plan, store)
    _refuse_leaks(loaded, plan, store, generated)
    problems = _problems(plan, failures)
    # Runs of the same spec on the same data share a folder; when either changes there is a new one.
    identity = key_of(spec=resolved, units=sorted(plan.units))[:12]
    folder = runs / loaded.spec.name / identity
    controls = [name for name, generator in loaded.generators.items() if generator.is_control]
    heard = gather(loaded, plan, store, failures, progress)
    comparison = compare_scores(resolved, scores, problems, heard, controls)
    results = Results(folder, resolved, scores, generated, problems, comparison, _bad_table(plan.skipped))
    keys: dict[str, Any] = {"store": str(store.root), "clips": plan.clips, "detectors": _identities(loaded, plan)}
    keys[CONTROLS] = controls
    keys["scores"] = [
        asdict(use) | {"fit": task["fit"], "fit_seed": task["seed"]}
        for use, task in ((use, plan.units[use.key].task) for use in plan.scores)
    ]
    tracebacks = "\n".join(f"{failure.unit.label}\n{failure.traceback}" for failure in failures if failure.traceback)
    with disk_errors(folder):
        write(results, _environment(), keys, tracebacks)
    own = [failure for failure in failures if failure.cause is None and failure.applicable]
    wrong = [f"could not {failure.unit.label}: {failure.reason}" for failure in own] + _failed_metrics(results.metrics)
    if wrong:
        more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        log = f"; tracebacks are in {folder / TRACEBACKS}" if tracebacks else ""
        raise IncompleteRunError(f"{wrong[0]}{more}; the other cells are computed{log}", results)
    return results


def _identities(loaded: LoadedSpec, plan: Plan) -> dict[str, dict[str, Any]]:
    """What the fits of each detector depend on beside settings, seed and clips, as it was when they were planned."""
    return {
        name: {
            "version": detector.version,
            "source": plugins.source_id(type(detector)),
            "inputs": plan.inputs[name],
        }
        for name, detector in loaded.detectors.items()
    }


def _failed_metrics(metrics: pd.DataFrame) -> list[str]:
    """What metric plugins raised, in the comparison's words."""
    failed = metrics[metrics["reason"].str.startswith(tuple(f"{name} failed: " for name in metrics["metric"].unique()))]
    return [
        f"the metric {row.reason} (on {row.machine} with {row.detector})"
        for row in failed.drop_duplicates("metric").itertuples()
    ]


def _score_table(plan: Plan, store: Store) -> pd.DataFrame:
    """Join the score artefacts that are there into the one table that everything else is computed from."""
    import pandas as pd

    from asdbench.execute.stages import SCORES

    parts = []
    for use in plan.scores:
        path = store.path(use.key) / SCORES
        if path.is_file():
            part = pd.read_parquet(path)
            part = part.assign(detector=use.detector, source=use.source)
            parts.append(part.assign(seed=use.seed, generation_seed=use.generation_seed))
    columns = ["seed", "generation_seed", "machine", "section", "domain", "detector", "source", "split", "condition"]
    columns += ["clip_id", "content_hash", "score"]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    table = with_audio_hashes(pd.concat(parts, ignore_index=True)[columns], plan, store)
    groups = score_groups(plan, store)
    if not groups:
        return table
    keys = zip(table["machine"], table["source"], table["generation_seed"], table["clip_id"], strict=True)
    return table.assign(group=[groups.get(key, "") for key in keys])


def _generated_table(plan: Plan, store: Store) -> pd.DataFrame:
    """One row a generated clip, with how it was made and its file, relative to the store."""
    import pandas as pd

    rows = []
    for (machine, generator, seed), key in plan.generated.items():
        if not store.has(key):
            continue
        for row in load_clips(store, key).frame.itertuples():
            file = Path(str(row.path)).relative_to(store.root).as_posix()
            labels = {name: getattr(row, name) for name in ("section", "domain", "condition")}
            texts = {name: json.dumps(getattr(row, name), sort_keys=True) for name in ("attributes", "provenance")}
            rows.append(
                {"machine": machine, "generator": generator, "seed": seed, "clip_id": row.clip_id, "file": file}
                | labels
                | texts
                | {"content_hash": row.content_hash, "audio_hash": row.audio_hash}
            )
    columns = ["machine", "generator", "seed", "clip_id", "file", "section", "domain", "condition", "attributes"]
    return pd.DataFrame(rows, columns=[*columns, "provenance", "content_hash", "audio_hash"])


def _refuse_leaks(loaded: LoadedSpec, plan: Plan, store: Store, generated: pd.DataFrame) -> None:
    """A generated clip that is a training or test clip would make the comparison worthless."""
    for machine, clips in generated.groupby("machine"):
        roles = assign_roles(load_clips(store, plan.clips[str(machine)]), loaded.spec.holdout)
        uses = []
        for role, part in (("detector training", roles.fit), ("test set", roles.test)):
            columns = (part.frame[name] for name in ("clip_id", "content_hash", "audio_hash"))
            uses += list(zip([role] * len(part), *columns, strict=True))
        known = {one for _, _, *hashes in uses for one in hashes}
        # A generator may give one clip to two conditions, but not a clip of these to any.
        copies = clips[clips["content_hash"].isin(known) | clips["audio_hash"].isin(known)]
        hashes = (copies[name] for name in ("file", "content_hash", "audio_hash"))
        refuse_shared_audio([*uses, *zip("generated by " + copies["generator"], *hashes, strict=True)])


def _problems(plan: Plan, failures: list[Failure]) -> list[dict[str, Any]]:
    """Why scores are missing, in terms of the score table."""
    reasons = {failure.unit.key: failure for failure in failures}
    sources = dict.fromkeys((use.source, use.seed) for use in plan.scores)
    found: list[dict[str, Any]] = [
        {"machine": machine, "detector": detector, "source": source, "seed": seed, "reason": reason}
        for machine, reason in plan.left_out.items()
        for detector in dict.fromkeys(use.detector for use in plan.scores)
        for source, seed in sources
    ]
    for use in plan.scores:
        failure = reasons.get(use.key)
        if failure is None:
            continue
        doing = f"could not {failure.cause.label}: " if failure.cause and failure.applicable else ""
        found.append(
            {
                "machine": use.machine,
                "detector": use.detector,
                "source": use.source,
                "seed": use.seed,
                "reason": doing + failure.reason,
            }
        )
    return found


def _environment() -> dict[str, Any]:
    packages = ("asdbench", "numpy", "scipy", "pandas", "scikit-learn", "soundfile", "soxr", "torch")
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "command": sys.argv,
        "packages": versions,
    }

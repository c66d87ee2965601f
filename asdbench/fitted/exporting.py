"""Taking a fitted detector out of a run, from the run's store; nothing is fitted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from asdbench import plugins
from asdbench.errors import UserError, did_you_mean
from asdbench.fitted.deciding import ThresholdRule, rule_of
from asdbench.fitted.detector import FittedDetector, record_of, restored
from asdbench.results import ARTEFACTS, PROBLEMS, SCORES, SPEC, Results, find_run
from asdbench.state import load_state
from asdbench.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def export_detector(
    run: Results | str | Path,
    detector: str,
    machine: str | None = None,
    *,
    seed: int | None = None,
    rule: ThresholdRule | None = None,
    plugin_files: Iterable[Path] = (),
) -> FittedDetector:
    """Take a fitted detector out of a run.

    Args:
        run: the run, its folder, or a folder of runs, of which the newest is taken.
        detector: its name in the spec of the run.
        machine: machine type; None where the run has one only.
        seed: one of the spec's; None for the first.
        rule: how the decision threshold follows from the scores of the training clips; None for the run's own rule.
        plugin_files: in place of those that the spec names.

    Raises:
        UserError: the run has no such detector, machine or seed, its store has no such fit any more, or the plugin is
            another one now.
    """
    from asdbench.execute.job import load_clips
    from asdbench.roles import assign_roles
    from asdbench.spec import Holdout

    folder, spec = run.folder if isinstance(run, Results) else find_run(Path(run)), spec_of(run)
    try:
        artefacts = json.loads((folder / ARTEFACTS).read_text())
        machine, seed = _chosen(spec, detector, machine, seed, folder)
        known = artefacts.get("detectors", {}).get(detector)
        uses = [use for use in artefacts["scores"] if _is_use(use, detector, machine, seed)]
        store, clips_key = Store(Path(artefacts["store"])), artefacts["clips"][machine]
        holdout = Holdout(**spec["holdout"])
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        raise _unreadable(folder, error) from error
    what = f"{detector} on {machine}, seed {seed}"
    if known is None or not uses or "fit" not in uses[0]:
        raise UserError(f"{folder}: the run does not say where its fits are; run the benchmark again to add that")
    key = uses[0]["fit"]
    if not store.has(key) or not store.has(clips_key):
        raise UserError(f"{folder}: there is no fit of {what} in the store {store.root}{_why(folder, uses[0])}")
    kind = _plugin_of(spec, detector, known, plugin_files, folder)
    settings = {name: value for name, value in spec["detectors"][detector].items() if name != "use"}
    plugin = restored(kind, settings, uses[0]["fit_seed"], load_state(store.path(key)), str(folder))
    clips = assign_roles(load_clips(store, clips_key), holdout).fit
    return FittedDetector(plugin, record_of(plugin, clips, _scores(folder, uses[0]), rule or rule_of(spec), known))


def spec_of(run: Results | str | Path) -> dict[str, Any]:
    """The resolved spec of a run; see `export_detector`.

    Raises:
        UserError: there is no run, or its spec cannot be read.
    """
    if isinstance(run, Results):
        return run.spec
    folder = find_run(Path(run))
    try:
        return dict(yaml.safe_load((folder / SPEC).read_text()))
    except Exception as error:  # whatever a damaged file leads to
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> UserError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(f"{folder}: the run cannot be read ({reason}); run the benchmark again to restore it")


def _chosen(
    spec: dict[str, Any], detector: str, machine: str | None, seed: int | None, folder: Path
) -> tuple[str, int]:
    """The machine and the seed, once it is clear that the run has them."""
    if detector not in spec["detectors"]:
        raise UserError(f"{folder}: the run has no detector '{detector}'{did_you_mean(detector, spec['detectors'])}")
    machines = spec["machines"]
    if machine is None:
        if len(machines) > 1:
            raise UserError(f"{folder}: the run has {len(machines)} machines; name one of {', '.join(machines)}")
        machine = str(machines[0])
    if machine not in machines:
        raise UserError(f"{folder}: the run has no machine '{machine}'{did_you_mean(machine, machines)}")
    if seed is not None and seed not in spec["seeds"]:
        raise UserError(f"{folder}: the run has no seed {seed}; known: {', '.join(map(str, spec['seeds']))}")
    return machine, int(spec["seeds"][0] if seed is None else seed)


def _is_use(use: dict[str, Any], detector: str, machine: str, seed: int) -> bool:
    wanted = {"detector": detector, "machine": machine, "source": "real", "seed": seed}
    return all(use[name] == value for name, value in wanted.items())


def _plugin_of(
    spec: dict[str, Any], detector: str, known: dict[str, Any], plugin_files: Iterable[Path], folder: Path
) -> type[plugins.Detector]:
    """The plugin of a detector of the spec, in the version that was fitted."""
    use = spec["detectors"][detector]["use"]
    try:
        plugins.load_files(list(plugin_files) or [Path(path) for path in spec.get("plugins", [])])
        kind = plugins.detectors.get(use)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    if kind.version != known["version"]:
        raise UserError(
            f"{folder}: '{detector}' was fitted with version {known['version']} of '{use}', found version "
            f"{kind.version}; run the benchmark again"
        )
    return kind


def _scores(folder: Path, use: dict[str, Any]) -> npt.NDArray[np.float64] | None:
    """The scores of the clips that a detector was fitted on; None where the run has none."""
    import pandas as pd

    try:
        table = pd.read_parquet(folder / SCORES)
        mine = (table["source"] == "real") & (table["split"] == "train")
        for name in ("machine", "detector", "seed"):
            mine &= table[name] == use[name]
    except Exception as error:  # whatever a damaged file leads to
        raise _unreadable(folder, error) from error
    return table["score"][mine].to_numpy(dtype=np.float64) if mine.any() else None


def _why(folder: Path, use: dict[str, Any]) -> str:
    """Why a fit is not in the store."""
    try:
        problems = json.loads((folder / PROBLEMS).read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    for problem in problems:
        if _is_use(problem, use["detector"], use["machine"], use["seed"]):
            return f": {problem['reason']}"
    return "; run the benchmark again"

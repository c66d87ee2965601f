"""What each kind of unit does: read artefacts, call one plugin, publish one artefact."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from asdbench import audio, plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.plan import CLIPS, FILES
from asdbench.plugins import GeneratedClip, Plugin, Registry, Request
from asdbench.roles import Roles, assign_roles
from asdbench.spec import Holdout
from asdbench.state import StateError, load_state, save_state
from asdbench.store import Store, file_stat

P = TypeVar("P", bound=Plugin)
Task = dict[str, Any]

SCORES, META = "scores.parquet", "meta.json"


class PluginError(UserError):
    """A plugin broke its contract."""


def carry_out(stage: str, key: str, label: str, task: Task, store: Store) -> None:
    """Carry out one unit and publish its artefact, unless the artefact is there already."""
    if store.has(key):
        return
    work: Callable[[Task, Store, Path], None] = _STAGES[stage]
    started = time.perf_counter()
    with store.publish(key, {"stage": stage, "label": label, "plugin": task.get("plugin")}) as folder:
        work(task, store, folder)
        if "clips" in task:
            _refuse_changed_files(store.path(task["clips"]))
        (folder / META).write_text(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))


def load_clips(store: Store, key: str) -> ClipSet:
    """The clip set of a "clips" or "generate" artefact."""
    folder = store.path(key)
    return ClipSet.load(folder / CLIPS, folder)


def _refuse_changed_files(folder: Path) -> None:
    """Check that the recordings of a clip set are those that were listed: what was computed counts for them only.

    Raises:
        UserError: names the first that changed.
    """
    if not (folder / FILES).exists():
        return  # the audio is part of the artefact
    for path, *stat in json.loads((folder / FILES).read_text()):
        if list(file_stat(path)) != stat:
            raise UserError(f"{path}: the file changed while the benchmark ran; run it again")


def _make_clips(task: Task, store: Store, folder: Path) -> None:
    dataset = _build(plugins.datasets, task)
    try:
        table = dataset.clips(task["machine"], folder)
        clips = ClipSet.from_files(table, dataset.sample_rate, dataset.channel)
    except UserError as error:  # a name that is still there when the message is read
        raise UserError(str(error).replace(f"{folder}{os.sep}", "")) from error
    assign_roles(clips, Holdout(**task["holdout"]))
    clips.save(folder / CLIPS, folder)


def _fit(task: Task, store: Store, folder: Path) -> None:
    detector = _build(plugins.detectors, task)
    detector.fit(_roles(task, store).fit)
    state = detector.get_state()
    try:
        save_state(state, folder)
    except StateError as error:
        raise PluginError(str(error)) from error


def _generate(task: Task, store: Store, folder: Path) -> None:
    generator = _build(plugins.generators, task)
    roles = _roles(task, store)
    sample_rate = roles.test.sample_rate or 0
    rows = _rows_to_make(roles, task["count"])
    made = iter(generator.generate(Request(rows=rows, pool=roles.pool, sample_rate=sample_rate)))
    labels: list[dict[str, Any]] = []
    for index, row in enumerate(_records(rows)):
        clip = next(made, None)
        if clip is None:
            raise PluginError(f"the generator made {index} clips, {len(rows)} were asked for")
        waveform = checked_waveform(clip, index, sample_rate)
        if clip.attributes is not None:
            row = {**row, "attributes": clip.attributes}
        clip_id = _generated_name(index, row)
        path = folder / clip_id
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, waveform, sample_rate, subtype="FLOAT")
        provenance = json_values(clip.provenance)
        labels.append({**row, "clip_id": clip_id, "path": str(path), "provenance": provenance})
    if next(made, None) is not None:
        raise PluginError(f"the generator made more clips than the {len(rows)} that were asked for")
    clips = ClipSet.from_files(labels, sample_rate, source=task["plugin"]["use"])
    clips.save(folder / CLIPS, folder)


def _score(task: Task, store: Store, folder: Path) -> None:
    detector = _build(plugins.detectors, task)
    detector.set_state(load_state(store.path(task["fit"])))
    if task["generated"]:
        clips = load_clips(store, task["generated"])
    else:
        # The training clips are scored too: decision thresholds are set on their scores.
        roles = _roles(task, store)
        clips = ClipSet.concat([roles.fit, roles.test])
    table = clips.frame[["clip_id", "content_hash", "machine", "section", "domain", "split", "condition"]].copy()
    table["score"] = checked_scores(detector.score(clips.without_labels()), len(clips)) if len(clips) else 0.0
    table.to_parquet(folder / SCORES, index=False)


_STAGES: dict[str, Callable[[Task, Store, Path], None]] = {
    "clips": _make_clips,
    "fit": _fit,
    "generate": _generate,
    "score": _score,
}


def checked_scores(scores: Any, expected: int) -> npt.NDArray[np.float64]:
    """Return the scores as float64.

    Raises:
        PluginError: they are not one finite number a clip.
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise PluginError(f"score() returned {type(scores).__name__}, expected an array of numbers") from None
    if array.shape != (expected,):
        raise PluginError(
            f"score() returned an array of shape {array.shape} for {expected} clips, expected ({expected},)"
        )
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise PluginError(
            f"score() returned {array[bad[0]]} for {len(bad)} of {expected} clips, expected finite numbers"
        )
    return array


def json_values(value: dict[str, Any]) -> dict[str, Any]:
    """Return a provenance with numpy numbers and arrays turned to JSON values.

    Raises:
        PluginError: it holds something that JSON cannot say.
    """

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise PluginError(f"provenance holds a {type(item).__name__}, expected JSON values")

    return cast(dict[str, Any], json.loads(json.dumps(value, default=plain)))


def checked_waveform(clip: GeneratedClip, index: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """Return the audio of a generated clip as float32.

    Raises:
        PluginError: it is not one channel of finite samples, or too short or silent.
    """
    waveform = np.asarray(clip.waveform, dtype=np.float32)
    if waveform.ndim != 1 or not len(waveform):
        raise PluginError(f"generated clip {index} has shape {waveform.shape}, expected (num_samples,)")
    flaw = audio.flaw(waveform[:, None], sample_rate)
    if flaw:
        raise PluginError(f"generated clip {index}: {flaw}")
    return waveform


def _rows_to_make(roles: Roles, count: int | None) -> pd.DataFrame:
    """What generators are asked for: anomalies with the labels of the real anomalous test clips.

    Where a machine has no anomalous test clip, the labels of its normal test clips are used.
    """
    for condition in ("anomaly", "normal", "unknown"):
        frame = roles.test.where(condition=condition).frame
        if len(frame):
            break
    else:
        raise UserError("there is no test clip whose labels a generated clip could take")
    frame = frame.sort_values("clip_id", kind="stable", ignore_index=True)
    frame = frame.iloc[np.arange(count or len(frame)) % len(frame)].reset_index(drop=True)
    rows = frame[["machine", "section", "domain", "attributes"]].assign(split="test", condition="anomaly")
    rows["clip_id"] = [_generated_name(index, row) for index, row in enumerate(_records(rows))]
    return rows


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _generated_name(index: int, row: Mapping[str, Any]) -> str:
    """A name in the form of DCASE Task 2, so that other tools read the folder."""
    attributes = "".join(f"_{key}_{value}" for key, value in row["attributes"].items())
    name = f"section_{row['section']}_{row['domain']}_test_{row['condition']}_{index:04d}{attributes}"
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
    return f"{row['machine']}/test/{safe.encode()[:_LONGEST_NAME].decode(errors='ignore')}.wav"


_LONGEST_NAME = 200  # bytes; file systems allow 255


def _roles(task: Task, store: Store) -> Roles:
    return assign_roles(load_clips(store, task["clips"]), Holdout(**task["holdout"]))


def _build(registry: Registry[type[P]], task: Task) -> P:
    entry = task["plugin"]
    kind = registry.get(entry["use"])
    if plugins.source_id(kind) != task["source"]:
        raise UserError(f"the code of '{entry['use']}' changed while the benchmark ran; run it again")
    plugin = kind(**entry["settings"])
    plugin.seed = task.get("seed", 0)
    return plugin

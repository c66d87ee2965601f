"""What each kind of unit does: read artefacts, call one plugin, publish one artefact."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asdbench import plugins
from asdbench.blind import checked_scores, dependence, score_blind
from asdbench.clips import ClipSet
from asdbench.errors import NotApplicableError, PluginError, UserError
from asdbench.execute.examining import find_copies, measure_quality
from asdbench.execute.job import Job, Progress, Task, build, load_clips, roles_of
from asdbench.exposure import refuse_leaks, training_clips, without_hidden
from asdbench.generation import name_rows, write_clips
from asdbench.near_copies import TRACES, traces
from asdbench.plan import CLIPS, FILES
from asdbench.plugins import Request, Training
from asdbench.roles import Roles, assign_roles
from asdbench.spec import Holdout
from asdbench.state import StateError, load_state, save_state
from asdbench.store import Store, StoreError, file_stat

SCORES, META = "scores.parquet", "meta.json"


def carry_out(stage: str, key: str, label: str, task: Task, store: Store, progress: Progress) -> None:
    """Carry out one unit and publish its artefact, unless the artefact is there already."""
    if store.has(key):
        return
    if stage != "train":
        _publish(stage, key, label, task, store, Path(), progress)
        return
    with store.work_folder(key) as work:
        if not store.has(key):  # else another process trained it while this one waited
            _publish(stage, key, label, task, store, work, progress)
        store.discard_work(key)


def _publish(stage: str, key: str, label: str, task: Task, store: Store, work: Path, progress: Progress) -> None:
    started = time.perf_counter()
    with store.publish(key, {"stage": stage, "label": label, "plugin": task.get("plugin")}) as folder:
        facts = _STAGES[stage](Job(task, store, folder, work, progress)) or {}
        listed = task.get("clips", [])
        for clips in [listed] if isinstance(listed, str) else listed.values() if listed else []:
            _refuse_changed_files(store.path(clips))
        facts |= {"seconds": round(time.perf_counter() - started, 3)}
        (folder / META).write_text(json.dumps(facts))


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


def _make_clips(job: Job) -> None:
    task, folder = job.task, job.folder
    dataset = build(plugins.datasets, task)
    try:
        table = dataset.clips(task["machine"], folder)
        clips = ClipSet.from_files(table, dataset.sample_rate, dataset.channel)
    except UserError as error:  # a name that is still there when the message is read
        raise UserError(str(error).replace(f"{folder}{os.sep}", "")) from error
    assign_roles(clips, Holdout(**task["holdout"]))
    clips.save(folder / CLIPS, folder)
    traces(clips).save(folder / TRACES)


def _fit(job: Job) -> None:
    detector = build(plugins.detectors, job.task)
    detector.fit(roles_of(job.task, job.store).fit)
    state = detector.get_state()
    try:
        save_state(state, job.folder)
    except StateError as error:
        raise PluginError(str(error)) from error


def _train(job: Job) -> None:
    generator = build(plugins.generators, job.task)
    clips = training_clips(
        (load_clips(job.store, key) for key in job.task["clips"].values()),
        Holdout(**job.task["holdout"]),
        job.task["exposure"],
        job.task["for"],
    )
    cache = job.store.cache_folder(generator.name)
    generator.train(Training(clips, job.folder, job.work, cache, job.task["exposure"], job.progress))


def _generate(job: Job) -> dict[str, Any]:
    """Have a generator make clips; a control that cannot is left out with its reason, since it never fails a run."""
    try:
        return _generated(job)
    except (PluginError, NotApplicableError, StoreError):
        raise
    except UserError as error:
        if job.task["whole_pool"]:  # of a control
            raise NotApplicableError(str(error)) from error
        raise


def _generated(job: Job) -> dict[str, Any]:
    task = job.task
    generator = build(plugins.generators, task)
    clips = load_clips(job.store, task["clips"])
    roles = assign_roles(clips, Holdout(**task["holdout"]))
    model = job.store.path(task["model"]) if task["model"] else None
    if generator.learns:
        refuse_leaks(generator.learnt_from(model), clips, roles, task["exposure"])
    machine = str(clips.frame["machine"].iat[0])
    pool = roles.pool if task["whole_pool"] else without_hidden(roles.pool, task["exposure"], machine)
    rows = _rows_to_make(roles, task["count"], task["normals"])
    request = Request(rows=rows, pool=pool, sample_rate=roles.test.sample_rate or 0, model=model)
    rows = rows.iloc[list(generator.met_rows(request))].reset_index(drop=True)
    request = replace(request, rows=rows)
    done = 0

    def on_clip() -> None:
        nonlocal done
        done += 1
        job.progress(done, len(rows), "")

    made = write_clips(generator, request, job.folder, on_clip)
    made.save(job.folder / CLIPS, job.folder)
    traces(made).save(job.folder / TRACES)
    return {"parameters": generator.parameters(model)}


def _score(job: Job) -> dict[str, Any]:
    task, store = job.task, job.store
    detector = build(plugins.detectors, task)
    detector.set_state(load_state(store.path(task["fit"])))
    if task["generated"]:
        clips = load_clips(store, task["generated"])
    else:
        # The training clips are scored too: decision thresholds are set on their scores.
        roles = roles_of(task, store)
        clips = ClipSet.concat([roles.fit, roles.test])
    table = clips.frame[["clip_id", "content_hash", "machine", "section", "domain", "split", "condition"]].copy()
    facts: dict[str, Any] = {}
    if not len(clips):
        table["score"] = 0.0
    elif detector.looks_up:
        found = np.asarray(detector.score(clips.for_lookup(*task["origin"])), dtype=np.float64)
        known = ~((table["split"] == "train") & np.isnan(found))
        table = table[known].assign(score=checked_scores(found[known], int(known.sum())))
    else:
        scores = score_blind(detector, clips)
        table["score"] = scores
        if not task["generated"]:  # once a fit is enough
            facts["dependence"] = [vars(found) for found in dependence(detector, clips, scores)]
    table.to_parquet(job.folder / SCORES, index=False)
    return facts


_STAGES: dict[str, Callable[[Job], dict[str, Any] | None]] = {
    "clips": _make_clips,
    "fit": _fit,
    "train": _train,
    "generate": _generate,
    "score": _score,
    "quality": measure_quality,
    "copies": find_copies,
}
"""What each stage does; what a stage returns is kept beside the time it took."""


def _rows_to_make(roles: Roles, count: int | None, normals: bool) -> pd.DataFrame:
    """What generators are asked for: anomalies with the labels of the real anomalous test clips, and normal clips.

    Where a machine has no anomalous test clip, the labels of its normal test clips are used.

    Args:
        roles: has the test clips.
        count: clips of each condition; None for as many as there are real ones.
        normals: ask for normal clips too.
    """
    rows = _rows_like(roles, ("anomaly", "normal", "unknown"), count).assign(condition="anomaly")
    if normals and len(roles.test.where(condition="normal")):
        rows = pd.concat([rows, _rows_like(roles, ("normal",), count).assign(condition="normal")], ignore_index=True)
    return name_rows(rows)


def _rows_like(roles: Roles, conditions: tuple[str, ...], count: int | None) -> pd.DataFrame:
    """Labels of the test clips of the first condition that there is, in turn."""
    for condition in conditions:
        frame = roles.test.where(condition=condition).frame
        if len(frame):
            break
    else:
        raise UserError("there is no test clip whose labels a generated clip could take")
    frame = frame.sort_values("clip_id", kind="stable", ignore_index=True)
    frame = frame.iloc[np.arange(count or len(frame)) % len(frame)].reset_index(drop=True)
    return frame[["machine", "section", "domain", "attributes"]].assign(split="test")

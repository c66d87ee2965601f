"""What `asdbench train` does: a generator or a part of one learns from recordings, its model is put into a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean
from asdbench.exposure import without_hidden
from asdbench.folders import locked, remove_abandoned, temporary_folder
from asdbench.plugins import Generator, Part, Training
from asdbench.progress import Progress
from asdbench.spec import Exposure, LoadedSpec, build_named
from asdbench.store import disk_errors

WORK = "training"
"""Folder beside the model: checkpoints, logs and pictures of the training."""


def generator_for_training(name: str, loaded: LoadedSpec | None, assignments: Iterable[str]) -> Generator:
    """The generator that is to be trained.

    Args:
        name: of a plugin; with a benchmark also the name of one of its generators, whose settings are taken.
        loaded: the benchmark.
        assignments: further settings, as ``NAME=VALUE``.

    Raises:
        UserError: there is no such generator, it does not learn, or it has a finished model already.
    """
    entries = loaded.spec.generators if loaded is not None else {}
    generator = build_named(plugins.generators, name, entries, assignments)
    if not generator.learns:
        raise UserError(f"the generator '{generator.name}' does not learn, so it cannot be trained")
    if not generator.needs_training():
        raise UserError(
            f"the settings of the generator '{generator.name}' name a finished model; leave it out to train another"
        )
    generator.inputs()  # what is missing is said before any recording is read
    return generator


def lesson(clips: ClipSet, exposure: Exposure, target: str | None) -> ClipSet:
    """The clips that a generator may learn from.

    Args:
        clips: real clips.
        exposure: whose anomalies are among them.
        target: with exposure "other-machines" the machine that the model is for.

    Raises:
        UserError: a target is missing, unknown or pointless.
    """
    machines = sorted(clips.frame["machine"].unique())
    if (target is None) == (exposure == "other-machines"):
        word = "a model for each machine: name it with --for" if target is None else "one model for all, without --for"
        raise UserError(f"exposure '{exposure}' takes {word}")
    if target is not None and target not in machines:
        raise UserError(f"--for {target}: there is no such machine{did_you_mean(target, machines)}")
    return without_hidden(clips, exposure, target)


def train(
    learner: Generator | Part, clips: ClipSet, exposure: Exposure, out: Path, cache: Path, progress: Progress, seed: int
) -> bool:
    """Train a generator or a part of one; an interrupted training in the same folder goes on.

    Args:
        learner: what learns.
        clips: what it learns from.
        exposure: whose anomalies are among the clips.
        out: folder of the model; what the training works with is in its subfolder ``training``.
        cache: see `asdbench.plugins.Training`.
        progress: shows how far it is.
        seed: of the training.

    Returns:
        Whether this process wrote the model.

    Raises:
        UserError: the folder holds something else, or nothing can be learnt from the clips.
    """
    work = out / WORK
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder for the model, found a file")
    if out.is_dir() and any(out.iterdir()) and not work.is_dir():
        raise UserError(f"{out}: expected no folder, an empty one, or one with a training, but it holds other files")
    learner.seed = seed
    with disk_errors(out):
        work.mkdir(parents=True, exist_ok=True)
        remove_abandoned(work)
    if int(os.environ.get("RANK", "0")):  # of several processes of one training, the first one writes the model
        with temporary_folder(work) as folder:
            learner.train(Training(clips, folder, work, cache, exposure))
        return False
    with (
        locked(work / ".lock"),
        temporary_folder(work) as folder,
        progress.track(f"train {learner.name}") as tell,
    ):
        model = folder / "model"
        model.mkdir()
        learner.train(Training(clips, model, work, cache, exposure, tell))
        with disk_errors(out):
            _move(model, out)
    return True


def _move(model: Path, out: Path) -> None:
    """Put the files of a model in place of those of an earlier one."""
    for path in out.iterdir():
        if path.name != WORK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in model.iterdir():
        path.rename(out / path.name)

"""Scoring blind: what a detector is shown of the clips that it scores, and in what order.

Names, places and order of recordings tell their labels. So a detector gets copies of the clips in a folder of their
own, under names and in an order that follow from a hash of the audio, and a table that tells machine, section and audio
format alone. It gets them in batches of much the same size, whatever set is scored, so that the place in a batch says
nothing of the set either. A detector whose scores depend on its batch or on the order is found out by `dependence`.

Nothing that can be reached from the clip set leads back to labels. A detector runs in this process all the same: one
that searches the process or the disk for labels is not stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench.clips import ClipSet
from asdbench.errors import PluginError, UserError
from asdbench.folders import remove_abandoned, temporary_folder
from asdbench.plugins import Detector

BATCH = 16
"""Clips of a batch, about: batches of one set are equal to within a clip."""
_BATCH_BYTES = 2**28
"""The files of a batch are not much larger than this, where one clip is not."""
PROBED = 8
"""Clips that are scored again by `dependence`."""
_SCALE_TOLERANCE, _SPREAD_TOLERANCE = 1e-6, 1e-3
"""Scores that differ by less than this part of the largest score, or of the scores' standard deviation, are the same:
libraries choose other kernels for other batch sizes."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dependence:
    """What the score of a clip depends on beside the clip and what was learnt.

    Attributes:
        on: "call" (the same clips get other scores when they are scored again), "order" or "batch".
        difference: the largest between two scores of a clip, in standard deviations of all scores; NaN where a clip
            cannot be scored at all.
        clip_id: that clip.
        reason: one sentence.
    """

    on: str
    difference: float
    clip_id: str
    reason: str


def score_blind(detector: Detector, clips: ClipSet, advance: Callable[[int], None] = lambda count: None) -> Scores:
    """Have a detector score clips of which it knows nothing.

    Args:
        detector: fitted.
        clips: with their labels.
        advance: called with the number of clips scored since the last call.

    Returns:
        One score a clip, shape (len(clips),), in the order of ``clips``.

    Raises:
        PluginError: the detector does not give one finite number a clip.
        UserError: a clip cannot be read.
        Exception: whatever the detector raises; hidden names in it are replaced by the true ones.
    """
    scores = np.empty(len(clips))
    for rows in batches(clips):
        scores[rows] = _score(detector, clips.select(rows))
        advance(len(rows))
    return scores


def batches(clips: ClipSet) -> list[npt.NDArray[np.intp]]:
    """Positions of the clips that are scored together, in the order of their hashes."""
    order = blind_order(clips)
    frame = clips.frame
    size = 4 * float((frame["num_samples"].astype(float) * frame["channels"].astype(float)).sum())  # float32
    count = max(round(len(order) / BATCH), int(np.ceil(size / _BATCH_BYTES)), 1)
    return [part for part in np.array_split(order, min(count, max(len(order), 1))) if len(part)]


def blind_order(clips: ClipSet) -> npt.NDArray[np.intp]:
    """Positions of clips by hash of their audio; a hash of their names decides among clips of the same audio."""
    keys = [
        (_digest(content), _digest(name))
        for content, name in zip(clips.frame["content_hash"], clips.frame["clip_id"], strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)


def hidden_copies(clips: ClipSet, folder: Path) -> ClipSet:
    """Copy clips, in their order, to a folder under names that tell nothing, and return the copies as a clip set.

    The table has nothing but machine, section and audio format: neither condition, domain nor attributes may be used
    of a clip that is scored, as in DCASE Task 2 from 2022 on.

    Raises:
        UserError: a file cannot be read or copied; the message names it.
    """
    import pandas as pd

    frame = clips.frame
    names, seen = [], dict[str, int]()
    for row in blind_order(clips):
        digest = _digest(str(frame["content_hash"].iat[row] or frame["clip_id"].iat[row]))
        seen[digest] = seen.get(digest, 0) + 1
        names.append((int(row), f"{digest}-{seen[digest]}"))
    ids = [name for _, name in sorted(names)]
    files = [str(folder / f"{name}{Path(clips.file(row)).suffix.lower()}") for row, name in enumerate(ids)]
    for row, file in enumerate(files):
        _copy(clips.file(row), file)
    # A table that is made anew: one that is derived may still hold the columns of the old one in its memory.
    told = {name: frame[name].tolist() for name in ("machine", "section", "sample_rate", "channels", "num_samples")}
    hidden = dict.fromkeys(("domain", "split", "condition", "source"), "unknown")
    table = pd.DataFrame({"clip_id": ids, "path": files, "group": ids, **told}).assign(
        content_hash="", heard_hash="", **hidden
    )
    for name in ("attributes", "provenance"):
        table[name] = pd.Series([{} for _ in ids], dtype=object)
    return ClipSet(table[list(frame.columns.intersection(table.columns))], clips.sample_rate, clips.channel)


def dependence(detector: Detector, clips: ClipSet, scores: Scores) -> list[Dependence]:
    """Find out whether a detector's scores depend on order and batch, by scoring a few clips again.

    The clips are scored together, together in reverse order, and each alone.

    Args:
        detector: has scored the clips.
        clips: with their labels.
        scores: what `score_blind` gave.
    """
    order = blind_order(clips)
    probe = clips.select(order[:PROBED])
    if not len(probe):
        return []
    told = _Differences(probe, scores)
    try:
        together = _score(detector, probe)
        reversed_ = _score(detector, probe.select(np.arange(len(probe))[::-1]))[::-1]
        changed = told.found("order", together, reversed_)
        if changed:  # or does it so in the same order, too?
            changed = told.found("call", together, _score(detector, probe)) or changed
        alone = np.concatenate([_score(detector, probe.select([row])) for row in range(len(probe))])
    except Exception as error:
        reason = f"clips that were scored among others cannot be scored by themselves: {type(error).__name__}: {error}"
        return [Dependence("batch", float("nan"), str(probe.frame["clip_id"].iat[0]), reason)]
    if changed and changed[0].on == "call":
        return changed
    return changed + (told.found("batch", scores[order[:PROBED]], alone) or told.found("batch", together, alone))


_SAID = {
    "call": "when the clips are scored again in the same way",
    "order": "when the clips come in reverse order",
    "batch": "when it is scored alone",
}


class _Differences:
    """Judges differences between scores of the same clips."""

    def __init__(self, probe: ClipSet, scores: Scores) -> None:
        self._names = probe.frame["clip_id"].tolist()
        self._spread = float(scores.std())
        self._allowed = max(_SCALE_TOLERANCE * float(np.abs(scores).max()), _SPREAD_TOLERANCE * self._spread)

    def found(self, on: str, first: Scores, second: Scores) -> list[Dependence]:
        """One dependence where any clip has two scores, else none."""
        apart = np.abs(first - second)
        top = int(apart.argmax())
        if apart[top] <= self._allowed:
            return []
        difference = float(apart[top]) / self._spread if self._spread else float("inf")
        count = int((apart > self._allowed).sum())
        reason = (
            f"{count} of {len(apart)} clips have another score {_SAID[on]}; the largest change is from "
            f"{first[top]:.6g} to {second[top]:.6g}"
        )
        return [Dependence(on, difference, self._names[top], reason)]


def _score(detector: Detector, clips: ClipSet) -> Scores:
    """Scores of one batch."""
    with _hidden(clips) as hidden:
        try:
            return checked_scores(detector.score(hidden), len(clips))
        except Exception as error:
            _name(error, hidden, clips)
            raise


@contextmanager
def _hidden(clips: ClipSet) -> Iterator[ClipSet]:
    # A folder that has nothing to do with the store, where labels lie.
    place = Path(tempfile.gettempdir()) / f"asdbench-{os.getuid() if hasattr(os, 'getuid') else 'scoring'}"
    with ExitStack() as stack:
        try:
            remove_abandoned(place)
            folder = stack.enter_context(temporary_folder(place))
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write to {place}: {reason}; TMPDIR can name another folder") from None
        yield hidden_copies(clips, folder)


def _copy(file: str, to: str) -> None:
    try:
        shutil.copyfile(file, to)  # neither times nor links: these would tell where it comes from
    except FileNotFoundError:
        raise UserError(f"{file}: the file does not exist") from None
    except OSError as error:
        raise UserError(
            f"{file}: the file cannot be copied to {Path(to).parent} to be scored ({error.strerror or error}); TMPDIR "
            "can name another folder"
        ) from None


def _name(error: Exception, hidden: ClipSet, clips: ClipSet) -> None:
    """Put the true names into an error."""

    def named(text: str) -> str:
        for row in range(len(clips)):
            text = text.replace(hidden.file(row), clips.file(row))
            text = text.replace(str(hidden.frame["clip_id"].iat[row]), str(clips.frame["clip_id"].iat[row]))
        return text

    error.args = tuple(named(item) if isinstance(item, str) else item for item in error.args)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = named(error.filename)


def _digest(text: str) -> str:
    return hashlib.blake2b(f"blind {text}".encode(), digest_size=16).hexdigest()


def checked_scores(scores: Any, expected: int) -> Scores:
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

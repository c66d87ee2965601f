"""Scoring recordings with a fitted detector, a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from asdbench.audio import AUDIO_SUFFIXES, inspect_all
from asdbench.blind import batches, score_blind
from asdbench.clips import ClipSet
from asdbench.datasets.dcase.names import parse_name, stem
from asdbench.datasets.listing import tell_of_unread, walk
from asdbench.errors import UserError, warn
from asdbench.fitted.record import Record
from asdbench.inspection import BadClipsError, bad_clips, notes_on, skipped_note
from asdbench.plugins import Detector
from asdbench.progress import Progress


def listed(source: Path, record: Record, progress: Progress, skip_bad_clips: bool = False) -> ClipSet:
    """The recordings of a folder and of the folders in it, or one recording, as a detector is to hear them.

    Every file is checked before any is scored. What is worth knowing of them is said in warnings.

    Args:
        source: the folder or file.
        record: of the detector: how recordings are read.
        progress: shows how far it is.
        skip_bad_clips: leave those out that cannot be used, with a warning that names them.

    Raises:
        UserError: there are none, or some cannot be used; the message names them.
    """
    source = source.expanduser()
    if not source.exists():
        raise UserError(f"{source}: no such file or folder, expected recordings")
    files = {source.name: str(source)}
    if source.is_dir():
        folders = walk(source.absolute())
        tell_of_unread(folders)
        files = {folder.clip_id(name): folder.file(name) for folder in folders for name in folder.audio}
        if not files:
            raise UserError(f"{source}: no recordings in it, expected files that end in {', '.join(AUDIO_SUFFIXES)}")
    names = sorted(files)
    sections = record.fitted.sections
    rows = [
        {
            "clip_id": name,
            "path": files[name],
            "machine": record.fitted.machine,
            "section": _section(name) or (sections[0] if len(sections) == 1 else "00"),
            "domain": "unknown",
            "split": "test",
            "condition": "unknown",
            "attributes": {},
        }
        for name in names
    ]
    paths = [files[name] for name in names]
    with progress.steps("checking recordings", len(names), "file") as steps:
        infos = list(inspect_all(paths, steps.advance))
    rate, channel = record.audio.sample_rate, record.audio.channel
    bad = bad_clips(paths, infos, channel, rate)
    if bad and (len(bad) == len(paths) or not skip_bad_clips):
        raise BadClipsError(bad)
    if bad:
        warn(skipped_note(bad))
    useless = {one.path for one in bad}
    kept = [position for position, path in enumerate(paths) if path not in useless]
    rows, infos = [rows[position] for position in kept], [infos[position] for position in kept]
    for note in notes_on([paths[position] for position in kept], infos, rate):
        warn(note)
    return ClipSet.from_files(rows, rate, channel, infos=infos)


def score_clips(plugin: Detector, clips: ClipSet, progress: Progress) -> npt.NDArray[np.float64]:
    """The scores of clips, shape (len(clips),); they are scored blind, as in a benchmark.

    As in a benchmark there is one compute thread, so that the scores are the same to the last digit.

    Raises:
        UserError: a clip cannot be scored; the message names it where it is to blame.
        PluginError: the detector does not give one finite number a clip.
    """
    from asdbench.execute.local import one_thread

    scores = np.empty(len(clips))
    with one_thread(), progress.steps("scoring", len(clips), "recording") as steps:
        for rows in batches(clips):
            scores[rows] = _scores(plugin, clips.select(rows))
            steps.advance(len(rows))
    return scores


def _scores(plugin: Detector, clips: ClipSet) -> npt.NDArray[np.float64]:
    try:
        return score_blind(plugin, clips)
    except UserError:
        raise
    except Exception as error:
        reason = f"'{plugin.name}' failed: {type(error).__name__}: {error}"
        if len(clips) == 1:
            raise UserError(f"{clips.file(0)}: {reason}") from error
        for row in range(len(clips)):  # which one is it?
            _scores(plugin, clips.select([row]))
        raise UserError(f"{clips.file(0)} and {len(clips) - 1} other recordings together: {reason}") from error


def _section(name: str) -> str:
    """The section that a file's name says, as those of DCASE Task 2 do; "" for other names."""
    found = parse_name(stem(name))
    return found.section if found is not None else ""

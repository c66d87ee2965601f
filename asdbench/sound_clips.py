"""From the tables of clips that a dataset lists to clips whose audio is known, sound and divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.audio import AudioInfo, Channel
from asdbench.audio_hash import hashes_of
from asdbench.clips import GROUP, ClipSet, refuse_bad_names
from asdbench.copies import groups_with_copies, note_on_copies, refuse_contradictions
from asdbench.errors import NotApplicableError, UserError, warn
from asdbench.inspection import BadClip, BadClipsError, bad_clips, notes_on, skipped_note
from asdbench.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.plugins import Dataset

Inspect = Callable[[Sequence[str], Callable[[int], None]], Sequence[AudioInfo]]
"""Inspects files, and calls its second argument with the number of files done since the last call."""
Hashes = Callable[[Sequence[str], Sequence[AudioInfo], int | None, Channel], list[str]]
"""Hashes the audio that is read of files that were inspected, at a sample rate and of a channel; see `audio_hash`."""


@dataclass(frozen=True)
class SoundClips:
    """Clips that can be used.

    Attributes:
        sets: by machine.
        skipped: what was left out of each machine because it cannot be used.
        left_out: why a machine has no clips that a detector could learn from, by machine.
    """

    sets: dict[str, ClipSet]
    skipped: dict[str, list[BadClip]]
    left_out: dict[str, str]


def sound_clips(
    machines: Sequence[str],
    dataset: Dataset,
    inspect: Inspect,
    folder: Path,
    progress: Progress,
    hashes: Hashes = hashes_of,
) -> SoundClips:
    """List, inspect and divide the clips of machines; those without normal clips are left out.

    Args:
        machines: machine types of the dataset.
        dataset: lists and divides the clips.
        inspect: opens the files.
        folder: see `asdbench.plugins.Dataset.clips`.
        progress: shows how far that is.
        hashes: of the audio that is read.

    Raises:
        BadClipsError, UserError: as `listed_sound_clips`, or no machine is left.
    """
    tables, left_out = {}, {}
    for machine in machines:
        try:
            tables[machine] = dataset.clips(machine, folder)
        except NotApplicableError as error:
            left_out[machine] = str(error)
    if left_out and not tables:
        raise UserError("; ".join(left_out.values()))
    sound = listed_sound_clips(tables, dataset, inspect, progress, hashes)
    return replace(sound, left_out=left_out | sound.left_out)


def tell_of_left_out(left_out: Mapping[str, str]) -> None:
    """Say which machines are left out, and why."""
    for reason in left_out.values():
        warn(f"{reason}; the other machines are used")


def listed_sound_clips(
    tables: Mapping[str, pd.DataFrame],
    dataset: Dataset,
    inspect: Inspect,
    progress: Progress,
    hashes: Hashes = hashes_of,
    *,
    divided: bool = True,
) -> SoundClips:
    """Inspect the clips of all machines, and divide those that can be used.

    What is true of many files, such as a wrong length in the header, is said in one sentence on standard error.

    Args:
        tables: what the dataset lists, by machine.
        dataset: says how clips are read and divided, and whether those that cannot be used are left out.
        inspect: opens the files.
        progress: shows how far that is.
        hashes: of the audio that is read.
        divided: False to leave clips in training and test as they are listed.

    Raises:
        BadClipsError: clips cannot be used, and the dataset does not leave them out.
        UserError: audio is labelled normal and anomalous, or a clip is malformed.
    """
    paths = {machine: [str(path) for path in table["path"]] for machine, table in tables.items()}
    everything = [path for some in paths.values() for path in some]
    refuse_bad_names(everything)
    with progress.steps("checking recordings", len(everything), "file") as steps:
        infos = dict(zip(everything, inspect(everything, steps.advance), strict=True))
    bad = {
        machine: bad_clips(some, [infos[path] for path in some], dataset.channel, dataset.sample_rate)
        for machine, some in paths.items()
    }
    all_bad = [one for some in bad.values() for one in some]
    if all_bad and not dataset.skips_bad_clips():
        raise BadClipsError(all_bad)
    if all_bad:
        warn(skipped_note(all_bad))
    useless = {one.path for one in all_bad}
    good = [path for path in everything if path not in useless]
    for note in notes_on(good, [infos[path] for path in good], dataset.sample_rate):
        warn(note)
    sets, left_out = {}, {}
    for machine, table in tables.items():
        kept = table[~table["path"].astype(str).isin(useless)].reset_index(drop=True)
        if len(table) and not len(kept):
            left_out[machine] = f"none of the {len(table)} recordings of machine '{machine}' can be used"
            continue
        own = [infos[str(path)] for path in kept["path"]]
        audio = hashes([str(path) for path in kept["path"]], own, dataset.sample_rate, dataset.channel)
        sets[machine] = ClipSet.from_files(kept, dataset.sample_rate, dataset.channel, infos=own, audio_hashes=audio)
    refuse_contradictions(clips.frame for clips in sets.values())
    if copies := note_on_copies(clips.frame for clips in sets.values()):
        warn(copies)
    for machine, clips in list(sets.items()) if divided else ():
        try:
            sets[machine] = _divided(machine, clips, dataset)
        except NotApplicableError as error:
            left_out[machine] = str(error)
            del sets[machine]
    if left_out and not sets:
        raise UserError("; ".join(left_out.values()))
    return SoundClips(sets, {machine: some for machine, some in bad.items() if some}, left_out)


def _divided(machine: str, clips: ClipSet, dataset: Dataset) -> ClipSet:
    """The clips with copies in one group, divided by the dataset."""
    if not len(clips):
        return clips
    frame = clips.frame.assign(**{GROUP: groups_with_copies(clips.frame)})
    return ClipSet(frame.assign(split=dataset.divide(machine, frame)), clips.sample_rate, clips.channel)

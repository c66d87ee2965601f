"""Clips of DCASE Task 2 as names and folders describe them, and the checks that they belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from asdbench import UserError
from asdbench.datasets.dcase.names import ClipName
from asdbench.datasets.dcase.tree import Place
from asdbench.datasets.listing import Folder
from asdbench.downloads.catalogue import collection
from asdbench.errors import did_you_mean

Row = dict[str, Any]
"""A row of the table of clips, with the columns of `asdbench.clips.LABELS`; "" stands for what is not known yet."""


class Clip(NamedTuple):
    """One file with what its name and its folder say of it."""

    folder: Folder
    place: Place
    file_name: str
    stem: str
    name: ClipName

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self.folder.file(self.file_name)

    @property
    def split(self) -> str:
        """The split, or "" where neither says it; anonymous clips are test clips, wherever they stand."""
        return self.name.split or self.place.split or ("" if self.name.condition else "test")

    @property
    def domain(self) -> str:
        """The domain, or "" where neither says it."""
        return self.name.domain or self.place.domain


@dataclass
class MachineClips:
    """The clips of one machine type, and the audio files beside them whose names follow no scheme."""

    clips: list[Clip] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


def check_year(year: int, found: dict[str, MachineClips], root: Path) -> None:
    """Refuse clips and machine types that the challenge of ``year`` does not have."""
    machines = collection(f"dcase{year}").machines
    for machine, content in found.items():
        for clip in content.clips:
            if clip.name.by_id != (year == 2020):
                other = "2020" if clip.name.by_id else "2021 and later"
                raise UserError(f"{clip.path}: year {year} was asked for, but this is a name of {other}")
            if clip.place.domain and year > 2021:
                raise UserError(f"{clip.path}: year {year} was asked for, but such folders are of 2021")
        if machine not in machines:
            raise UserError(
                f"data root {root} holds the machine '{machine}', which DCASE {year} Task 2 does not have"
                f"{did_you_mean(machine, machines)}"
            )


def refuse_mixed_years(machine: str, clips: Iterable[Clip]) -> None:
    """Refuse clips from folders that name different years: their sections would be mixed up."""
    folders = {clip.place.year: clip.folder.path for clip in clips if clip.place.year is not None}
    if len(folders) > 1:
        places = " and ".join(f"{folders[year]} ({year})" for year in sorted(folders))
        raise UserError(f"machine '{machine}' stands in data of several years, {places}; choose one with 'year'")


def refuse_repeated_names(machine: str, clips: Iterable[Clip]) -> None:
    """The same names in two folders are two copies, or two data sets that do not belong together."""
    seen: dict[tuple[str, str], Clip] = {}
    for clip in clips:
        twin = seen.setdefault((clip.split, clip.stem), clip)
        if twin is not clip:
            raise UserError(
                f"machine '{machine}': {twin.path} and {clip.path} have the same name; choose a root that holds only "
                "one of these folders"
            )


def without_anonymous_twins(clips: list[Clip]) -> list[Clip]:
    """Leave out test clips that stand in a ``test_rename`` folder too, under their full names.

    Raises:
        UserError: a section was renamed in part only, so that dropping the anonymous clips would lose some.
    """
    renamed = defaultdict(list)
    for clip in clips:
        if clip.place.renamed:
            renamed[clip.name.section].append(clip)
    twins = defaultdict(list)
    for clip in clips:
        if clip.name.section in renamed and not clip.place.renamed and clip.split == "test" and not clip.name.condition:
            twins[clip.name.section].append(clip)
    for section, anonymous in twins.items():
        named = renamed[section]
        if len(named) != len(anonymous):
            raise UserError(
                f"section {section}: {named[0].folder.path} holds {len(named)} clips with full names, but "
                f"{anonymous[0].folder.path} holds {len(anonymous)} anonymous ones; rename all or remove the former"
            )
    left_out = {clip.path for anonymous in twins.values() for clip in anonymous}
    return [clip for clip in clips if clip.path not in left_out]


def label(clip: Clip) -> Row:
    """Return the row of a clip; what neither name nor folder says is "".

    Raises:
        UserError: name and folder contradict each other, or it is not clear that a training clip is normal.
    """
    for what, in_name, in_folder in (
        ("split", clip.name.split, clip.place.split),
        ("domain", clip.name.domain, clip.place.domain),
    ):
        if in_name and in_folder and in_name != in_folder:
            raise UserError(
                f"{clip.path}: the {what} is '{in_name}' in the name but '{in_folder}' in the folder's name"
            )
    if not clip.split:
        raise UserError(f"{clip.path}: neither name nor folder says whether this clip is for training or test")
    if clip.split == "train" and clip.name.condition != "normal":
        raise UserError(f"{clip.path}: expected a normal clip for training, but the name does not say 'normal'")
    return {
        "clip_id": clip.folder.clip_id(clip.file_name),
        "path": clip.path,
        "machine": clip.place.machine,
        "section": clip.name.section,
        "domain": "none" if clip.name.by_id else clip.domain,
        "split": clip.split,
        "condition": clip.name.condition,
        "attributes": clip.name.attributes,
    }

"""Truth of scored clips: from their names, and from truth files above the scores or in a folder that is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench import UserError
from asdbench.challenge.score_files import Entry
from asdbench.challenge.systems import ScoredPart, System, refuse_differences
from asdbench.datasets.dcase.names import ClipName, parse_name
from asdbench.datasets.dcase.truth import ClipTruth, Truth, read_truth, truth_files
from asdbench.datasets.listing import Folder, walk

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("machine", "section", "domain", "condition", "clip", "score", "decision")
"""Columns of the table of a system's clips; ``decision`` is NaN where nothing was decided."""


@dataclass(frozen=True)
class Truths:
    """Truth files by the folder that they stand in (for ``ground_truth_…`` folders, the one above).

    Attributes:
        by_folder: what they say.
        everywhere: folders whose files count for every system.
    """

    by_folder: dict[Path, Truth]
    everywhere: frozenset[Path]

    def of(self, system: System) -> tuple[Truth, Path | None]:
        """The truth that counts for a system, and whose it is: that of the nearest folder at or above the system's."""
        for folder in (system.folder, *system.folder.parents):
            if folder in self.by_folder and folder not in self.everywhere:
                return self.by_folder[folder], folder
        merged: Truth = {}
        for folder in sorted(self.everywhere):
            for machine, clips in self.by_folder[folder].items():
                merged.setdefault(machine, {}).update(clips)
        return merged, None


def find_truths(folders: Sequence[Folder], given: Path | None, systems: Sequence[System]) -> Truths:
    """Read the truth files of an evaluation.

    Args:
        folders: what is at and below the folder that is evaluated.
        given: a folder with truth files, which then count for all systems in place of those found.
        systems: what is evaluated. Truth in a folder that holds no system counts for all of them.

    Raises:
        UserError: a file is malformed, or ``given`` holds none.
    """
    if given is not None:
        found = truth_files(walk(given))
        if not found:
            raise UserError(
                f"{given}: there is no truth file; expected "
                "ground_truth_data/ground_truth_<machine>_section_<ss>_test.csv or eval_data_list.csv"
            )
        return Truths({given: read_truth(found, any_names=True)}, frozenset({given}))
    grouped: dict[Path, list[tuple[Folder, str]]] = {}
    for folder, name in truth_files(folders):
        grouped.setdefault(_anchor(folder), []).append((folder, name))
    homes = {parent for system in systems for parent in (system.folder, *system.folder.parents)}
    by_folder = {anchor: read_truth(files, any_names=True) for anchor, files in grouped.items()}
    return Truths(by_folder, frozenset(by_folder) - homes)


def _anchor(folder: Folder) -> Path:
    path = Path(folder.path)
    for step in (path, path.parent):  # attributes of 2022 stand one folder deeper
        if step.name.lower().startswith("ground_truth_"):
            return step.parent
    return path


def clip_tables(systems: Sequence[System], truths: Truths, with_domains: bool) -> dict[str, pd.DataFrame]:
    """The labelled clips of each system, with `COLUMNS`, by its name.

    Args:
        systems: what was read.
        truths: what is known beside the clips' names.
        with_domains: whether every clip has to have a domain, as from 2021 on.

    Raises:
        UserError: a clip's condition or domain is not known, name and truth contradict each other, or clips are missing
            that the truth or another system on the same test set has.
    """
    from asdbench.frames import frame_of

    tables: dict[str, pd.DataFrame] = {}
    seen: dict[tuple[Path | None, str, str, str], ScoredPart] = {}
    for system in systems:
        truth, home = truths.of(system)
        rows: list[dict[str, Any]] = []
        for part in system.parts:
            name = part.name
            first = seen.setdefault((home, name.machine, name.section, name.domain), part)
            if first is not part:
                refuse_differences(part.scores, str(part.path), first.scores, str(first.path))
            known = truth.get(name.machine, {})
            rows += [_labelled(part, clip, entry, known.get(clip), with_domains) for clip, entry in part.scores.items()]
        _refuse_missing(system, truth)
        tables[system.name] = frame_of(rows, COLUMNS).sort_values(["machine", "section", "clip"], ignore_index=True)
    return tables


def _labelled(part: ScoredPart, clip: str, entry: Entry, truth: ClipTruth | None, with_domains: bool) -> dict[str, Any]:
    name = parse_name(clip) or ClipName(False, "")
    condition = _value("condition", entry, {"name": name.condition}, truth)
    if not condition:
        raise UserError(
            f"{entry.place}: neither the name of the clip '{entry.name}' nor a truth file says whether it is normal; "
            "give --truth a folder that holds ground_truth_data"
        )
    domain = "none"
    if with_domains:
        domain = _value("domain", entry, {"name": name.domain, "file's name": part.name.domain}, truth)
        if not domain:
            raise UserError(
                f"{entry.place}: neither the name of the clip '{entry.name}' nor a truth file says its domain; "
                "give --truth a folder that holds ground_truth_domain"
            )
    decision = float("nan") if part.decisions is None else part.decisions[clip].value
    own = {"machine": part.name.machine, "section": part.name.section, "domain": domain, "condition": condition}
    return own | {"clip": entry.name, "score": entry.value, "decision": decision}


def _value(what: str, entry: Entry, told: dict[str, str], truth: ClipTruth | None) -> str:
    """What name, file and truth say of a clip; "" where none does."""
    by_truth, place = truth.values.get(what, ("", "")) if truth is not None else ("", "")
    for whose, value in told.items():
        if value and by_truth and value != by_truth:
            raise UserError(
                f"{entry.place}: the {what} of '{entry.name}' is '{value}' by the {whose}, but '{by_truth}' by {place}"
            )
    return next((value for value in told.values() if value), by_truth)


def _refuse_missing(system: System, truth: Truth) -> None:
    """Check that every clip of the truth is scored, of the machines that the system scored at all."""
    scored: dict[str, set[str]] = {}
    for part in system.parts:
        scored.setdefault(part.name.machine, set()).update(part.scores)
    for machine, clips in scored.items():
        listed = _with_condition(truth.get(machine, {}).items())
        missing = [clip for clip in listed if clip not in clips]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            place = listed[missing[0]]
            path = _file_of(system, machine, missing[0])
            raise UserError(f"{path}: the clip '{missing[0]}', which is in {place}, is missing{more}")
        sections = {_section(clip) for clip in listed}
        for part in system.parts:
            for clip, entry in part.scores.items() if part.name.machine == machine else ():
                if clip not in listed and _section(clip) in sections:
                    raise UserError(f"{entry.place}: the clip '{entry.name}' is not in the truth of {machine}")


def _with_condition(clips: Iterable[tuple[str, ClipTruth]]) -> dict[str, str]:
    return {clip: known.values["condition"][1] for clip, known in clips if "condition" in known.values}


def _section(clip: str) -> str:
    name = parse_name(clip)
    return "" if name is None else name.section


def _file_of(system: System, machine: str, clip: str) -> Path:
    """The file in which a clip would stand."""
    name = parse_name(clip)
    mine = [part for part in system.parts if part.name.machine == machine]
    likely = [part for part in mine if name is not None and name.section == part.name.section]
    return (likely or mine)[0].path

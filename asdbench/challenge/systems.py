"""Finding the systems in a folder of score files: which files are one system's, and that they belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asdbench import UserError
from asdbench.challenge.file_names import DECISIONS, EXPECTED, SCORES, FileName, parse_file_name
from asdbench.challenge.score_files import Entries, read_decisions, read_scores
from asdbench.datasets.dcase.names import parse_name
from asdbench.datasets.listing import Folder
from asdbench.errors import did_you_mean


@dataclass(frozen=True)
class ScoredPart:
    """The scores of one section of a machine (2021: of one domain of it), and the decisions where there are any.

    Attributes:
        name: what the name of the score file says.
        path: of the score file.
        scores: its rows.
        decisions: rows of the decision file; None where there is none.
    """

    name: FileName
    path: Path
    scores: Entries
    decisions: Entries | None


@dataclass(frozen=True)
class System:
    """The files of one system with one seed.

    Attributes:
        name: its folder below the root, and the seed where the file names hold one.
        folder: the folder.
        parts: in the order of machine, section and domain.
    """

    name: str
    folder: Path
    parts: list[ScoredPart] = field(default_factory=list)


def find_systems(root: Path, folders: Iterable[Folder], machines: Sequence[str] = ()) -> list[System]:
    """Read all score and decision files below a folder.

    Files in one folder whose names hold the same seed, or none, are one system.

    Args:
        root: the folder.
        folders: it and what is below it, as `asdbench.datasets.listing.walk` lists them.
        machines: the machine types to read; all when empty.

    Raises:
        UserError: there is no score file, a name or row is wrong, files of a system contradict each other, or a machine
            that was asked for is not there.
    """
    systems: list[System] = []
    known: set[str] = set()
    for folder in folders:
        for seed, files in sorted(_by_seed(folder).items()):
            known |= {name.machine for name in files.values()}
            wanted = {path: name for path, name in files.items() if not machines or name.machine in machines}
            place = "/".join(folder.parts) or root.name
            parts = _parts(wanted)
            if parts:
                systems.append(System(f"{place}, seed {seed}" if seed else place, Path(folder.path), parts))
    if not known:
        raise UserError(f"{root}: there is no score file; expected files named {EXPECTED}")
    for machine in machines:
        if machine not in known:
            raise UserError(f"{root}: there are no scores of a machine '{machine}'{did_you_mean(machine, known)}")
    return systems


def years_of(systems: Sequence[System]) -> set[int]:
    """The years whose naming all files have.

    Raises:
        UserError: there is none, since the files are of several years or naming schemes; names two of them.
    """
    first = systems[0].parts[0]
    years = set(first.name.years)
    for system in systems:
        for part in system.parts:
            if not years & set(part.name.years):
                raise UserError(
                    f"{part.path}: the name is of {_span(part.name.years)}, that of {first.path} of "
                    f"{_span(first.name.years)}; evaluate the years apart"
                )
            if len(part.name.years) < len(years):
                first, years = part, years & set(part.name.years)
    return years


def _span(years: range) -> str:
    return str(years[0]) if len(years) == 1 else f"{years[0]} to {years[-1]}"


def _by_seed(folder: Folder) -> dict[str, dict[Path, FileName]]:
    """Score and decision files of test clips in a folder, by the seed in their names."""
    found: dict[str, dict[Path, FileName]] = {}
    seen: dict[FileName, Path] = {}
    for file in folder.tables:
        path = Path(folder.file(file))
        try:
            name = parse_file_name(file)
        except UserError as error:
            raise UserError(f"{path.parent}: {error}") from None
        if name is None or name.split == "train":
            continue
        twin = seen.setdefault(name, path)
        if twin is not path:
            raise UserError(f"{path}: the name says the same as that of {twin.name}; give each system its own folder")
        found.setdefault(name.seed, {})[path] = name
    return found


def _parts(files: dict[Path, FileName]) -> list[ScoredPart]:
    """Read the files of one system."""
    decisions = {_what(name): path for path, name in files.items() if name.kind == DECISIONS}
    parts = []
    order = sorted(files.items(), key=lambda item: (_what(item[1]), str(item[0])))
    for path, name in order:
        if name.kind == SCORES:
            scores = read_scores(path)
            _refuse_strangers(name, scores)
            decided = decisions.pop(_what(name), None)
            parts.append(ScoredPart(name, path, scores, None if decided is None else _decisions(decided, path, scores)))
    for path in decisions.values():
        raise UserError(f"{path}: there are decisions, but no score file of the same clips beside it")
    taken: dict[tuple[str | bool, ...], Path] = {}
    for part in parts:  # one machine's section may be named in two ways
        key = _what(part.name)[:4]
        twin = taken.setdefault(key, part.path)
        if twin is not part.path:
            raise UserError(f"{part.path}: scores what {twin.name} beside it scores; give each system its own folder")
    return parts


def _what(name: FileName) -> tuple[str, str, str, bool, int]:
    return name.machine, name.section, name.domain, name.by_id, name.year or 0


def _decisions(path: Path, scored: Path, scores: Entries) -> Entries:
    decisions = read_decisions(path)
    refuse_differences(decisions, str(path), scores, str(scored))
    return decisions


def refuse_differences(mine: Entries, where: str, others: Entries, whose: str) -> None:
    """Check that two files name the same clips.

    Raises:
        UserError: names the first clip that one of them lacks.
    """
    extra = [entry for clip, entry in mine.items() if clip not in others]
    if extra:
        raise UserError(f"{extra[0].place}: the clip '{extra[0].name}' is not in {whose}{_more(len(extra))}")
    missing = [entry.name for clip, entry in others.items() if clip not in mine]
    if missing:
        raise UserError(f"{where}: the clip '{missing[0]}', which is in {whose}, is missing{_more(len(missing))}")


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _refuse_strangers(file: FileName, entries: Entries) -> None:
    """Check that clips are of the section, domain and year that the name of their file says."""
    for clip, entry in entries.items():
        name = parse_name(clip)
        if name is None:
            continue
        if name.by_id != file.by_id and (file.by_id or file.domain or file.year):
            told, expected = ("2020", "of 2021 or later") if name.by_id else ("2021 or later", "of 2020")
            raise UserError(
                f"{entry.place}: '{entry.name}' is the name of a clip of {told}; the file's name is {expected}"
            )
        if name.split == "train":
            raise UserError(f"{entry.place}: '{entry.name}' is a training clip; expected test clips only")
        for what, own, told in (("section", name.section, file.section), ("domain", name.domain, file.domain)):
            if own and told and own != told:
                raise UserError(f"{entry.place}: '{entry.name}' is of {what} {own}; the file's name says {told}")

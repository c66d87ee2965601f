"""A folder of scores that were made elsewhere, from which a detector looks up those of the clips of a benchmark.

| place | clips |
|---|---|
| the folder itself, or ``original`` | real clips, for every seed |
| ``seed_<n>``, or ``seed_<n>/original`` | real clips, where each seed of the benchmark has scores of its own |
| ``seed_<n>/<generator>``, or ``seed_<n>/generated.<generator>`` | what that generator made with that seed |

The second form of each is what a run writes (`asdbench.challenge.run_files`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from asdbench.challenge.file_names import SCORES, FileName, parse_file_name
from asdbench.challenge.score_files import Entries, read_scores
from asdbench.clips import ClipSet
from asdbench.compare.testsets import REAL
from asdbench.datasets.dcase.names import clip_key, stem
from asdbench.errors import NotApplicableError, UserError


class ScoreFolder:
    """Scores made elsewhere; see the module's docstring for where they stand.

    Attributes:
        root: the folder.
    """

    def __init__(self, path: str) -> None:
        """Take a folder.

        Raises:
            UserError: there is none.
        """
        self.root = Path(path).expanduser()
        if not self.root.is_dir():
            raise UserError(f"path: {path}: there is no such folder; expected one with files of scores")

    def identity(self) -> str:
        """Hash of the names and contents of all score files.

        Raises:
            UserError: a file is named nearly like one.
        """
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(self.root.rglob("*.csv")):
            name = parse_file_name(file.name)
            if name is not None and name.kind == SCORES:
                digest.update(f"{file.relative_to(self.root).as_posix()}\n{file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def look_up(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        """The scores of clips, shape (len(clips),); NaN for training clips where there is no ``…_train.csv``.

        Args:
            clips: as `ClipSet.for_lookup` names them; all of one source and seed.

        Raises:
            UserError: a file or a clip is missing or malformed; the message names it.
            NotApplicableError: nobody has scored clips of this generator.
        """
        frame = clips.frame
        scores = np.full(len(frame), np.nan)
        names = [str(name) for name in frame["clip_id"]]
        repeated = {name for name, count in Counter(map(stem, names)).items() if count > 1}
        seed = int(cast("dict[str, Any]", frame["provenance"].iat[0])["seed"])
        for key, rows in frame.groupby(["source", "machine", "section", "split"]).indices.items():
            source, machine, section, split = map(str, cast("tuple[Any, ...]", key))
            files = self._files(source, seed, machine, section, split)
            if files:
                tables = [(file, read_scores(file)) for file in files]
                scores[rows] = [_find(names[row], repeated, tables) for row in rows]
        return scores

    def _files(self, source: str, seed: int, machine: str, section: str, split: str) -> list[Path]:
        """The files with the scores of a section (2021: one for each domain); none for training clips where absent."""
        folder = self._folder(source, seed)
        wanted = (machine, section, split)
        here = {path: name for path, name in _score_files(folder) if _what(name) == wanted}
        found = list(here)
        if len(found) > 1 and sorted(name.domain for name in here.values()) != ["source", "target"]:
            raise UserError(f"{folder}: {found[0].name} and {found[1].name} both score {machine}; expected one file")
        if not found and split == "test":
            raise UserError(f"{folder}: there are no scores of {machine}, section {section}")
        return found

    def _folder(self, source: str, seed: int) -> Path:
        of_seed = self.root / f"seed_{seed}"
        if source == REAL:
            places = [of_seed / "original", of_seed, self.root / "original", self.root]
        else:  # each seed has other clips of the same names
            places = [of_seed / name for name in (source, f"generated.{source}")]
        found = [place for place in places if place.is_dir() and _score_files(place)]
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} both hold scores of {source} clips; expected one of them")
        if not found and source == REAL:
            raise UserError(f"{self.root}: there are no scores of real clips for seed {seed}, here or in 'original'")
        if not found:
            raise NotApplicableError(f"{places[0]}: there are no scores of clips of {source}")
        return found[0]


def _score_files(folder: Path) -> list[tuple[Path, FileName]]:
    named = [(path, parse_file_name(path.name)) for path in sorted(folder.glob("*.csv"))]
    return [(path, name) for path, name in named if name is not None and name.kind == SCORES]


def _what(name: FileName) -> tuple[str, str, str]:
    return name.machine, name.section, name.split


def _find(clip_id: str, repeated: set[str], tables: list[tuple[Path, Entries]]) -> float:
    """The score of a clip by its whole name or, where that tells it from the others, by its file name alone."""
    alone = stem(clip_id)
    keys = [clip_key(clip_id)] + ([] if alone in repeated else [alone])
    for _, entries in tables:
        for key in keys:
            if key in entries:
                return entries[key].value
    hint = "; several clips have this file name, so the whole path is needed" if alone in repeated else ""
    raise UserError(f"{tables[0][0]}: the clip '{clip_id}' is missing{hint}")

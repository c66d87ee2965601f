"""Scores that were made elsewhere, in the place of a detector."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np

from asdbench import ClipSet, Detector, NotApplicableError, UserError, detector, setting
from asdbench.challenge.file_names import SCORES, FileName, parse_file_name
from asdbench.challenge.score_files import Entries, read_scores
from asdbench.datasets.dcase.names import clip_key, stem


@detector("scores")
class Scores(Detector):
    """Scores made elsewhere, looked up by clip in CSV files with the names of DCASE Task 2.

    Scores of real clips stand in the folder itself or in ``original``, or below ``seed_<n>`` if each seed of the
    benchmark has its own; those of generated clips in ``seed_<n>/<generator>`` or ``seed_<n>/generated.<generator>``. A
    benchmark writes its own scores in this layout. Files that end in ``_train.csv`` hold scores of training clips, from
    which the decision threshold follows; without them there is none.
    """

    looks_up = True

    path: str = setting(min_length=1, description="folder with anomaly_score_<machine>_section_<ss>_test.csv")

    def inputs(self) -> dict[str, str]:
        root = self._root()
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(root.rglob("*.csv")):
            name = parse_file_name(file.name)
            if name is not None and name.kind == SCORES:
                digest.update(f"{file.relative_to(root).as_posix()}\n{file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
        return {"scores": digest.hexdigest()}

    def fit(self, clips: ClipSet) -> None:
        """Learn nothing: the scores are there."""

    def score(self, clips: ClipSet) -> np.ndarray:
        frame = clips.frame
        seed = int(cast("dict[str, Any]", frame["provenance"].iat[0])["seed"])
        scores = np.full(len(frame), np.nan)
        names = [str(name) for name in frame["clip_id"]]
        repeated = {name for name, count in Counter(map(stem, names)).items() if count > 1}
        for key, rows in frame.groupby(["source", "machine", "section", "split"]).indices.items():
            source, machine, section, split = map(str, cast("tuple[Any, ...]", key))
            files = self._files(source, seed, machine, section, split)
            if files:
                tables = [(file, read_scores(file)) for file in files]
                scores[rows] = [_find(names[row], repeated, tables) for row in rows]
        return scores

    def _root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(f"path: {self.path}: there is no such folder; expected one with files of scores")
        return root

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
        root = self._root()
        if source == "real":
            places = [root / f"seed_{seed}" / "original", root / f"seed_{seed}", root / "original", root]
        else:  # each seed has other clips of the same names
            places = [root / f"seed_{seed}" / name for name in (source, f"generated.{source}")]
        found = [place for place in places if place.is_dir() and _score_files(place)]
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} both hold scores of {source} clips; expected one of them")
        if not found and source == "real":
            raise UserError(f"{root}: there are no scores of real clips for seed {seed}, here or in 'original'")
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

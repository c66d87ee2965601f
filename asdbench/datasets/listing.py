"""Walking a data root: which folders hold audio and tables, found in one pass that never opens an audio file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asdbench import UserError
from asdbench.audio import AUDIO_SUFFIXES, OTHER_AUDIO_SUFFIXES
from asdbench.clips import GROUP, LABELS
from asdbench.errors import did_you_mean, warn
from asdbench.inspection import unread_note

if TYPE_CHECKING:
    import pandas as pd

OnBadClip = Literal["error", "skip"]
ON_BAD_CLIP = (
    "what happens with recordings that cannot be used: 'error' refuses them, 'skip' leaves them out and says so"
)
"""Setting of datasets that read files."""

_SYSTEM_FOLDERS = ("__MACOSX",)
"""Left by archivers; their files repeat the names of real clips but hold no audio."""


@dataclass(frozen=True)
class Folder:
    """One folder below a data root.

    Attributes:
        path: its absolute path.
        parts: the folder names from the root down to it; empty for the root itself.
        audio: names of the audio files in it, sorted.
        tables: names of the CSV files in it, sorted.
        unread: names of the recordings in it whose format libsndfile does not read, sorted.
    """

    path: str
    parts: tuple[str, ...]
    audio: tuple[str, ...]
    tables: tuple[str, ...]
    unread: tuple[str, ...] = ()

    def clip_id(self, name: str) -> str:
        """Path of a file in this folder relative to the root, with forward slashes."""
        return "/".join((*self.parts, name))

    def file(self, name: str) -> str:
        """Absolute path of a file in this folder."""
        return os.path.join(self.path, name)


def data_root(root: str, kind: str = "data root", where: str = "") -> Path:
    """Return the absolute path of a folder that a setting names.

    Args:
        root: the folder.
        kind: what it is, for messages.
        where: what to put there and where that comes from, for messages.

    Raises:
        UserError: it does not exist or is not a folder.
    """
    path = Path(os.path.abspath(os.path.expanduser(root)))
    if not path.exists():
        raise UserError(f"{kind} {path} does not exist; expected a folder{where and f' with {where}'}")
    if not path.is_dir():
        raise UserError(f"{kind} {path} is a file; expected a folder")
    return path


def walk(root: Path) -> list[Folder]:
    """List every folder at or below ``root`` that holds recordings or CSV files, in sorted order.

    Links are followed, since data often lie on another disk, but no folder is entered twice and none above the root is,
    so a link that leads back ends there. Hidden files (such as the ``._name.wav`` of macOS) are left out.

    Raises:
        UserError: a folder cannot be listed.
    """
    seen = {_identity(folder) for folder in root.parents}
    found: list[Folder] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [(str(root), ())]
    while waiting:
        path, parts = waiting.pop()
        identity = _identity(path)
        if identity in seen:
            continue
        seen.add(identity)
        subfolders, audio, tables, unread = _list(path)
        if audio or tables or unread:
            names = (tuple(sorted(some)) for some in (audio, tables, unread))
            found.append(Folder(path, parts, *names))
        # The last one pushed is entered first: so folders come in sorted order, and a folder that is reachable by two
        # names always gets the same one.
        waiting += [(os.path.join(path, name), (*parts, name)) for name in sorted(subfolders, reverse=True)]
    return sorted(found, key=lambda folder: folder.parts)


def require_audio(root: Path, folders: Iterable[Folder]) -> None:
    """Raise a UserError when no audio file lies at or below ``root``."""
    if not any(folder.audio for folder in folders):
        raise UserError(f"data root {root} holds no audio; expected files that end in {', '.join(AUDIO_SUFFIXES)}")


def tell_of_unread(folders: Iterable[Folder]) -> None:
    """Say how many recordings there are that cannot be read, since libsndfile does not know their format."""
    unread = [folder.file(name) for folder in folders for name in folder.unread]
    if unread:
        warn(unread_note(unread))


def require_machine(machine: str, known: Sequence[str], root: Path) -> None:
    """Raise a UserError, with the nearest known name, when ``machine`` is not among those found under ``root``."""
    if machine not in known:
        raise UserError(f"data root {root} holds no machine named '{machine}'{did_you_mean(machine, known)}")


def label_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return label rows as the table that `asdbench.Dataset.clips` promises, sorted by clip id."""
    import pandas as pd

    ordered = sorted(rows, key=lambda row: str(row["clip_id"]))
    columns = [*LABELS, *([GROUP] if ordered and GROUP in ordered[0] else [])]
    return pd.DataFrame({name: [row[name] for row in ordered] for name in columns}, columns=columns)


def _identity(path: str | Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(f"folder {path} cannot be opened ({error.strerror})") from error
    return status.st_dev, status.st_ino


def _list(path: str) -> tuple[list[str], list[str], list[str], list[str]]:
    subfolders, audio, tables, unread = [], [], [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in _SYSTEM_FOLDERS:
                    continue
                if not name.isprintable() and _is_no_text(name):
                    raise UserError(f"folder {path} holds {os.fsencode(name)!r}, expected a name in UTF-8; rename it")
                if entry.is_dir():
                    subfolders.append(name)
                elif name.lower().endswith(AUDIO_SUFFIXES):
                    audio.append(name)
                elif name.lower().endswith(".csv"):
                    tables.append(name)
                elif name.lower().endswith(OTHER_AUDIO_SUFFIXES):
                    unread.append(name)
    except OSError as error:
        raise UserError(f"folder {path} cannot be listed ({error.strerror})") from error
    return subfolders, audio, tables, unread


def _is_no_text(name: str) -> bool:
    """Whether a name holds bytes that the system could not read as text."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)

"""A folder of finished work, addressed by what the work depends on.

An artefact is written to a temporary folder and published by one atomic rename: it is there whole or not at all. Any
number of processes may use one store at once; when two make the same artefact, the first one published stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from asdbench import audio
from asdbench.audio_hash import hashes_of, how_read, is_read_whole
from asdbench.errors import UserError
from asdbench.folders import locked, remove_abandoned, temporary_folder
from asdbench.segments import file_of

FORMAT = 1
"""Part of every key; to be raised when artefacts of before cannot be used any more."""

_MANIFEST = "artefact.json"
_TABLE = "audio_2"  # another number when `asdbench.audio.inspect` finds other things
_AT_ONCE = 256  # files
_READ = "read_1"  # another number when `asdbench.audio_hash` gives other hashes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENOENT: "a folder of the path cannot be made",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of that name is in the way",
}


class StoreError(UserError):
    """The store cannot be read or written; nothing can go on."""


def key_of(**parts: Any) -> str:
    """Hash JSON values into a key of 32 hexadecimal digits."""
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def disk_errors(path: Path, only: Container[int | None] = _DISK_ERRORS) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence that names the folder.

    Args:
        path: what is being written.
        only: error numbers that are taken for the disk's.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in only:
            raise
        raise StoreError(f"cannot write to {path}: {_DISK_ERRORS[error.errno or 0]}") from error


class Store:
    """Artefacts under one folder; see the module's docstring.

    Attributes:
        root: the folder; made when the first thing is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def path(self, key: str) -> Path:
        """Where the artefact of ``key`` is, or would be."""
        return self.root / "artefacts" / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether the artefact is there and its files have the sizes they were published with."""
        folder = self.path(key)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            return all((folder / name).stat().st_size == size for name, size in manifest["files"].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def prepare(self) -> None:
        """Make the store's folders, check that they can be written, and remove what killed processes left half done.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        with disk_errors(self.root):
            (self.root / "artefacts").mkdir(parents=True, exist_ok=True)
            with temporary_folder(self.root / "tmp"):
                pass
            self.clean()

    def clean(self) -> None:
        """Remove what killed processes left half done."""
        remove_abandoned(self.root / "tmp")

    @contextmanager
    def publish(self, key: str, description: dict[str, Any]) -> Iterator[Path]:
        """Yield an empty folder; what is in it when the block ends becomes the artefact of ``key``.

        When the block raises, nothing is left behind.

        Args:
            description: what the artefact is, stored with it as JSON for people who look into the store.
        """
        final = self.path(key)
        with ExitStack() as stack:
            with disk_errors(self.root):
                folder = stack.enter_context(temporary_folder(self.root / "tmp")) / "artefact"
                folder.mkdir()
            with disk_errors(self.root, only=_FULL):  # other errors in the block may be anybody's
                yield folder
            with disk_errors(self.root):
                files = {
                    path.relative_to(folder).as_posix(): path.stat().st_size
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                }
                manifest = {"key": key, **description, "files": files}
                (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
                final.parent.mkdir(parents=True, exist_ok=True)
                self._move(folder, final, key)

    @contextmanager
    def work_folder(self, key: str) -> Iterator[Path]:
        """Yield the folder in which long work on the artefact of ``key`` keeps what it can go on from.

        It stays when the block ends, however it ends, until `discard_work`. One process at a time has it: others wait.
        """
        folder = self._work(key)
        with ExitStack() as stack:
            with disk_errors(self.root):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(folder.with_suffix(".lock")))
            yield folder

    def cache_folder(self, name: str) -> Path:
        """A folder for what plugins of a name keep between units, each in its own way; it may be deleted any time."""
        return self.root / "cache" / name

    def discard_work(self, key: str) -> None:
        """Remove the work folder of ``key``; to be called inside its block."""
        shutil.rmtree(self._work(key), ignore_errors=True)
        self._work(key).with_suffix(".lock").unlink(missing_ok=True)

    def _work(self, key: str) -> Path:
        return self.root / "work" / key

    def _move(self, folder: Path, final: Path, key: str) -> None:
        for attempt in range(3):
            try:
                os.rename(folder, final)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if self.has(key):
                return  # another process was first; its artefact is as good
            # A damaged artefact is in the way: set it aside in one step, then try again.
            with suppress(FileNotFoundError):
                os.rename(final, folder.with_name(f"damaged-{attempt}"))
        raise StoreError(f"cannot publish {final}: it is being written and removed by other processes")

    def inspect_files(
        self, paths: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> list[audio.AudioInfo]:
        """Inspect audio files, decoding only those that changed since the store last saw them.

        A file counts as unchanged when its size, modification time and change time are the same. Parts of files (see
        `asdbench.segments`) are inspected like files.

        Args:
            progress: called with the number of files done since the last call.
        """
        stats = [file_stat(path) for path in paths]
        with self._index() as index:
            known = {row[0]: row[1:] for row in index.execute(f"SELECT path, size, mtime, ctime, info FROM {_TABLE}")}
        infos: dict[int, audio.AudioInfo] = {}
        for position, (path, stat) in enumerate(zip(paths, stats, strict=True)):
            row = known.get(path)
            if row is not None and row[:3] == stat:
                infos[position] = _info(row[3])
        if progress is not None:
            progress(len(infos))
        fresh = [position for position in range(len(paths)) if position not in infos]
        done = audio.inspect_all([paths[position] for position in fresh], progress or (lambda count: None))
        infos |= zip(fresh, done, strict=True)
        with self._index() as index:
            index.executemany(
                f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?, ?)",
                [
                    (paths[position], *stats[position], json.dumps(vars(infos[position])))
                    for position in fresh
                    if infos[position].content_hash  # what could not be read may be readable next time
                ],
            )
        return [infos[position] for position in range(len(paths))]

    def audio_hashes(
        self,
        paths: Sequence[str],
        infos: Sequence[audio.AudioInfo],
        sample_rate: int | None,
        channel: audio.Channel,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """Audio hashes of sound files, computed for those only that changed; see `inspect_files`.

        Args:
            infos: what `inspect_files` gave.
            sample_rate: at which the files are read, in Hz; None for their own.
            channel: that is read.
            progress: called with the numbers of files that were read and are to be read.
        """
        how = how_read(sample_rate, channel)
        found = {row: info.content_hash for row, info in enumerate(infos) if is_read_whole(info, sample_rate)}
        rest = [row for row in range(len(paths)) if row not in found]
        if not rest:
            return [found[row] for row in range(len(paths))]
        query = f"SELECT path, content, hash FROM {_READ} WHERE how = ?"
        with self._index() as index:
            known = {(path, content): one for path, content, one in index.execute(query, (how,))}
        found |= {row: known[key] for row in rest if (key := (paths[row], infos[row].content_hash)) in known}
        fresh = [row for row in rest if row not in found]
        for start in range(0, len(fresh), _AT_ONCE):  # what was read before an interruption is kept
            part = fresh[start : start + _AT_ONCE]
            hashes = hashes_of([paths[row] for row in part], [infos[row] for row in part], sample_rate, channel)
            found |= zip(part, hashes, strict=True)
            with self._index() as index:
                rows = [(paths[row], how, infos[row].content_hash, found[row]) for row in part]
                index.executemany(f"INSERT OR REPLACE INTO {_READ} VALUES (?, ?, ?, ?)", rows)
            progress(start + len(part), len(fresh))
        return [found[row] for row in range(len(paths))]

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The table of files that were inspected; what is done with it in the block is one transaction."""
        path = self.root / "audio-index.sqlite"
        try:
            with closing(sqlite3.connect(path, timeout=60)) as index, index:
                index.execute(
                    f"CREATE TABLE IF NOT EXISTS {_TABLE}"
                    " (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, info TEXT)"
                )
                index.execute(
                    f"CREATE TABLE IF NOT EXISTS {_READ}"
                    " (path TEXT, how TEXT, content TEXT, hash TEXT, PRIMARY KEY (path, how))"
                )
                yield index
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be used ({error}); a damaged one can be deleted") from error


def _info(text: str) -> audio.AudioInfo:
    values = json.loads(text)
    return audio.AudioInfo(**values | {"silent_channels": tuple(values["silent_channels"])})


def file_stat(path: str) -> tuple[int, int, int]:
    """Size, modification time and change time of the file of a place (times in ns); zeros where it cannot be asked."""
    try:
        stat = os.stat(file_of(path))
    except OSError:
        return (0, 0, 0)
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

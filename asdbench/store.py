"""A folder of finished work, addressed by what the work depends on.

An artefact is written to a temporary folder and published by one atomic rename: it is there whole or not at all. Any
number of processes may use one store at once; when two make the same artefact, the first one published stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from asdbench import audio
from asdbench.errors import UserError

FORMAT = 1
"""Part of every key; to be raised when artefacts of before cannot be used any more."""

_MANIFEST = "artefact.json"
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
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
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise StoreError(f"cannot write to {path}: {_DISK_ERRORS[error.errno]}") from error


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
        except (OSError, ValueError, KeyError):
            return False

    def prepare(self) -> None:
        """Make the store's folders, check that they can be written, and remove what killed processes left half done.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        with disk_errors(self.root):
            for name in ("artefacts", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self._temporary_folder()
            probe.mkdir()
            probe.rmdir()
        for folder in (self.root / "tmp").iterdir():
            if not _owner_is_alive(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def publish(self, key: str, description: dict[str, Any]) -> Iterator[Path]:
        """Yield an empty folder; what is in it when the block ends becomes the artefact of ``key``.

        When the block raises, nothing is left behind.

        Args:
            description: what the artefact is, stored with it as JSON for people who look into the store.
        """
        final, folder = self.path(key), self._temporary_folder()
        with disk_errors(self.root):
            folder.mkdir(parents=True)
        try:
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
        except OSError as error:
            # In the block anything may have failed; only a full disk is surely the store's.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreError(f"cannot write to {self.root}: {_DISK_ERRORS[error.errno]}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _temporary_folder(self) -> Path:
        """A new path; the name says which process on which host owns it."""
        return self.root / "tmp" / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(6)}"

    def _move(self, folder: Path, final: Path, key: str) -> None:
        for _ in range(3):
            try:
                os.rename(folder, final)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if self.has(key):
                    return  # another process was first; its artefact is as good
                # A damaged artefact is in the way: set it aside in one step, then try again.
                aside = folder.with_name(folder.name + f"-damaged-{secrets.token_hex(4)}")
                try:
                    os.rename(final, aside)
                except FileNotFoundError:
                    continue
                shutil.rmtree(aside, ignore_errors=True)
        raise StoreError(f"cannot publish {final}: it is being written and removed by other processes")

    def inspect_files(
        self, paths: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> list[audio.AudioInfo]:
        """Inspect audio files, decoding only those that changed since the store last saw them.

        A file counts as unchanged when its size, modification time and change time are the same.

        Args:
            progress: called with the number of files done since the last call.
        """
        from concurrent.futures import ThreadPoolExecutor

        stats = [_stat(path) for path in paths]
        with self._index() as index:
            known = {row[0]: row[1:] for row in index.execute("SELECT path, size, mtime, ctime, info FROM audio")}
        infos: dict[int, audio.AudioInfo] = {}
        for position, (path, stat) in enumerate(zip(paths, stats, strict=True)):
            row = known.get(path)
            if row is not None and row[:3] == stat:
                infos[position] = _info(row[3])
        if progress is not None:
            progress(len(infos))
        fresh = [position for position in range(len(paths)) if position not in infos]
        with ThreadPoolExecutor(max_workers=2) as pool:  # decoding and hashing release the interpreter's lock
            done = pool.map(audio.inspect, [paths[position] for position in fresh])
            for position, info in zip(fresh, done, strict=True):
                infos[position] = info
                if progress is not None:
                    progress(1)
        with self._index() as index:
            index.executemany(
                "INSERT OR REPLACE INTO audio VALUES (?, ?, ?, ?, ?)",
                [
                    (paths[position], *stats[position], json.dumps(vars(infos[position])))
                    for position in fresh
                    if stats[position] != _ABSENT
                ],
            )
        return [infos[position] for position in range(len(paths))]

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The table of files that were inspected; what is done with it in the block is one transaction."""
        path = self.root / "audio-index.sqlite"
        try:
            with closing(sqlite3.connect(path, timeout=60)) as index, index:
                index.execute(
                    "CREATE TABLE IF NOT EXISTS audio"
                    " (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, info TEXT)"
                )
                yield index
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be used ({error}); a damaged one can be deleted") from error


_ABSENT = (0, 0, 0)


def _info(text: str) -> audio.AudioInfo:
    values = json.loads(text)
    return audio.AudioInfo(**values | {"silent_channels": tuple(values["silent_channels"])})


def _stat(path: str) -> tuple[int, int, int]:
    try:
        stat = os.stat(path)
    except OSError:
        return _ABSENT
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _owner_is_alive(name: str) -> bool:
    """Whether the process that made a temporary folder may still be writing it; other hosts' folders are left alone."""
    parts = name.split("-damaged-")[0].rsplit("-", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return False
    host, pid = parts[0], int(parts[1])
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

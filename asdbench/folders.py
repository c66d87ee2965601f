"""Temporary folders that tell living writers from dead ones."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: folders of dead processes stay until somebody deletes them
    fcntl = None  # type: ignore[assignment]

_PREFIX = "writing-"


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder under ``parent``, which is removed with what is left in it when the block ends.

    While the block runs the folder is locked. The lock ends with the process, however it ends, and on any machine or in
    any container that shares the disk: that is how `remove_abandoned` knows.
    """
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
        folder.mkdir()
        lock = _lock(folder)
        if lock is not None and folder.exists():  # else somebody took it for abandoned before it was locked
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders under ``parent`` whose writers are dead."""
    for folder in parent.glob(f"{_PREFIX}*"):
        lock = _lock(folder) if fcntl is not None else None
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            _unlock(lock)


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Have the lock of a file in the block, after waiting for other processes; the file is made where it is absent.

    Args:
        path: the file.
        on_wait: called once where another process has the lock, before waiting for it.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is None:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
                on_wait = None
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        except FileNotFoundError:
            pass  # who had it removed it; whoever comes next makes another
        os.close(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A lock on the folder, None where another process has it or the folder is gone."""
    if fcntl is None:
        return -1
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _unlock(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)

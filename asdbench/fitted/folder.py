"""The folder of a fitted detector: written whole or not at all, and checked when it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from asdbench.errors import PluginError, UserError
from asdbench.fitted.record import RECORD, Record, read_record
from asdbench.folders import temporary_folder
from asdbench.hashing import hash_of_file
from asdbench.state import StateError, load_state, save_state
from asdbench.store import disk_errors


def refuse_other_files(folder: Path) -> None:
    """Check that a detector can be written to a folder: it is absent, empty, or holds a fitted detector alone.

    Raises:
        UserError: something else is there.
    """
    expected = "expected no folder, an empty one, or one with a fitted detector alone"
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: {expected}, found a file")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not names:
        return
    try:
        own = {RECORD, *read_record(folder).files}
    except UserError as error:
        raise UserError(f"{folder}: {expected}, but it holds other files, such as {sorted(names)[0]}") from error
    if names - own:
        raise UserError(f"{folder}: {expected}, but it also holds {sorted(names - own)[0]}")


def write_folder(folder: Path, record: Record, state: dict[str, Any]) -> bool:
    """Write a fitted detector.

    Args:
        folder: absent, empty, or with a fitted detector, which is replaced.
        record: the hashes of its files are filled in.
        state: what the detector has learnt.

    Returns:
        Whether another detector was there.

    Raises:
        UserError: something else is in the folder, or the disk refuses; what was there is there still.
        PluginError: the state holds what cannot be saved.
    """
    refuse_other_files(folder)
    place = folder.resolve()  # a link stays a link
    with disk_errors(folder), temporary_folder(place.parent) as work:
        new, old = work / "new", work / "old"
        new.mkdir()
        try:
            save_state(state, new)
        except StateError as error:
            raise PluginError(f"{record.detector.use}: {error}") from error
        files = {path.name: hash_of_file(path) for path in sorted(new.iterdir())}
        (new / RECORD).write_text(record.model_copy(update={"files": files}).text(), encoding="utf-8")
        before = place.is_dir()
        try:
            if before:
                os.rename(place, old)
            os.rename(new, place)
        except BaseException:  # an interruption too
            if old.is_dir() and not place.exists():
                os.rename(old, place)
            raise
        return before and any(old.iterdir())


def read_folder(folder: Path) -> tuple[Record, dict[str, Any]]:
    """Read what `write_folder` wrote.

    Raises:
        UserError: a file is missing, is not what was saved, or cannot be read.
    """
    record = read_record(folder)
    for name, digest in record.files.items():
        path = folder / name
        try:
            found = hash_of_file(path)
        except FileNotFoundError:
            raise UserError(f"{path}: the file is missing; the detector has to be fitted or exported again") from None
        except OSError as error:
            raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error
        if found != digest:
            raise UserError(
                f"{path}: the file is not the one that was saved ({path.stat().st_size} bytes found); the detector "
                "has to be fitted or exported again"
            )
    return record, load_state(folder)

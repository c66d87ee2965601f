"""What was brought: a JSON file in a collection's folder, with checksums of archives and of every file in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from asdbench.errors import UserError
from asdbench.hashing import hash_of_file
from asdbench.store import disk_errors

NAME = "manifest.json"


class FileRecord(pydantic.BaseModel):
    """One extracted file: its size in bytes and the first 128 bits of its BLAKE2b hash."""

    size: int = pydantic.Field(ge=0)
    hash: str

    def same_size(self, path: Path) -> bool:
        """Whether there is a file of this size."""
        try:
            return path.is_file() and path.stat().st_size == self.size
        except OSError:
            return False


class ArchiveRecord(pydantic.BaseModel):
    """One archive that was brought and extracted.

    Attributes:
        part, machine, record: as in the catalogue.
        source: where it came from.
        size: of the archive, in bytes.
        md5: of the archive; a later download must have the same.
        licence: as the record states it, "" where the source states none.
        date: of the download, as YYYY-MM-DD.
        folder: of its files, relative to the collection's folder.
        count, bytes: number of its files and their size in all.
        files: by path relative to ``folder``.
    """

    part: str
    machine: str
    record: int
    source: str
    size: int
    md5: str
    licence: str
    date: str
    folder: str
    count: int
    bytes: int
    files: dict[str, FileRecord]


class Manifest(pydantic.BaseModel):
    """All archives of a collection that were brought, by file name."""

    format: int = 1
    name: str
    archives: dict[str, ArchiveRecord] = {}


def read_manifest(folder: Path, name: str) -> Manifest:
    """Read the manifest of a collection's folder; an empty one where there is none.

    Raises:
        UserError: the file is damaged, or is that of another collection.
    """
    path = folder / NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Manifest(name=name)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error
    try:
        manifest = Manifest.model_validate_json(text)
    except pydantic.ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise UserError(
            f"{path}: not a manifest of downloads ({where and f'{where}: '}{first['msg']}); move it away to start anew"
        ) from error
    if manifest.name != name:
        raise UserError(f"{path}: the manifest is of '{manifest.name}', expected '{name}'")
    if manifest.format != 1:
        raise UserError(f"{path}: the manifest has format {manifest.format}, expected 1; a newer asdbench wrote it")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest in one step, so that a reader sees the one of before or this one."""
    path = folder / NAME
    with disk_errors(path):
        draft = path.with_name(f".{NAME}.{os.getpid()}")
        try:
            draft.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


@dataclass(frozen=True)
class Differences:
    """How files on disk differ from what the manifest says; paths relative to the archive's folder, sorted."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.extra)

    def __str__(self) -> str:
        said = []
        for what, names in (("missing", self.missing), ("changed", self.changed), ("extra", self.extra)):
            if names:
                more = ", …" if len(names) > 3 else ""
                said.append(f"{len(names)} {what} ({', '.join(names[:3])}{more})")
        return ", ".join(said)


def differences(folder: Path, record: ArchiveRecord, *, contents: bool) -> Differences:
    """Compare the files of an archive with its record.

    Args:
        folder: the collection's folder.
        record: of the archive.
        contents: read every file and list extra ones; otherwise only sizes are looked at.
    """
    root = folder / record.folder
    missing, changed = [], []
    for name, file in record.files.items():
        path = root / name
        if not path.is_file():
            missing.append(name)
        elif not file.same_size(path) or (contents and hash_file(path) != file.hash):
            changed.append(name)
    extra = sorted(_visible(root) - set(record.files)) if contents else []
    return Differences(tuple(sorted(missing)), tuple(sorted(changed)), tuple(extra))


def hash_file(path: Path) -> str:
    """The hash that the manifest keeps of a file.

    Raises:
        UserError: the file cannot be read.
    """
    with _readable(path):
        return hash_of_file(path)


def md5_of(path: Path) -> str:
    """The MD5 checksum of a file, which is what records of archives state.

    Raises:
        UserError: the file cannot be read.
    """
    with _readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error


def _visible(root: Path) -> set[str]:
    """Files below a folder but hidden ones, which readers of recordings leave out too."""
    found = set()
    for path, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found |= {Path(path, name).relative_to(root).as_posix() for name in names if not name.startswith(".")}
    return found

"""Extraction of archives from strangers: only plain files, only below the target, only as much as can be right."""

from __future__ import annotations

import errno
import hashlib
import lzma
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from asdbench.audio import AUDIO_SUFFIXES
from asdbench.downloads.manifest import FileRecord
from asdbench.errors import UserError
from asdbench.progress import readable_bytes
from asdbench.store import disk_errors

MOST_FILES = 200_000
MOST_BYTES = 100 * 10**9
"""The largest archives of the catalogue hold some 15 GB."""
HIGHEST_RATIO = 20
"""Of extracted to compressed size; recordings come to about 1.5."""
_SMALL = 16 * 10**6
"""Archives may hold this much whatever their ratio."""
_CHUNK = 1 << 20
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f\x7f]")
_LEFT_OUT = "__MACOSX"
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error)
"""What reading a damaged archive raises."""
_DAMAGE_NUMBERS = (None, errno.EINVAL)
"""Of the OSErrors among them: of bz2, and of an offset before the start of the file."""


class ArchiveError(UserError):
    """An archive that must not or cannot be extracted."""


class Extraction:
    """What is to be extracted from one archive; nothing has been written yet.

    Attributes:
        count: number of files.
        bytes: their size in all, as the archive states it.
    """

    def __init__(self, path: Path, machine: str, others: Collection[str] = ()) -> None:
        """Check the list of contents.

        Args:
            path: the archive.
            machine: its machine type: folders above and with that name are dropped.
            others: the other machine types of its collection, whose archive it must not be.

        Raises:
            ArchiveError: the file is no whole ZIP archive, or lists something that no archive of recordings holds.
        """
        self._path = path
        with self._readable() as archive:
            infos = archive.infolist()
            if len(infos) > MOST_FILES:
                raise ArchiveError(f"{path}: the archive holds {len(infos)} files, expected {MOST_FILES} or fewer")
            self._members = self._checked(infos, machine, others)
        self.count = len(self._members)
        self.bytes = sum(info.file_size for info in self._members.values())
        limit = min(MOST_BYTES, max(_SMALL, HIGHEST_RATIO * path.stat().st_size))
        if self.bytes > limit:
            raise ArchiveError(
                f"{path}: the archive would become {readable_bytes(self.bytes)}, expected {readable_bytes(limit)} or "
                f"less from {readable_bytes(path.stat().st_size)}; it may be made to fill the disk"
            )

    def extract_to(self, folder: Path, advance: Callable[[int], None]) -> dict[str, FileRecord]:
        """Write all files below an empty folder.

        Args:
            folder: it is empty.
            advance: called with the number of bytes that were written.

        Returns:
            Size and hash of each file, by its path relative to the folder.

        Raises:
            ArchiveError: a file is damaged or longer than stated.
            UserError: the disk is full.
        """
        with self._readable() as archive:
            return {name: self._write(archive, info, folder / name, advance) for name, info in self._members.items()}

    def _write(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, advance: Callable[[int], None]
    ) -> FileRecord:
        digest, written = hashlib.blake2b(digest_size=16), 0
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as member, target.open("xb") as file:  # open checks name and CRC
                while chunk := member.read(_CHUNK):
                    written += len(chunk)
                    if written > info.file_size:
                        raise ArchiveError(
                            f"{self._path}: '{info.filename}' is longer than the {info.file_size} bytes stated"
                        )
                    digest.update(chunk)
                    file.write(chunk)
                    advance(len(chunk))
        if written != info.file_size:
            raise ArchiveError(
                f"{self._path}: '{info.filename}' has {written} bytes, but the archive states {info.file_size}"
            )
        return FileRecord(size=written, hash=digest.hexdigest())

    def _checked(
        self, infos: list[zipfile.ZipInfo], machine: str, others: Collection[str]
    ) -> dict[str, zipfile.ZipInfo]:
        """Files by the path that they get below the machine's folder."""
        members: dict[str, zipfile.ZipInfo] = {}
        seen: dict[str, str] = {}
        for info in infos:
            parts = self._parts(info)
            self._refuse_special(info)
            if info.is_dir() or _LEFT_OUT in parts[:1] or any(part.startswith(".") for part in parts):
                continue
            inner = parts[parts.index(machine) + 1 :] if machine in parts[:-1] else parts
            if machine not in parts[:-1] and set(others) & set(parts[:-1]):
                raise ArchiveError(
                    f"{self._path}: the archive holds '{info.filename}', expected recordings of {machine}"
                )
            name = "/".join(inner)
            # Some file systems take names for the same that differ in case or in how accents are written.
            key = unicodedata.normalize("NFC", name).casefold()
            if key in seen:
                raise ArchiveError(f"{self._path}: the archive holds '{seen[key]}' and '{name}', which are one file")
            seen[key] = name
            members[name] = info
        if not any(name.lower().endswith(AUDIO_SUFFIXES) for name in members):
            raise ArchiveError(f"{self._path}: the archive holds no recordings")
        for key, name in seen.items():
            above = key.rpartition("/")[0]
            while above:
                if above in seen:
                    raise ArchiveError(f"{self._path}: '{seen[above]}' is a file, but the archive holds '{name}' in it")
                above = above.rpartition("/")[0]
        return members

    def _parts(self, info: zipfile.ZipInfo) -> list[str]:
        """Names of the folders of a member and of itself.

        The name is taken as it stands in the archive: zipfile turns some forbidden names into harmless ones, which
        would hide that the archive is not what it should be.
        """
        name = info.orig_filename
        parts = name.removesuffix("/").split("/")
        if _FORBIDDEN.search(name) or any(part in ("", "..") for part in parts):
            raise ArchiveError(
                f"{self._path}: the archive holds {name!r}, expected plain paths that stay below its folder"
            )
        return [part for part in parts if part != "."]

    def _refuse_special(self, info: zipfile.ZipInfo) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFREG and info.is_dir()):
            what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
            raise ArchiveError(f"{self._path}: '{info.filename}' is {what}, expected plain files and folders")
        if info.flag_bits & 0x1:
            raise ArchiveError(f"{self._path}: '{info.filename}' is encrypted, expected files without a password")

    @contextmanager
    def _readable(self) -> Iterator[zipfile.ZipFile]:
        """The archive opened; what reading it can raise becomes one sentence."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except UserError:
            raise
        except NotImplementedError as error:
            raise ArchiveError(f"{self._path}: a kind of ZIP archive that cannot be read ({error})") from error
        except _DAMAGE as error:
            raise ArchiveError(f"{self._path}: the archive is damaged or no ZIP file ({error})") from error
        except OSError as error:
            if error.errno not in _DAMAGE_NUMBERS:
                raise
            raise ArchiveError(f"{self._path}: the archive is damaged ({error})") from error

"""One file from a server to the disk: in pieces that survive interruptions, whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asdbench.downloads.http import BrokenConnectionError, Patience, RangeRefusedError, Say, opened, read_some
from asdbench.errors import UserError
from asdbench.store import disk_errors

_CHUNK = 1 << 18
_PROGRESS = 1 << 20
"""Bytes of an attempt that count as having come further."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def part_of(path: Path) -> Path:
    """Where the beginning of a file is kept until all of it is there."""
    return path.with_name(f"{path.name}.part")


def fetch(url: str, path: Path, size: int, *, patience: Patience, say: Say, advance: Callable[[int], None]) -> None:
    """Fetch a file, or what is missing of it.

    What has come is kept in ``path.part`` with a note of what it is a part of; it is gone on from where the server
    still has the same file and can begin in the middle, else begun anew.

    Args:
        url: where the file is.
        path: where it goes; it is not there before all of it is.
        size: its length in bytes.
        patience: how often to try.
        say: told about pauses.
        advance: called with the bytes that came; a negative number where what had come is of no use.

    Raises:
        UserError: the file cannot be had or has another length; the disk is full. What has come so far stays.
    """
    part = part_of(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(url, part, size, advance)
    advance(transfer.have)
    patience.keep_trying(path.name, transfer.attempt, say, "the same command continues where this one stopped")
    with disk_errors(path):
        os.replace(part, path)
        transfer.note.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a fetched file and what there may be of it."""
    for file in (path, part_of(path), _note_of(part_of(path))):
        file.unlink(missing_ok=True)


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


class _Transfer:
    """The state of one transfer: how much is there, and of which version of the file.

    Attributes:
        have: bytes that are there.
        note: file that says what they are a part of.
    """

    def __init__(self, url: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
        self._url, self._part, self._size, self._advance = url, part, size, advance
        self.note = _note_of(part)
        self._tag = ""
        self.have = self._furthest = self._usable()

    def attempt(self) -> bool:
        """Fetch on; True when all is there, False when it broke off but came further."""
        if self.have == self._size and self._part.exists():
            return True
        headers = {"Range": f"bytes={self.have}-"} if self.have else {}
        if self.have and self._tag and not self._tag.startswith("W/"):
            headers["If-Range"] = self._tag
        try:
            with opened(self._url, headers) as answer:
                self._take(answer)
        except RangeRefusedError:
            self._start_anew()
            raise
        except BrokenConnectionError:
            if self.have - self._furthest >= _PROGRESS:
                self._furthest = self.have
                return False
            raise
        return True

    def _take(self, answer: Any) -> None:
        """Write the body of an answer after what is there, or anew."""
        tag = answer.headers.get("ETag") or ""
        start, total = self._extent(answer)
        if total is not None and total != self._size:
            raise UserError(f"{self._url}: the server says that the file has {total} bytes, expected {self._size}")
        if start != self.have or (start and tag != self._tag):
            self._start_anew()
            if start:  # what came is the rest of another version
                raise BrokenConnectionError("the file on the server has changed")
        with disk_errors(self._part):
            if not start:
                self.note.write_text(json.dumps({"url": self._url, "size": self._size, "etag": tag}))
                self._tag = tag
            with self._part.open("ab" if start else "wb") as file:
                while chunk := read_some(answer, _CHUNK):
                    if self.have + len(chunk) > self._size:
                        raise UserError(f"{self._url}: the server sends more than the {self._size} bytes expected")
                    file.write(chunk)
                    self.have += len(chunk)
                    self._advance(len(chunk))
        if self.have < self._size:
            raise BrokenConnectionError(f"the connection broke after {self.have} of {self._size} bytes")

    def _extent(self, answer: Any) -> tuple[int, int | None]:
        """Where the body begins in the file, and how long the file is as far as the server says."""
        if answer.status == 206:
            match = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
            if match is None:
                raise BrokenConnectionError("the server does not say which part of the file it sends")
            return int(match[1]), None if match[2] == "*" else int(match[2])
        length = answer.headers.get("Content-Length")
        return 0, int(length) if length and length.isdecimal() else None

    def _usable(self) -> int:
        """Bytes that are there of this very file; 0, and nothing left on the disk, where they are of another."""
        try:
            note = json.loads(self.note.read_text())
            have = self._part.stat().st_size
            if note["url"] == self._url and note["size"] == self._size and have <= self._size:
                self._tag = str(note["etag"])
                return have
        except (OSError, ValueError, KeyError, TypeError):
            pass
        with disk_errors(self._part):
            self._part.unlink(missing_ok=True)
        return 0

    def _start_anew(self) -> None:
        self._advance(-self.have)
        self.have = 0
        with disk_errors(self._part):
            self._part.unlink(missing_ok=True)

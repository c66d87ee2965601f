"""What the header of an audio file says about its length, and how to read one whose header is wrong.

Programs that write to a pipe do not know how much will come, recorders that lose power leave a length of 0 or of some
time before, and some firmware counts a few bytes too many. libsndfile reads most of these files to their end, those of
length 0 not at all, and says nothing of files that were cut off.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asdbench.flac_headers import TOTAL_AT, unknown_total

_UNKNOWN_LENGTH = 0x7FFF0000
"""Lengths from here on stand for an unknown one where the file is shorter: the largest that 31 or 32 bits hold, less
what comes before (sox 0x7ffff000, ALSA 0x7fffffc0, ffmpeg 0xffffffff)."""
_UNKNOWN_WIDE_LENGTH = 1 << 62
"""The same of lengths of 64 bits."""
_SLACK_BYTES, _SLACK_SHARE = 4096, 0.01
"""A header that promises at most this beyond the end is wrong; one that promises more belongs to a truncated file. Of
what a header leaves out, at most this may be anything."""
_OGG_PAGE = 65307  # bytes at most
_OGG_HEADER = 27


@dataclass(frozen=True)
class Header:
    """What a header says, against the size of its file.

    Attributes:
        missing: bytes that the header promises and a truncated file lacks; of Ogg, whose header promises nothing, a
            missing last page counts as 1.
        is_off: whether the length in the header is wrong, and the file can be read to its end nevertheless.
        corrected: bytes that have to stand at an offset so that libsndfile reads the file to its end.
    """

    missing: int = 0
    is_off: bool = False
    corrected: tuple[tuple[int, bytes], ...] = ()


def examine(path: str | Path, size: int) -> Header:
    """Compare the length in a file's header with the file: RIFF (WAV), RIFX, RF64, AIFF, FLAC and Ogg are known.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic == b"OggS":
            file.seek(max(0, size - _OGG_PAGE))
            return Header(missing=0 if _has_whole_last_page(file.read()) else 1)
        if magic == b"fLaC":
            total = unknown_total(file, size)
            return Header(is_off=bool(total), corrected=((TOTAL_AT, total),) if total else ())
        if magic not in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
            return Header()
        order = "<" if magic in (b"RIFF", b"RF64") else ">"
        wide_length: int | None = None
        wide_at = 0
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack(f"{order}4sI", chunk)
            if name == b"ds64" and len(lengths := file.read(16)) == 16:
                wide_at, wide_length = file.tell() - 8, struct.unpack("<QQ", lengths)[1]
                length -= 16
            if name in (b"data", b"SSND"):
                if wide_length is not None and length == 0xFFFFFFFF:
                    return _compared(file, file.tell(), wide_length, size, order, wide_at)
                return _compared(file, file.tell(), length, size, order, 0)
            file.seek(length + length % 2, 1)
    return Header()


def _compared(file: BinaryIO, start: int, promised: int, size: int, order: str, wide_at: int) -> Header:
    """The header of a file whose audio begins at ``start`` and should have ``promised`` bytes.

    Args:
        wide_at: where a length of 64 bits stands, 0 where there is none.
    """
    there = size - start
    if (promised == 0 or promised >= _UNKNOWN_WIDE_LENGTH) and there > 0 and not _is_chunks(file, start, size, order):
        if wide_at:
            return Header(is_off=True, corrected=((wide_at, struct.pack("<Q", there)),))
        return Header(is_off=True, corrected=((start - 4, struct.pack(f"{order}I", min(there, 0xFFFFFFFF))),))
    missing = promised - there
    if missing < -_slack(promised) and not wide_at and _is_audio(file, start + promised, size, order):
        return Header(is_off=True, corrected=((start - 4, struct.pack(f"{order}I", min(there, 0xFFFFFFFF))),))
    if missing <= 0 or there <= 0:
        return Header(missing=max(0, missing) if promised < _UNKNOWN_LENGTH else 0)
    if (promised >= _UNKNOWN_LENGTH and not wide_at) or missing <= _slack(promised):
        return Header(is_off=True)
    return Header(missing=missing)


def _slack(promised: int) -> float:
    return min(_SLACK_BYTES, _SLACK_SHARE * promised)


def _is_audio(file: BinaryIO, start: int, size: int, order: str) -> bool:
    """Whether what comes after the audio that a header counts is audio too: neither chunks nor padding with zeros."""
    after = start + start % 2
    if _is_chunks(file, start, size, order) or _is_chunks(file, after, size, order):
        return False
    file.seek(start)
    return any(file.read(_SLACK_BYTES))


def _is_chunks(file: BinaryIO, start: int, size: int, order: str) -> bool:
    """Whether chunks with names in ASCII, one after the other, lead from ``start`` to the end of the file."""
    at = start
    while size - at >= 8:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if not all(32 <= letter < 127 for letter in name):
            return False
        at += 8 + length + length % 2
    return at in (size, size + 1)


def _has_whole_last_page(tail: bytes) -> bool:
    """Whether the end of an Ogg file is a page that is marked as the last and is all there (RFC 3533, section 6)."""
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < _OGG_HEADER or not page[5] & 4:
        return False
    segments = page[_OGG_HEADER : _OGG_HEADER + page[_OGG_HEADER - 1]]
    return len(page) >= _OGG_HEADER + page[_OGG_HEADER - 1] + sum(segments)


class CorrectedFile(io.FileIO):
    """A file in which some bytes read as others, for libsndfile; nothing is written."""

    def __init__(self, path: str | Path, corrected: tuple[tuple[int, bytes], ...]) -> None:
        super().__init__(str(path), "rb")
        self._corrected = corrected

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from where the file stands; return how many bytes were read."""
        start = self.tell()
        count = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for at, content in self._corrected:
            first, last = max(at, start), min(at + len(content), start + count)
            if first < last:
                view[first - start : last - start] = content[first - at : last - at]
        return count

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all that are left by default."""
        start = self.tell()
        content = bytearray(super().read(-1 if size is None else size) or b"")
        for at, other in self._corrected:
            first, last = max(at, start), min(at + len(other), start + len(content))
            if first < last:
                content[first - start : last - start] = other[first - at : last - at]
        return bytes(content)

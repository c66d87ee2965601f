"""The number of samples of a FLAC file whose header leaves it open, as encoders do that write to a pipe.

libsndfile does not read these files to their end, so the number is taken from the last frame (RFC 9639, sections 8.2
and 9.1), whose checksum tells that it is whole.
"""

from __future__ import annotations

from functools import cache
from typing import BinaryIO

TOTAL_AT = 21
"""Where the number of samples begins: its highest four bits are the lowest of this byte."""


_LONGEST_HEADER = 16  # bytes


def unknown_total(file: BinaryIO, size: int) -> bytes:
    """Bytes from `TOTAL_AT` that give a file its number of samples, b"" where it has one or no whole frame ends it."""
    file.seek(0)
    start = file.read(TOTAL_AT + 5)
    if len(start) < TOTAL_AT + 5 or start[4] & 0x7F or start[TOTAL_AT] & 15 or any(start[TOTAL_AT + 1 :]):
        return b""
    channels, bits = (start[20] >> 1 & 7) + 1, (start[20] << 4 & 16 | start[21] >> 4) + 1
    largest = int.from_bytes(start[10:12], "big") * channels * (bits + 1) // 8 + 64  # of a frame, in bytes
    file.seek(max(TOTAL_AT, size - largest))
    tail = file.read()
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        end = _last_sample(tail[at : at + _LONGEST_HEADER], int.from_bytes(start[8:10], "big"))
        if end and _crc(tail[at:], 0x8005, 16) == 0:
            return bytes([start[TOTAL_AT] | end >> 32]) + (end & 0xFFFFFFFF).to_bytes(4, "big")
    return b""


def _last_sample(frame: bytes, block: int) -> int:
    """The number of samples up to the end of a frame, 0 where there is no header of one.

    Args:
        frame: its first bytes.
        block: samples of a frame where all have the same number.
    """
    if len(frame) < 8 or frame[1] & 0xFE != 0xF8 or frame[2] < 16 or frame[3] & 1:
        return 0
    size_code, rate_code = frame[2] >> 4, frame[2] & 15
    extra = 8 - (frame[4] ^ 0xFF).bit_length()  # leading ones, as in UTF-8
    number = frame[4] & (0x7F >> extra)
    at = 5
    for byte in frame[5 : 4 + extra]:
        number, at = number << 6 | byte & 0x3F, at + 1
    if size_code in (6, 7):
        count = int.from_bytes(frame[at : at + size_code - 5], "big") + 1
        at += size_code - 5
    else:
        count = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if extra in (1, 8) or _crc(frame[: at + 1], 0x07, 8):
        return 0
    return (number if frame[1] & 1 else number * block) + count


@cache
def _remainders(polynomial: int, bits: int) -> list[int]:
    """What each value of a byte leaves."""
    table = []
    for value in range(256):
        rest = value << bits - 8
        for _ in range(8):
            rest = (rest << 1 ^ (polynomial if rest >> bits - 1 else 0)) & (1 << bits) - 1
        table.append(rest)
    return table


def _crc(content: bytes, polynomial: int, bits: int) -> int:
    """Cyclic redundancy check, highest bit first; 0 over content that ends with its own."""
    table, mask, check = _remainders(polynomial, bits), (1 << bits) - 1, 0
    for byte in content:
        check = (check << 8 & mask) ^ table[check >> bits - 8 ^ byte]
    return check

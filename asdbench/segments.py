"""Places of clips that are a part of a recording: ``/data/long.wav#t=10,20`` are the seconds 10 to 20 of a file.

The notation is that of media fragments (W3C, Media Fragments URI 1.0, section 4.2.1). A place without a fragment is a
whole file, and a file that has such a name is a file.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

_FRAGMENT = re.compile(r"(.+)#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)", re.DOTALL)
_DIGITS = 6
"""Of a second; a microsecond is less than a fifth of a sample at the highest rate that is read."""


def file_of(place: str | os.PathLike[str]) -> str:
    """The file that holds the audio of a place."""
    return _parts(place)[0]


def samples_of(place: str | os.PathLike[str], sample_rate: int) -> tuple[int, int] | None:
    """First sample and number of samples of a place in its file, None for the whole file.

    Pieces of the same duration have the same number of samples, wherever they begin.
    """
    times = _parts(place)[1]
    if times is None:
        return None
    start, end = times
    return _rounded(start * sample_rate), max(0, _rounded((end - start) * sample_rate))


def cut(path: str, seconds: float, clip_seconds: float, hop_seconds: float) -> list[tuple[str, str]]:
    """The places of the clips that a recording is cut into, and the second at which each begins.

    What is left after the last whole clip is left out; a recording that is shorter than a clip gives none.

    Args:
        path: the recording.
        seconds: how long it is.
        clip_seconds: duration of a clip.
        hop_seconds: time from the beginning of one clip to that of the next.
    """
    duration, hop = (Fraction(round(value * 10**_DIGITS), 10**_DIGITS) for value in (clip_seconds, hop_seconds))
    count = math.floor((Fraction(seconds) + Fraction(1, 2 * 10**_DIGITS) - duration) / hop) + 1
    starts = [index * hop for index in range(max(0, count))]
    return [(f"{path}#t={_shown(start)},{_shown(start + duration)}", _shown(start)) for start in starts]


def overlaps(places: Sequence[str], labels: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of places that share a time of one file and have different labels, one pair for the later of the two.

    Args:
        places: files and parts of files.
        labels: of each place.
    """
    files: dict[str, list[tuple[Fraction, Fraction, str, str]]] = defaultdict(list)
    for place, label in zip(places, labels, strict=True):
        name, times = _parts(place)
        if times is not None:
            files[name].append((*times, label, place))
    found = []
    for parts in files.values():
        latest: dict[str, tuple[Fraction, str]] = {}
        for start, end, label, place in sorted(parts):
            others = (one for other, one in latest.items() if other != label and one[0] > start)
            found += [(other, place) for _, other in sorted(others)[-1:]]
            latest[label] = max((end, place), latest.get(label, (end, place)))
    return found


def _parts(place: str | os.PathLike[str]) -> tuple[str, tuple[Fraction, Fraction] | None]:
    text = os.fspath(place)
    match = _FRAGMENT.fullmatch(text)
    if match is None or os.path.exists(text):
        return text, None
    return match[1], (Fraction(match[2]), Fraction(match[3]))


def _rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def _shown(seconds: Fraction) -> str:
    text = f"{float(seconds):.{_DIGITS}f}".rstrip("0")
    return text.rstrip(".")

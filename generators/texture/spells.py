"""When things happen: a Markov chain of spells, in which something happens or it is quiet in turn.

How long a spell lasts depends on the three before it (a semi-Markov chain; S.-Z. Yu, "Hidden semi-Markov models",
Artificial Intelligence 174, 2010). A spell is the sequence of states of one of a training clip, a second at most; so
what follows an impact is what follows impacts in recordings, and the order of the spells is new.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Spell", "StatePath", "draw_path", "runs", "spells_of"]

StatePath = npt.NDArray[np.uint8]
"""The state in each frame, shape (T,)."""
Spell = tuple[bool, StatePath]
"""Whether it is quiet, and its states."""
Context = tuple[tuple[bool, int], ...]
"""Of the spells before, the latest one last: whether it was quiet, and its duration (quarters of an octave)."""

_MEMORY = 3
"""Spells that the next one depends on, at most."""
_LONGEST = 125
"""Frames of a spell; a longer one counts as several."""
_PAUSE, _BLIP = 4, 1
"""Frames of quiet that do not end what happens, and of what does not count as happening."""


def spells_of(path: StatePath, quiet: npt.NDArray[np.bool_]) -> list[Spell]:
    """Cut a path into spells.

    Args:
        path: the state in each frame.
        quiet: of each state whether it is hardly more than the background.
    """
    still = quiet[path]
    for least, value in ((_PAUSE, True), (_BLIP, False)):  # short pauses first, then what is still a blip
        for begin, end in runs(still):
            if still[begin] == value and end - begin <= least and begin > 0 and end < len(still):
                still[begin:end] = not value
    return [
        (bool(still[begin]), path[start : min(start + _LONGEST, end)])
        for begin, end in runs(still)
        for start in range(begin, end, _LONGEST)
    ]


def draw_path(clips: Sequence[Sequence[Spell]], frames: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the state in each frame of a clip.

    Args:
        clips: spells of the clips whose statistics are followed, in random order; at least one.
        frames: length of the clip in frames.
        random: source of randomness.

    Returns:
        Shape (frames,).
    """
    memory = min(_MEMORY, len(clips))  # with more, the chain of few clips would be one of them again
    following: dict[Context, list[Spell]] = defaultdict(list)
    for spells in clips:
        for place in range(1, len(spells) - 1):  # the first and last one are cut short by the ends of the clip
            for context in _contexts(spells[:place], memory):
                following[context].append(spells[place])
    before, found = _beginning(clips[int(random.integers(len(clips)))], random)
    while sum(map(len, found)) < frames:
        contexts = _contexts(before, memory)
        known = next((following[context] for context in contexts if context in following), before[-1:])
        spell = known[int(random.integers(len(known)))]  # what nothing ever follows goes on
        before, found = [*before, spell], [*found, spell[1]]
    return np.concatenate(found)[:frames].astype(np.int64)


def runs(values: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Beginning and end of each run of equal values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(values)], strict=True))


def _beginning(spells: Sequence[Spell], random: np.random.Generator) -> tuple[list[Spell], list[StatePath]]:
    """Start within a clip: the spells up to a random frame, and what is left of the last one."""
    ends = np.cumsum([len(states) for _, states in spells])
    frame = int(random.integers(ends[-1]))
    place = int(np.searchsorted(ends, frame, side="right"))
    return list(spells[: place + 1]), [spells[place][1][-int(ends[place] - frame) :]]


def _contexts(before: Sequence[Spell], memory: int) -> list[Context]:
    """What the next spell may depend on, the longest memory first."""
    latest = [(quiet, round(4 * math.log2(len(states)))) for quiet, states in before[-memory:]]
    return [tuple(latest[len(latest) - length :]) for length in range(len(latest), -1, -1)]

"""What describes the sound of a clip with events, beside when they happen: a row of numbers, by which clips are fitted.

All of it is conditioned on the caption's words in one linear model (`groups.Group`), so that levels, gains and colours
of a drawn clip go together as they do in recordings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .envelope_moments import group_count
from .event_states import States
from .lapped_transform import LappedTransform

__all__ = ["EventSound", "fine_bands", "short_transform"]

Array = npt.NDArray[np.float64]

_FRAME = 0.008
"""Time in s between two frames of the short transform, about."""
_FINE_HZ = 2000
"""Below it bands of the short transform are wider than those of log-mel detectors, and events have factors in the bands
of the long one."""


class EventSound(NamedTuple):
    """The sound of a clip with events.

    Attributes:
        levels: log amplitude of the background in each band.
        gains: log amplitude of each state.
        colour: log amplitude of all states in each group of bands of the short transform.
        fine: log amplitude of events relative to that, in each band below `_FINE_HZ`.
        means: mean log amplitude of narrow groups of bands, relative to that of a clip as the others describe it, see
            `envelope_moments`.
        deviations: log of how far these deviate from their mean, relative to the same.
    """

    levels: Array
    gains: Array
    colour: Array
    fine: Array
    means: Array
    deviations: Array

    @classmethod
    def counts(cls, states: States, transform: LappedTransform) -> list[int]:
        """How many numbers of each sort there are."""
        counts = {
            "levels": transform.bands,
            "gains": len(states.spectra),
            "colour": len(states.edges) - 1,
            "fine": fine_bands(transform),
            "means": group_count(transform),
            "deviations": group_count(transform),
        }
        return [counts[name] for name in cls._fields]

    @classmethod
    def split(cls, numbers: Array, states: States, transform: LappedTransform) -> EventSound:
        """Take apart a row of numbers that was the concatenation of a sound."""
        ends = np.cumsum(cls.counts(states, transform))[:-1]
        return cls(*np.split(numbers, ends))


def fine_bands(transform: LappedTransform) -> int:
    """Bands in which events have a factor."""
    return min(transform.bands, 2 * transform.bands * _FINE_HZ // transform.sample_rate)


def short_transform(transform: LappedTransform) -> LappedTransform:
    """The transform whose frames are short enough for impacts: about 8 ms.

    A frame of ``transform`` is as long as one, or as an even number of them.
    """
    wanted = _FRAME * transform.sample_rate
    ratios = [ratio for ratio in (1, *range(2, transform.bands // 2 + 1, 2)) if transform.bands % (2 * ratio) == 0]
    ratio = min(ratios, key=lambda ratio: abs(np.log(transform.bands / ratio / wanted)))
    return LappedTransform(transform.bands // ratio, transform.sample_rate)

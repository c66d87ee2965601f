"""What is measured in each training clip before anything is fitted: levels of its bands, motion, and tones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import ClipSet, UserError

from .bands import motion_of, unit_bands
from .lapped_transform import LappedTransform
from .model import LEAST_FRAMES
from .tones import tonal_shares

__all__ = ["Analysis", "analyse"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Analysis:
    """What was measured in some clips.

    Attributes:
        levels: of each band in nepers, shape (clips, bands).
        motion: see `motion_of`, shape (clips,).
        num_samples: length of each clip at the transform's rate, shape (clips,).
        shares: of each clip, see `tonal_shares`.
    """

    levels: Array
    motion: Array
    num_samples: npt.NDArray[np.int64]
    shares: Sequence[Array]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        return {
            "levels": self.levels,
            "motion": self.motion,
            "num_samples": self.num_samples,
            "shares": np.concatenate([np.zeros(0), *self.shares]),
            "counts": np.array([len(shares) for shares in self.shares]),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Analysis:
        """Undo `arrays`."""
        shares = np.split(arrays["shares"], np.cumsum(arrays["counts"])[:-1])
        return cls(arrays["levels"], arrays["motion"], arrays["num_samples"], shares)


def analyse(clips: ClipSet, transform: LappedTransform, progress: Callable[[int], None]) -> Analysis:
    """Measure clips.

    Args:
        clips: at least one, read at the transform's rate.
        transform: in whose bands they are measured.
        progress: called with the number of clips that are done.

    Raises:
        UserError: a clip is too short.
    """
    levels, motion, lengths, shares = [], [], [], []
    for place, waveform in enumerate(clips.waveforms()):
        progress(place)
        if len(waveform) == 0 or transform.num_frames(len(waveform)) < LEAST_FRAMES:
            rate = transform.sample_rate
            raise UserError(
                f"{clips.frame['path'].iat[place]}: the clip lasts {len(waveform) / rate:.3g} s, expected at least "
                f"{((LEAST_FRAMES - 1) * transform.bands + 1) / rate:.3g} s to learn a texture from"
            )
        coefficients = transform.transform(waveform)
        unit, level = unit_bands(coefficients)
        levels.append(level)
        motion.append(motion_of(unit))
        lengths.append(len(waveform))
        shares.append(tonal_shares(coefficients))
    return Analysis(np.stack(levels), np.array(motion), np.array(lengths), shares)

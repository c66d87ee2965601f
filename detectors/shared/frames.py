"""Log-mel frames of many clips in one piece of memory, and the vectors of stacked frames cut from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Log-mel frames of clips, one clip after the other.

    Attributes:
        mel: shape (total frames, n_mels), float32.
        lengths: number of frames of each clip.
        stacked: number of consecutive frames in a vector.
        groups: number of the group of each clip, None where each is a group of its own; see `.grouping`.
    """

    mel: Tensor
    lengths: list[int]
    stacked: int
    groups: npt.NDArray[np.int64] | None = None

    def windows(self) -> Tensor:
        """All runs of ``stacked`` frames as vectors, without a copy; those across two clips included."""
        total, n_mels = self.mel.shape
        return self.mel.as_strided((total - self.stacked + 1, self.stacked * n_mels), (n_mels, 1))

    def starts(self) -> list[npt.NDArray[np.int64]]:
        """For each clip the rows of `windows` that lie within it."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        return [
            np.arange(offset, offset + length - self.stacked + 1, dtype=np.int64)
            for offset, length in zip(offsets, self.lengths, strict=False)
        ]

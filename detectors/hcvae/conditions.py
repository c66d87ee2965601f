"""What is known of a clip, as vectors of zeros and ones: its section, and below that its attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Conditions:
    """The conditions that training clips had.

    Attributes:
        sections: the sections, sorted.
        values: the attributes, each as name and value, sorted; a clip has several.
    """

    sections: Sequence[str]
    values: Sequence[Sequence[str]]

    @classmethod
    def of(cls, sections: Iterable[str], attributes: Iterable[Mapping[str, str]]) -> Conditions:
        """The conditions of clips."""
        values = {(str(name), str(value)) for clip in attributes for name, value in clip.items()}
        return cls(sorted(set(sections)), [list(value) for value in sorted(values)])

    def section(self, section: str) -> Array:
        """The upper level: one 1 where the section was in training, shape (len(sections),)."""
        return np.array([section == known for known in self.sections], dtype=np.float32)

    def attributes(self, attributes: Mapping[str, str]) -> Array:
        """The lower level: a 1 for each attribute that was in training, shape (len(values),)."""
        return np.array([str(attributes.get(name)) == value for name, value in self.values], dtype=np.float32)


def most_frequent(rows: Array, limit: int) -> Array:
    """The distinct rows of a table, the most frequent first and of those the first met, at most ``limit``."""
    counts = Counter(map(tuple, rows.tolist()))
    return np.stack([np.array(row, dtype=np.float32) for row, _ in counts.most_common(limit)])

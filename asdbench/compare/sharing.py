"""Which clips are the same recording: what a generator gives out again with another seed is not new evidence.

Most generators make new clips with each generation seed, and each seed's clips are a pool of their own. One that hands
out recordings (the real hold-out) may give the same ones with every seed, in part or in whole, and three seeds are then
no more than one. Wherever recordings of a source come more than once, by content hash, the pool is that of its
different recordings: each has the sum of the influences of its copies, and its copies are resampled together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asdbench.compare.bootstrap import Resampler, Weights
from asdbench.compare.estimates import Pool
from asdbench.compare.testsets import ScoreTable
from asdbench.metrics.detection import Scores


@dataclass(frozen=True)
class Place:
    """Where the clips of a half of a test set are in their pool.

    Attributes:
        pool: name of the pool.
        size: recordings in the pool.
        positions: of each clip, shape (clips,); None where the clips are the pool.
    """

    pool: Pool
    size: int
    positions: npt.NDArray[np.intp] | None = None

    def weights(self, resampler: Resampler, machine: str) -> Weights:
        """Bootstrap weights of the clips: shape (resamples, clips)."""
        weights = resampler.weights(machine, *self.pool, clips=self.size)
        return weights if self.positions is None else weights[:, self.positions]

    def influence(self, of_clips: Scores) -> Scores:
        """Influences of the recordings, shape (size,), from those of the clips."""
        if self.positions is None:
            return of_clips
        mean = of_clips.mean()
        of_recordings = np.zeros(self.size)
        np.add.at(of_recordings, self.positions, (of_clips - mean) * (self.size / len(of_clips)))
        of_recordings += mean
        return of_recordings


class Recordings:
    """Knows the recordings of a score table."""

    def __init__(self, table: ScoreTable) -> None:
        """Prepare to look up the clips of ``table``."""
        self._table = table
        self._known: dict[tuple[str | None, ...], tuple[dict[int, list[str]], dict[str, int] | None]] = {}

    def place(
        self,
        machine: str,
        kind: str,
        source: str,
        generation_seed: int,
        clips: int,
        section: str | None = None,
        domain: str | None = None,
    ) -> Place:
        """Place the clips of one kind and generation seed, or those of a section and domain, in their pool."""
        part = tuple(name for name in (section, domain) if name is not None)
        key = (machine, kind, source, section, domain)
        if key not in self._known:
            contents = self._table.contents(machine, kind, source, section, domain)
            counts = Counter(content for own in contents.values() for content in own)
            repeated = "" not in counts and len(counts) < sum(counts.values())
            order = {content: place for place, content in enumerate(sorted(counts))} if repeated else None
            self._known[key] = contents, order
        contents, order = self._known[key]
        if order is None:
            return Place((kind, source, generation_seed, *part), clips)
        positions = np.array([order[content] for content in contents[generation_seed]], dtype=np.intp)
        return Place((kind, source, "recordings", *part), len(order), positions)

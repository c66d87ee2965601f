"""Which clips of the pool fit a row of a request: as like it as can be had, level by level."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from asdbench import ClipSet, Request

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {
    "attributes": ("machine", "section", "domain", "attributes"),
    "domain": ("machine", "section", "domain"),
    "section": ("machine", "section"),
    "machine": ("machine",),
}
"""Level of a match, best first, and the columns that are equal then."""


class Pool:
    """The clips of one condition in the pool of a request, in the order of their names.

    Attributes:
        clips: the clips, read at the rate of the request.
    """

    def __init__(self, request: Request, condition: str) -> None:
        frame = request.pool.frame
        chosen = frame[frame["condition"] == condition].sort_values("clip_id")
        self.clips = ClipSet(chosen, request.sample_rate, request.pool.channel)
        self._positions: dict[tuple[str, ...], list[int]] = {}
        for position, (_, clip) in enumerate(self.clips.frame.iterrows()):
            for level in LEVELS:
                self._positions.setdefault(_key(level, clip), []).append(position)

    def at(self, level: str, row: pd.Series[Any]) -> list[int]:
        """Positions in ``clips`` of those that match a row at a level."""
        return self._positions.get(_key(level, row), [])

    def best(self, row: pd.Series[Any]) -> tuple[str, list[int]]:
        """The best level at which any clip matches a row, and the positions; ("", []) where none is of its machine."""
        for level in LEVELS:
            if positions := self.at(level, row):
                return level, positions
        return "", []

    def host(self, position: int) -> dict[str, str]:
        """Provenance: the clip that was used."""
        clip = self.clips.frame.iloc[position]
        return {"host": str(clip["clip_id"]), "host_content_hash": str(clip["content_hash"])}

    def attributes(self, position: int, row: pd.Series[Any]) -> dict[str, str] | None:
        """Attributes of a clip where they are not those of the row; `GeneratedClip.attributes`."""
        attributes = cast(dict[str, str], self.clips.frame["attributes"].iat[position])
        return None if attributes == row["attributes"] else dict(attributes)


def _key(level: str, labels: pd.Series[Any]) -> tuple[str, ...]:
    return level, *(json.dumps(labels[column], sort_keys=True) for column in LEVELS[level])

"""What is known of the clips of a run beside their scores: how they sound, copies, cost, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.compare.memorisation import NEAREST_COLUMNS
from asdbench.frames import frame_of

if TYPE_CHECKING:
    import pandas as pd

QUALITY_COLUMNS = (
    "generator",
    "seed",
    "machine",
    "condition",
    "embedding_name",
    "metric",
    "value",
    "low",
    "high",
    "n_real",
    "n_generated",
    "vectors_real",
    "vectors_generated",
    "dim",
    "floor",
    "floor_high",
    "floor_n",
    "value_at_floor_n",
    "embedding",
    "remark",
)
"""Columns of the table of audio quality; see `asdbench.metrics.audio.quality.Row`. ``embedding_name`` is the spec's."""
COST_COLUMNS = ("machine", "generator", "seed", "n_clips", "seconds", "training_seconds", "parameters")
"""Columns of the table of costs: seconds of generation on the machine that ran it, loading of models included, and of
the training that the model comes from, since it was last started (NaN where there was none in this benchmark)."""
ROLE_COLUMNS = ("machine", "role", "condition", "n_clips")
"""Columns of the table of real clips: ``role`` is "fit" (detectors), "pool" (generators) or "test"."""

DEPENDENCE_COLUMNS = ("machine", "detector", "seed", "on", "difference", "clip_id", "reason")
"""Columns of the table of detectors whose scores depend on more than the clip; see `asdbench.blind.Dependence`."""

NEAR_COLUMNS = ("machine", "generator", "seed", "clip_id", "twin", "twin_role", "similarity")
"""Columns of the table of near copies: a test clip (``generator`` "real") or generated clip, and the most alike clip of
another role ("detector training", "pool" or "test") that holds the same recording; see `asdbench.near_copies`."""

LEVEL_COLUMNS = ("machine", "generator", "seed", "n_clips", "n_beyond", "peak")
"""Columns of the table of levels of generated clips: how many have samples beyond full scale, and the
largest sample."""


@dataclass(frozen=True)
class Heard:
    """Tables that do not follow from the scores.

    Attributes:
        quality: with `QUALITY_COLUMNS`.
        nearest: with `asdbench.compare.memorisation.NEAREST_COLUMNS`.
        costs: with `COST_COLUMNS`.
        roles: with `ROLE_COLUMNS`.
        dependence: with `DEPENDENCE_COLUMNS`.
        near: with `NEAR_COLUMNS`.
        levels: with `LEVEL_COLUMNS`.
    """

    quality: pd.DataFrame
    nearest: pd.DataFrame
    costs: pd.DataFrame
    roles: pd.DataFrame
    dependence: pd.DataFrame = field(default_factory=lambda: frame_of([], DEPENDENCE_COLUMNS))
    near: pd.DataFrame = field(default_factory=lambda: frame_of([], NEAR_COLUMNS))
    levels: pd.DataFrame = field(default_factory=lambda: frame_of([], LEVEL_COLUMNS))

    def save(self, folder: Path) -> None:
        """Write each table to ``<name>.parquet``."""
        for name, table in self._tables().items():
            table.to_parquet(folder / _file(name), index=False)

    @classmethod
    def load(cls, folder: Path) -> Heard:
        """Read what `save` wrote; a run from before there was a table has none of its rows."""
        import pandas as pd

        empty = nothing_heard()
        paths = {name: folder / _file(name) for name in empty._tables()}
        return cls(
            **{name: pd.read_parquet(path) if path.is_file() else getattr(empty, name) for name, path in paths.items()}
        )

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def _file(name: str) -> str:
    return f"{name}.parquet"


def nothing_heard() -> Heard:
    """Tables without rows."""
    return Heard(
        quality=frame_of([], QUALITY_COLUMNS),
        nearest=frame_of([], NEAREST_COLUMNS),
        costs=frame_of([], COST_COLUMNS),
        roles=frame_of([], ROLE_COLUMNS),
    )

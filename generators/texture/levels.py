"""The levels of all machines: a linear model of the caption's words for each machine and condition (`groups`).

Levels are what a detector of anomalous sounds responds to first. For a stationary sound they are nearly everything: in
every band at unit level such a sound is white noise. Bands that stand out from those around them may be tones, which
are steady as noise is not; how far they are is measured (`tones`). A sound that comes and goes is another matter
(`events`): which machines and conditions are stationary is measured too (`bands.motion_of`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..shared.randomness import stream
from .added_power import AddedPower
from .bands import unit_bands
from .groups import GROUP_ARRAYS, Group
from .lapped_transform import LappedTransform
from .stored import Stored, read_stored
from .tones import with_tones
from .words import words_of

__all__ = ["FILE", "LevelClip", "LevelModel"]

Array = npt.NDArray[np.float64]
Names = tuple[str, ...]
"""Words of a machine and condition, see `captions.group_words`."""

FILE = "levels.safetensors"
"""Name of the file beside a model."""
_ADDED = ("scale", "constant", "slopes", "offset")


@dataclass(frozen=True)
class LevelClip:
    """What is fitted to of a training clip.

    Attributes:
        names: words that captions of its machine and condition have in common.
        caption: the caption.
        levels: of its bands in nepers, shape (bands,).
        shares: how steady what stands out in it is, see `tonal_shares`.
    """

    names: Names
    caption: str
    levels: Array
    shares: Array


class LevelModel(Stored):
    """Level of each band by caption.

    Attributes:
        bands: length of a level.
    """

    file = FILE

    def __init__(self, bands: int, groups: Sequence[Group]) -> None:
        self.bands = bands
        self._groups = {group.names: group for group in groups}

    @classmethod
    def fit(
        cls,
        clips: Sequence[LevelClip],
        bands: int,
        vocabulary: Iterable[str],
        *,
        bases: Mapping[Names, Names] | None = None,
        scaling: Iterable[str] = (),
    ) -> LevelModel:
        """Fit the model in closed form.

        Args:
            clips: training clips.
            bands: length of a level.
            vocabulary: texts whose words may be features, such as the values of attributes.
            bases: of groups of anomalies that of the normal clips of the machine; those without clips do not count.
            scaling: phrases that say how severe an anomaly is, such as "barely audible", and nothing else.
        """
        words = sorted({word for text in vocabulary for word in words_of(text)})
        phrases = sorted({tuple(sorted(words_of(text))) for text in scaling} - {()})
        by_names: dict[Names, list[LevelClip]] = {}
        for clip in clips:
            by_names.setdefault(clip.names, []).append(clip)
        base_of = {names: base for names, base in (bases or {}).items() if base in by_names and base != names}
        fitted: dict[Names, Group] = {}
        for names in sorted(by_names, key=lambda names: (names in base_of, names)):
            own = by_names[names]
            fitted[names] = Group.fit(
                names,
                np.stack([clip.levels for clip in own]),
                [words_of(clip.caption) for clip in own],
                words,
                [clip.shares for clip in own],
                base=fitted[base_of[names]] if names in base_of else None,
                scaling=phrases,
            )
        return cls(bands, [*fitted.values()])

    @property
    def names(self) -> list[Names]:
        """Words of the machines and conditions whose level is known."""
        return [*self._groups]

    def draw(self, names: Names, caption: str, seed: int) -> Array:
        """Draw the level of a clip, shape (bands,); it depends on the arguments alone.

        Args:
            names: words of machine and condition, one of `names`.
            caption: the caption.
            seed: of the clip.
        """
        return self._groups[names].draw(words_of(caption), stream("level", seed))

    def make(self, noise: Array, names: Names, caption: str, seed: int, transform: LappedTransform) -> Array:
        """Give white noise the level of a caption, and tones where that stands out.

        Args:
            noise: shape (bands, T).
            names: see `draw`.
            caption: see `draw`.
            seed: see `draw`.
            transform: that the coefficients are of.

        Returns:
            Coefficients whose bands have the level that was drawn, shape (bands, T).
        """
        level = self.draw(names, caption, seed)
        made = with_tones(noise, level, float(self._groups[names].tonal[0]), transform, stream("tones", seed))
        return unit_bands(made)[0] * np.exp(level)[:, None]

    # -- on disk

    @classmethod
    def load(cls, path: Path) -> LevelModel:
        """Read what `save` wrote.

        Raises:
            UserError: the file is damaged.
        """
        return read_stored(path, "levels", cls._of)

    @classmethod
    def _of(cls, described: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> LevelModel:
        arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
        groups: dict[Names, Group] = {}
        for place, row in enumerate(described["groups"]):
            group = _read_group(row, str(place), arrays, groups)
            groups[group.names] = group
        model = cls(int(described["bands"]), [*groups.values()])
        for group in groups.values():
            group.check(model.bands)
        return model

    def words(self) -> str:
        """What the arrays are, as JSON."""
        rows: list[dict[str, object]] = []
        for group in self._groups.values():
            row: dict[str, object] = {"names": group.names, "words": group.words, "pairs": group.pairs}
            if group.above is not None:
                base, added = group.above
                row |= {"base": base.names, "scaling": added.scaling}
            rows.append(row)
        return json.dumps({"bands": self.bands, "groups": rows})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers, in half precision."""
        arrays: dict[str, Array] = {}
        for place, group in enumerate(self._groups.values()):
            arrays |= {f"{place}.{name}": getattr(group, name) for name in GROUP_ARRAYS}
            if group.above is not None:
                arrays |= {f"{place}.added.{name}": getattr(group.above[1], name) for name in _ADDED}
        return {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in arrays.items()}


def _read_group(
    row: Mapping[str, Any], place: str, arrays: Mapping[str, Array], groups: Mapping[Names, Group]
) -> Group:
    """Read a group after that of its normal clips."""
    group = Group(
        tuple(row["names"]),
        tuple(row["words"]),
        tuple((a, b) for a, b in row["pairs"]),
        *(arrays[f"{place}.{name}"] for name in GROUP_ARRAYS),
    )
    if "base" not in row:
        return group
    scaling = tuple(tuple(phrase) for phrase in row["scaling"])
    added = AddedPower(scaling, *(arrays[f"{place}.added.{name}"] for name in _ADDED))
    return replace(group, above=(groups[tuple(row["base"])], added))

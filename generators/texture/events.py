"""Sounds that come and go, by caption: what a clip's events are, when they happen, and the background behind them.

Frames of tens of milliseconds smear the click of a valve, and white noise with a level has no events at all. So for
machines whose sound comes and goes all that varies with time has a model of its own: the *states* of the machine
(`event_states`), each with a spectrum at 8 ms; which state follows which, and after how long (`spells`); and,
conditioned on the words of the caption, the level of the background in every band, the gain of every state, the fine
structure of events in narrow bands (`fine_spectra`), and moments of the lowest ones over time (`envelope_moments`),
drawn as levels are (`groups.Group`). The statistics of when things happen are those of the training clips whose labels
have most in common with the caption (`label_weights`). What is left is white noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..shared.randomness import stream
from .bands import unit_bands
from .envelope_moments import with_moments
from .event_sounds import EventSound, short_transform
from .event_states import States
from .fine_spectra import in_long_frames
from .groups import GROUP_ARRAYS, Group
from .lapped_transform import LappedTransform
from .spells import StatePath, draw_path, runs, spells_of
from .stored import Stored, read_stored
from .tones import with_tones
from .words import words_of

__all__ = ["FILE", "EventKind", "EventModel"]

Array = npt.NDArray[np.float64]
Names = tuple[str, ...]

FILE = "events.safetensors"
"""Name of the file beside a model."""
_LOUDEST = 2.0
"""Nepers by which what is drawn may differ from the mean, but for levels."""
_SILENT = 1e-4
"""Least power of white noise in a band: a few frames of it may hardly have any."""


@dataclass(frozen=True)
class EventKind:
    """The clips of a machine and condition.

    Attributes:
        machine: machine type.
        states: of the machine.
        group: the sound of clips by caption, see `EventSound`.
        labels: words of each clip that was fitted to, and how much each counts where clips like those of a caption are
            sought.
        paths: of the same clips.
    """

    machine: str
    states: States
    group: Group
    labels: tuple[Mapping[str, int], ...]
    paths: tuple[StatePath, ...]

    def draw(self, words: frozenset[str], transform: LappedTransform, random: np.random.Generator) -> EventSound:
        """Draw how a clip sounds: as loud as any, but otherwise not too far from the mean."""
        drawn, usual = (
            EventSound.split(numbers, self.states, transform)
            for numbers in (self.group.draw(words, random), self.group.mean)
        )
        pairs = zip(drawn, usual, strict=True)
        near = EventSound(*(np.clip(value, mean - _LOUDEST, mean + _LOUDEST) for value, mean in pairs))
        return near._replace(levels=drawn.levels)

    def draw_path(self, words: frozenset[str], frames: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the state in each frame, shape (frames,).

        What the caption leaves open, such as the fault, is that of one of the clips that fit it best.
        """
        clips = self._alike(frozenset(self.labels[self._alike(words, random)[0]]), random)
        return draw_path([spells_of(self.paths[clip], self.states.quiet) for clip in clips], frames, random)

    def _alike(self, words: frozenset[str], random: np.random.Generator) -> list[int]:
        """The clips whose labels have most in common with some words, in random order."""
        shared = np.array([sum(labels[word] for word in labels if word in words) for labels in self.labels])
        most = shared.max()
        return [int(clip) for clip in random.permutation(len(shared)) if shared[clip] == most]


class EventModel(Stored):
    """Events and backgrounds by caption, for the machines whose sound comes and goes.

    Attributes:
        transform: whose coefficients are made.
    """

    file = FILE

    def __init__(self, transform: LappedTransform, kinds: Sequence[EventKind]) -> None:
        self.transform, self._short = transform, short_transform(transform)
        self._kinds = {kind.group.names: kind for kind in kinds}

    @property
    def names(self) -> list[Names]:
        """Words of the machines and conditions that have events."""
        return [*self._kinds]

    @property
    def states(self) -> dict[str, int]:
        """Number of states of each machine, the background among them."""
        return {kind.machine: len(kind.states.spectra) for kind in self._kinds.values()}

    def make(self, noise: Array, names: Names, caption: str, seed: int) -> Array:
        """Give white noise the background and the events of a caption.

        Args:
            noise: shape (bands, T).
            names: words of machine and condition, one of `names`.
            caption: the caption.
            seed: of the clip.

        Returns:
            Coefficients, shape (bands, T).
        """
        kind, words, random = self._kinds[names], words_of(caption), stream("events", seed)
        ratio = self.transform.bands // self._short.bands
        sound = kind.draw(words, self.transform, random)
        path = kind.draw_path(words, noise.shape[1] * ratio, random)
        added = kind.states.added_along(path, np.exp(2 * sound.gains), np.exp(2 * sound.colour))
        level, factor = np.exp(sound.levels)[:, None], np.ones((len(noise), 1))
        factor[: len(sound.fine), 0] = np.exp(sound.fine)
        events = np.square(factor) * in_long_frames(added, ratio)
        power = events + np.square(level)
        # The model of a clip is of the power that was measured in it, and that is made: noise must not vary it again.
        share = events / power
        unit = unit_bands(noise)[0]
        tones = with_tones(unit, sound.levels, float(kind.group.tonal[0]), self.transform, random)
        behind = self._short_frames(level * _of_unit_power(tones, 1 - share))
        before = self._short_frames(factor * _of_unit_power(random.standard_normal(unit.shape), share))
        # How far the energy of events varies was measured together with what is behind them.
        deviation = np.sqrt(self._in_short_bands(level) + self._in_short_bands(factor) * added)
        mixed = (behind + before * np.sqrt(added)) / deviation
        made = self._short.inverse(kind.states.shaped(mixed, path) * deviation)
        return with_moments(self.transform.transform(made), power, self.transform, sound.means, sound.deviations)

    def _in_short_bands(self, amplitude: Array) -> Array:
        """Mean power in each band of the short transform, shape (bands, 1)."""
        return np.asarray(np.square(amplitude).reshape(self._short.bands, -1).mean(axis=1, keepdims=True))

    def _short_frames(self, coefficients: Array) -> Array:
        """Coefficients of the short transform, shape (bands, T)."""
        return self._short.transform(self.transform.inverse(coefficients))

    # -- on disk

    @classmethod
    def load(cls, path: Path, transform: LappedTransform) -> EventModel:
        """Read what `save` wrote.

        Raises:
            UserError: the file is damaged, or its events are not those of this transform.
        """

        def make(described: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> EventModel:
            rows = enumerate(described["kinds"])
            kinds = [_read_kind(row, str(place), arrays, transform.sample_rate) for place, row in rows]
            for kind in kinds:
                _check(kind, transform)
            return cls(transform, kinds)

        return read_stored(path, "events", make)

    def words(self) -> str:
        """What the arrays are, as JSON."""
        rows = [
            {
                "machine": kind.machine,
                "names": kind.group.names,
                "words": kind.group.words,
                "pairs": kind.group.pairs,
                "labels": [dict(sorted(labels.items())) for labels in kind.labels],
            }
            for kind in self._kinds.values()
        ]
        return json.dumps({"kinds": rows})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers: paths as runs, most others in half precision."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for place, kind in enumerate(self._kinds.values()):
            arrays[f"{kind.machine}.spectra"] = kind.states.spectra.astype(np.float32)
            arrays[f"{kind.machine}.quiet"] = kind.states.quiet.astype(np.uint8)
            arrays[f"{kind.machine}.exponents"] = kind.states.exponents.astype(np.float16)
            for name in GROUP_ARRAYS:
                arrays[f"{place}.{name}"] = np.ascontiguousarray(getattr(kind.group, name), dtype=np.float16)
            found = [[(path[begin], end - begin) for begin, end in runs(path)] for path in kind.paths]
            arrays[f"{place}.states"] = np.array([state for clip in found for state, _ in clip], dtype=np.uint8)
            arrays[f"{place}.frames"] = _small([length for clip in found for _, length in clip])
            arrays[f"{place}.counts"] = _small([len(clip) for clip in found])
        return arrays


def _small(counts: Sequence[int]) -> npt.NDArray[Any]:
    """Counts in 16 bits where these hold them, else in 32."""
    return np.array(counts, dtype=np.uint16 if max(counts) < 2**16 else np.uint32)


def _of_unit_power(noise: Array, share: Array) -> Array:
    """Give each band of noise a power of 1 where it makes up most of the sound; shapes (bands, T)."""
    weights = np.square(share) + 1e-9
    power = (weights * np.square(noise)).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(noise / np.sqrt(np.maximum(power, _SILENT))[:, None])


def _read_kind(row: dict[str, Any], place: str, arrays: dict[str, npt.NDArray[Any]], sample_rate: int) -> EventKind:
    group = Group(
        tuple(row["names"]),
        tuple(row["words"]),
        tuple((a, b) for a, b in row["pairs"]),
        *(arrays[f"{place}.{name}"].astype(np.float64) for name in GROUP_ARRAYS),
    )
    machine = row["machine"]
    spectra, quiet, exponents = (arrays[f"{machine}.{name}"] for name in ("spectra", "quiet", "exponents"))
    states = States(spectra.astype(np.float64), quiet.astype(bool), exponents.astype(np.float64), sample_rate)
    found, lengths, counts = (arrays[f"{place}.{name}"] for name in ("states", "frames", "counts"))
    if counts.sum() != len(found) or len(found) != len(lengths) or not counts.all() or not lengths.all():
        raise ValueError("paths that do not go together")
    ends = np.cumsum(counts.astype(np.int64))
    paths = tuple(
        np.repeat(found[begin:end], lengths[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    labels = tuple({str(word): int(weight) for word, weight in dict(each).items()} for each in row["labels"])
    return EventKind(machine, states, group, labels, paths)


def _check(kind: EventKind, transform: LappedTransform) -> None:
    states, bands = kind.states.spectra.shape
    if bands != short_transform(transform).bands:
        raise ValueError(f"states of {bands} bands")
    kind.group.check(sum(EventSound.counts(kind.states, transform)))
    if not np.isfinite(kind.states.spectra).all() or not (np.abs(kind.states.exponents - 0.5) <= 0.5).all():
        raise ValueError("numbers that are not finite")
    if len({len(kind.labels), len(kind.paths), len(kind.group.scores)}) > 1:
        raise ValueError("clips that do not go together")
    if len(kind.states.quiet) != states or kind.states.exponents.shape != (states, bands):
        raise ValueError("states that do not go together")
    if max(int(path.max()) for path in kind.paths) >= states:
        raise ValueError("states that there are not")

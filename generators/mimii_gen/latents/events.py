"""Sounds that come and go, by caption: what a clip's events are, when they happen, and the background behind them.

A lapped transform of hundreds of bands has frames of tens of milliseconds, which smear the click of a valve, and a
short training of the U-Net does not learn when a machine strikes. So for machines whose sound comes and goes all that
varies with time is modelled apart and fitted to training clips: the *states* of the machine (`event_states`), each with
a spectrum of its own at 8 ms; which state follows which, and after how long; and by the words of the caption the level
of the background in every band and the gain of every state, drawn as levels are (`levels.Group`). What is left is white
noise, and the U-Net has nothing to add.

When things happen is drawn from a Markov chain of *spells*: in turn, something happens or it is quiet, and how long a
spell lasts depends on the three before it (a semi-Markov chain; S.-Z. Yu, "Hidden semi-Markov models", Artificial
Intelligence 174, 2010). A spell is the sequence of states of one that was met, a second at most. The statistics are
those of the training clips whose labels have most in common with the caption.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from asdbench import UserError

from ..randomness import stream
from .event_states import States, fit_states
from .lapped_transform import LappedTransform
from .levels import Group, unit_bands, words_of
from .stored import Stored

__all__ = ["CLIPS", "FILE", "EventClip", "EventModel"]

Array = npt.NDArray[np.float64]
StatePath = npt.NDArray[np.uint8]
"""The state in each frame, shape (T,)."""
Spell = tuple[bool, StatePath]
"""Whether it is quiet, and its states."""
Context = tuple[tuple[bool, int], ...]
"""Of the spells before, the latest one last: whether it was quiet, and its duration (quarters of an octave)."""

FILE = "events.safetensors"
"""Name of the file beside a model."""
CLIPS = 192
"""Clips of a machine and condition that are enough to fit to."""
_FRAME = 0.008
"""Time in s between two frames of the short transform."""
_MEMORY = 3
"""Spells that the next one depends on."""
_LONGEST = 125
"""Frames of a spell; a longer one counts as several."""
_PAUSE, _BLIP = 4, 1
"""Frames of quiet that do not end what happens, and of what does not count as happening."""
_ALIKE = 3
"""Clips at least whose spells a chain is made of."""
_SUPPORT = 12
"""Clips that a pair of words needs to be a feature: what a severity does depends on the fault."""
_LOUDEST = 2.0
"""Nepers by which a gain that is drawn may differ from the mean."""


@dataclass(frozen=True)
class EventClip:
    """A training clip.

    Attributes:
        latents: of a lapped transform, shape (dim, T).
        machine: machine type.
        names: words that captions of its machine and condition have in common.
        caption: the caption.
        labels: words of its labels, whether the caption tells them or not, and how much each counts where clips like
            those of a caption are sought.
    """

    latents: Tensor
    machine: str
    names: tuple[str, ...]
    caption: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class _Kind:
    """The clips of a machine and condition.

    Attributes:
        machine: machine type.
        states: of the machine.
        group: log amplitudes by caption: of the background in each band of the latents, then the gain of each state.
        labels: of each clip that was fitted to.
        paths: likewise.
    """

    machine: str
    states: States
    group: Group
    labels: tuple[Mapping[str, int], ...]
    paths: tuple[StatePath, ...]

    def draw_path(self, words: frozenset[str], frames: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the state in each frame, shape (frames,).

        What the caption leaves open, such as the fault, is that of one of the clips that fit it best.
        """
        clips = self._alike(self._alike(words, random, 1)[0], random) if len(self.labels) > 1 else [0]
        told = [_spells(self.paths[clip], self.states.quiet) for clip in clips]
        following: dict[Context, list[Spell]] = defaultdict(list)
        for spells in told:
            for place in range(1, len(spells) - 1):  # the first and last one are cut short by the ends of the clip
                for context in _contexts(spells[:place]):
                    following[context].append(spells[place])
        before, found = _beginning(told[int(random.integers(len(told)))], random)
        while sum(map(len, found)) < frames:
            known = next((following[context] for context in _contexts(before) if context in following), before[-1:])
            spell = known[int(random.integers(len(known)))]  # what nothing ever follows goes on
            before, found = [*before, spell], [*found, spell[1]]
        return np.concatenate(found)[:frames].astype(np.int64)

    def _alike(self, words: frozenset[str] | int, random: np.random.Generator, least: int = _ALIKE) -> list[int]:
        """The clips that share most labels with some words, or with a clip; of equals all, in random order."""
        words = frozenset(self.labels[words]) if isinstance(words, int) else words
        shared = np.array([sum(labels[word] for word in labels if word in words) for labels in self.labels])
        order = random.permutation(len(shared))
        order = order[np.argsort(-shared[order], kind="stable")]
        enough = shared[order[min(least, len(order)) - 1]]
        return [int(clip) for clip in order if shared[clip] >= enough]


def _spells(path: StatePath, quiet: npt.NDArray[np.bool_]) -> list[Spell]:
    """Cut a path into spells: whether each is quiet, and its states."""
    still = quiet[path]
    for least, value in ((_PAUSE, True), (_BLIP, False)):  # short pauses first, then what is still a blip
        for begin, end in _runs(still):
            if still[begin] == value and end - begin <= least and begin > 0 and end < len(still):
                still[begin:end] = not value
    pieces = [
        (bool(still[begin]), path[start : min(start + _LONGEST, end)])
        for begin, end in _runs(still)
        for start in range(begin, end, _LONGEST)
    ]
    return pieces


def _runs(values: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Beginning and end of each run of equal values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(values)], strict=True))


def _beginning(spells: list[Spell], random: np.random.Generator) -> tuple[list[Spell], list[StatePath]]:
    """Start within a clip: the spells up to a random frame, and what is left of the last one."""
    ends = np.cumsum([len(states) for _, states in spells])
    frame = int(random.integers(ends[-1]))
    place = int(np.searchsorted(ends, frame, side="right"))
    return spells[: place + 1], [spells[place][1][-int(ends[place] - frame) :]]


def _contexts(before: Sequence[Spell]) -> list[Context]:
    """What the next spell may depend on, the longest memory first."""
    latest = [(quiet, round(4 * math.log2(len(states)))) for quiet, states in before[-_MEMORY:]]
    return [tuple(latest[len(latest) - memory :]) for memory in range(len(latest), -1, -1)]


class EventModel(Stored):
    """Events and backgrounds by caption, for the machines whose sound comes and goes.

    Attributes:
        codec: whose latents are made.
    """

    file = FILE

    def __init__(self, codec: LappedTransform, kinds: Sequence[_Kind]) -> None:
        self.codec, self._kinds = codec, list(kinds)
        self._short = short_transform(codec)

    @classmethod
    def fit(cls, clips: Sequence[EventClip], codec: LappedTransform, seed: int) -> EventModel:
        """Fit the model.

        Args:
            clips: of all machines that have events, those of a machine of one length.
            codec: that the latents are of.
            seed: of the first guess.

        Raises:
            UserError: there can be no events with this codec.
        """
        kinds = []
        for machine in sorted({clip.machine for clip in clips}):
            kinds += _fit_machine([clip for clip in clips if clip.machine == machine], codec, seed)
        return cls(codec, kinds)

    def knows(self, caption: str) -> bool:
        """Whether the clips of a caption have events."""
        return self._kind(words_of(caption)) is not None

    def make(self, noise: Tensor, captions: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """Give noise the background and the events of captions; each clip depends on its own row, caption and seed.

        Args:
            noise: latents without level or envelope, shape (batch, dim, T).
            captions: of clips that have events, see `knows`.
            seeds: of each.

        Returns:
            Latents, shape (batch, dim, T).
        """
        unit, _ = unit_bands(noise)
        made = [self._make(row, text, seed) for row, text, seed in zip(unit, captions, seeds, strict=True)]
        return torch.stack(made).to(noise)

    def _make(self, unit: Tensor, caption: str, seed: int) -> Tensor:
        words, random = words_of(caption), stream("events", seed)
        kind = self._kind(words)
        if kind is None:
            raise ValueError(f"the caption '{caption}' tells of no machine with events")
        drawn, mean = kind.group.draw(words, random), kind.group.mean
        levels, bands = drawn[: self.codec.bands], self._short.bands
        gains = np.exp(2 * np.clip(drawn - mean, -_LOUDEST, _LOUDEST) + 2 * mean)[self.codec.bands :]
        background = np.exp(2 * levels).reshape(bands, -1).mean(axis=1)
        latents = unit.float() * torch.from_numpy(np.exp(levels))[:, None].to(unit)
        short = self._short.transform(self.codec.inverse(latents[None]))
        path = kind.draw_path(words, short.shape[2], random)
        relative = torch.from_numpy(np.sqrt(kind.states.relative(path, gains, background)))
        return self.codec.transform(self._short.inverse(short * relative.to(short)))[0]

    def _kind(self, words: frozenset[str]) -> _Kind | None:
        fitting = [kind for kind in self._kinds if words.issuperset(kind.group.names)]
        return max(fitting, key=lambda kind: (len(kind.group.names), kind.group.names), default=None)

    # -- on disk

    @classmethod
    def load(cls, path: Path, codec: LappedTransform) -> EventModel:
        """Read what `save` wrote.

        Raises:
            UserError: the file is damaged, or its events are not those of this codec.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                described = json.loads((file.metadata() or {})["words"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            kinds = [_read_kind(row, str(place), arrays) for place, row in enumerate(described["kinds"])]
            for kind in kinds:
                _check(kind, codec)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: expected the events of a trained generator ({error})") from error
        return cls(codec, kinds)

    def _words(self) -> str:
        rows = [
            {
                "machine": kind.machine,
                "names": kind.group.names,
                "words": kind.group.words,
                "pairs": kind.group.pairs,
                "labels": [dict(sorted(labels.items())) for labels in kind.labels],
            }
            for kind in self._kinds
        ]
        return json.dumps({"kinds": rows})

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for place, kind in enumerate(self._kinds):
            arrays[f"{kind.machine}.spectra"] = kind.states.spectra.astype(np.float32)
            arrays[f"{kind.machine}.quiet"] = kind.states.quiet.astype(np.uint8)
            for name in _ARRAYS:
                arrays[f"{place}.{name}"] = np.ascontiguousarray(getattr(kind.group, name), dtype=np.float16)
            runs = [[(path[begin], end - begin) for begin, end in _runs(path)] for path in kind.paths]
            arrays[f"{place}.states"] = np.array([state for clip in runs for state, _ in clip], dtype=np.uint8)
            arrays[f"{place}.frames"] = np.array([length for clip in runs for _, length in clip], dtype=np.uint16)
            arrays[f"{place}.counts"] = np.array([len(clip) for clip in runs], dtype=np.uint16)
        return arrays


_ARRAYS = ("centre", "mean", "slopes", "directions", "rest")


def short_transform(codec: LappedTransform) -> LappedTransform:
    """The transform whose frames are short enough for impacts.

    Raises:
        UserError: the bands of the codec are no multiple of its bands.
    """
    bands = 2 * round(_FRAME * codec.sample_rate / 2)
    if codec.bands % bands:
        raise UserError(f"events: codec '{codec.name}' has {codec.bands} bands, expected a multiple of {bands}")
    return LappedTransform(bands, codec.sample_rate)


def _fit_machine(clips: Sequence[EventClip], codec: LappedTransform, seed: int) -> list[_Kind]:
    short, machine = short_transform(codec), clips[0].machine
    coefficients = torch.stack([short.transform(codec.inverse(clip.latents[None]))[0].T for clip in clips])
    states, heard = fit_states(coefficients.square().numpy(), seed)
    levels = []
    for row, path, gains, background in zip(coefficients, heard.paths, heard.gains, heard.backgrounds, strict=True):
        relative = torch.from_numpy(np.sqrt(states.relative(path, gains, background)))
        still = codec.transform(short.inverse((row.T / relative).float()[None]))
        levels.append(unit_bands(still)[1][0].double().numpy())
    amplitudes = np.concatenate([np.array(levels), np.log(heard.gains) / 2], axis=1)
    kinds = []
    for names in sorted({clip.names for clip in clips}):
        rows = [row for row, clip in enumerate(clips) if clip.names == names]
        told = [words_of(clips[row].caption) for row in rows]
        labels = tuple(clips[row].labels for row in rows)
        group = Group.fit(names, amplitudes[rows], told, frozenset().union(*labels), True, pair_support=_SUPPORT)
        kinds.append(_Kind(machine, states, group, labels, tuple(heard.paths[row] for row in rows)))
    return kinds


def _read_kind(row: dict[str, Any], place: str, arrays: dict[str, npt.NDArray[Any]]) -> _Kind:
    found = {name: arrays[f"{place}.{name}"].astype(np.float64) for name in _ARRAYS}
    group = Group(
        tuple(row["names"]),
        tuple(row["words"]),
        tuple((a, b) for a, b in row["pairs"]),
        **found,
        spread=np.zeros(0),
        moving=np.ones(1),
    )
    machine = row["machine"]
    states = States(arrays[f"{machine}.spectra"].astype(np.float64), arrays[f"{machine}.quiet"].astype(bool))
    runs, lengths, counts = (arrays[f"{place}.{name}"] for name in ("states", "frames", "counts"))
    if counts.sum() != len(runs) or len(runs) != len(lengths) or not counts.all() or not lengths.all():
        raise ValueError("paths that do not go together")
    ends = np.cumsum(counts.astype(np.int64))
    paths = tuple(
        np.repeat(runs[begin:end], lengths[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    return _Kind(
        machine,
        states,
        group,
        tuple({str(word): int(weight) for word, weight in labels.items()} for labels in row["labels"]),
        paths,
    )


def _check(kind: _Kind, codec: LappedTransform) -> None:
    group, (states, bands) = kind.group, kind.states.spectra.shape
    dim, features = codec.bands + states, len(group.words) + len(group.pairs)
    wanted = [(features,), (dim,), (features, dim), (len(group.directions), dim), (dim,)]
    found = [getattr(group, name).shape for name in _ARRAYS]
    if found != wanted or bands != short_transform(codec).bands:
        raise ValueError(f"arrays of the shapes {found} and {bands} bands")
    if (
        not all(np.isfinite(getattr(group, name)).all() for name in _ARRAYS)
        or not np.isfinite(kind.states.spectra).all()
    ):
        raise ValueError("numbers that are not finite")
    if len(kind.labels) != len(kind.paths) or not kind.labels or len(kind.states.quiet) != states:
        raise ValueError("paths that do not go together")
    if max(int(path.max()) for path in kind.paths) >= states:
        raise ValueError("states that there are not")

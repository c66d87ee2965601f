"""Sounds that come and go, by caption: what a clip's events are, when they happen, and the background behind them.

A lapped transform of hundreds of bands has frames of tens of milliseconds, which smear the click of a valve, and a
short training of the U-Net does not learn when a machine strikes. So for machines whose sound comes and goes all that
varies with time is modelled apart and fitted to training clips: the *states* of the machine (`event_states`), each with
a spectrum of its own at 8 ms; which state follows which, and after how long; and by the words of the caption the level
of the background in every band, the gain of every state, what is heard of events in narrow bands, where an ear tells
them apart (`fine_spectra`), and how loud the lowest ones are over time other than all that tells (`envelope_moments`),
drawn as levels are (`levels.Group`). What is left is white noise, and the U-Net has nothing to add.

When things happen is drawn from a Markov chain of *spells*: in turn, something happens or it is quiet, and how long a
spell lasts depends on the three before it (a semi-Markov chain; S.-Z. Yu, "Hidden semi-Markov models", Artificial
Intelligence 174, 2010). A spell is the sequence of states of one that was met, a second at most. The statistics are
those of the training clips whose labels have most in common with the caption; labels count by how much of when things
happen they explain.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from asdbench import UserError

from ...shared.randomness import stream
from .envelope_moments import group_count, moments_of, with_moments
from .event_states import States, colour_edges, fit_states
from .fine_spectra import fine_spectra, in_long_frames
from .lapped_transform import LappedTransform
from .levels import Group, unit_bands, words_of
from .stored import Stored
from .tones import tonal_shares, with_tones

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
CLIPS = 1024
"""Clips of a machine and condition that are enough to fit to."""
_FRAME = 0.008
"""Time in s between two frames of the short transform."""
_MEMORY = 3
"""Spells that the next one depends on, at most."""
_LONGEST = 125
"""Frames of a spell; a longer one counts as several."""
_PAUSE, _BLIP = 4, 1
"""Frames of quiet that do not end what happens, and of what does not count as happening."""
_FAULT = "fault"
"""The label that always counts most."""
_SUPPORT = 12
"""Clips that a pair of words needs to be a feature: what a severity does depends on the fault."""
_LOUDEST = 2.0
"""Nepers by which what is drawn may differ from the mean, but for levels."""
_SILENT = 1e-4
"""Least power of white noise in a band: a few frames of it may hardly have any."""
_FINE_HZ = 2000
"""Below it bands of the short transform are wider than those that log-mel detectors hear, and events have factors in
the bands of the latents."""


@dataclass(frozen=True)
class EventClip:
    """A training clip.

    Attributes:
        latents: of a lapped transform, shape (dim, T).
        machine: machine type.
        names: words that captions of its machine and condition have in common.
        caption: the caption.
        labels: words of each of its labels, by the label's name, whether the caption tells them or not.
    """

    latents: Tensor
    machine: str
    names: tuple[str, ...]
    caption: str
    labels: Mapping[str, frozenset[str]]


class _Sound(NamedTuple):
    """What captions tell of a clip; in a group these numbers come one after the other.

    Attributes:
        levels: log amplitude of the background in each band of the latents.
        gains: log amplitude of each state.
        colour: log amplitude of all states in each group of bands of the short transform.
        fine: log amplitude of events relative to that, in each band of the latents below `_FINE_HZ`.
        means: mean log amplitude of narrow groups of bands, relative to that of a clip as the others tell it, see
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
    def counts(cls, states: States, codec: LappedTransform) -> list[int]:
        """How many numbers of each sort there are."""
        counts = {
            "levels": codec.bands,
            "gains": len(states.spectra),
            "colour": len(colour_edges(states.spectra.shape[1])) - 1,
            "fine": _fine_bands(codec),
            "means": group_count(codec),
            "deviations": group_count(codec),
        }
        return [counts[name] for name in cls._fields]


@dataclass(frozen=True)
class _Kind:
    """The clips of a machine and condition.

    Attributes:
        machine: machine type.
        states: of the machine.
        group: what is told of clips, by caption.
        labels: words of each clip that was fitted to, and how much each counts where clips like those of a caption are
            sought.
        paths: of the same clips.
    """

    machine: str
    states: States
    group: Group
    labels: tuple[Mapping[str, int], ...]
    paths: tuple[StatePath, ...]

    def draw(self, words: frozenset[str], codec: LappedTransform, random: np.random.Generator) -> _Sound:
        """Draw how a clip sounds: as loud as any, but otherwise not too far from the mean."""
        ends = np.cumsum(_Sound.counts(self.states, codec))[:-1]
        drawn, usual = (_Sound(*np.split(told, ends)) for told in (self.group.draw(words, random), self.group.mean))
        pairs = zip(drawn, usual, strict=True)
        near = _Sound(*(np.clip(value, mean - _LOUDEST, mean + _LOUDEST) for value, mean in pairs))
        return near._replace(levels=drawn.levels)

    def draw_path(self, words: frozenset[str], frames: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the state in each frame, shape (frames,).

        What the caption leaves open, such as the fault, is that of one of the clips that fit it best.
        """
        clips = self._alike(frozenset(self.labels[self._alike(words, random)[0]]), random)
        memory = min(_MEMORY, len(clips))  # with more, the chain of few clips would be one of them again
        told = [_spells(self.paths[clip], self.states.quiet) for clip in clips]
        following: dict[Context, list[Spell]] = defaultdict(list)
        for spells in told:
            for place in range(1, len(spells) - 1):  # the first and last one are cut short by the ends of the clip
                for context in _contexts(spells[:place], memory):
                    following[context].append(spells[place])
        before, found = _beginning(told[int(random.integers(len(told)))], random)
        while sum(map(len, found)) < frames:
            contexts = _contexts(before, memory)
            known = next((following[context] for context in contexts if context in following), before[-1:])
            spell = known[int(random.integers(len(known)))]  # what nothing ever follows goes on
            before, found = [*before, spell], [*found, spell[1]]
        return np.concatenate(found)[:frames].astype(np.int64)

    def _alike(self, words: frozenset[str], random: np.random.Generator) -> list[int]:
        """The clips whose labels have most in common with some words, in random order."""
        shared = np.array([sum(labels[word] for word in labels if word in words) for labels in self.labels])
        most = shared.max()
        return [int(clip) for clip in random.permutation(len(shared)) if shared[clip] == most]


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


def _contexts(before: Sequence[Spell], memory: int) -> list[Context]:
    """What the next spell may depend on, the longest memory first."""
    latest = [(quiet, round(4 * math.log2(len(states)))) for quiet, states in before[-memory:]]
    return [tuple(latest[len(latest) - length :]) for length in range(len(latest), -1, -1)]


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
        sound = kind.draw(words, self.codec, random)
        path = kind.draw_path(words, unit.shape[1] * self.codec.bands // self._short.bands, random)
        added = kind.states.added_along(path, np.exp(2 * sound.gains), np.exp(2 * sound.colour))
        level, factor = np.exp(sound.levels)[:, None], np.ones((len(unit), 1))
        factor[: len(sound.fine), 0] = np.exp(sound.fine)
        events = np.square(factor) * in_long_frames(added, self.codec.bands // self._short.bands)
        power = events + np.square(level)
        # What is told of a clip is what was heard in it, and so is made: noise must not vary that once more.
        share = events / power
        tones = with_tones(unit, sound.levels, float(kind.group.tonal[0]), self.codec, random).cpu().double().numpy()
        behind = self._short_frames(level * _of_unit_power(tones, 1 - share))
        heard = self._short_frames(factor * _of_unit_power(random.standard_normal(unit.shape), share))
        # How far the energy of events varies was measured together with what is behind them.
        deviation = np.sqrt(self._in_short_bands(level) + self._in_short_bands(factor) * added)
        noise = (behind + heard * np.sqrt(added)) / deviation
        made = torch.from_numpy(kind.states.shaped(noise, path) * deviation).float()
        latents = self.codec.transform(self._short.inverse(made[None]).to(unit))[0]
        return with_moments(latents, power, self.codec, sound.means, sound.deviations)

    def _in_short_bands(self, amplitude: Array) -> Array:
        """Mean power in each band of the short transform, shape (bands, 1)."""
        return np.asarray(np.square(amplitude).reshape(self._short.bands, -1).mean(axis=1, keepdims=True))

    def _short_frames(self, latents: Array) -> Array:
        """Coefficients of the short transform, shape (bands, T)."""
        waveform = self.codec.inverse(torch.from_numpy(latents).float()[None])
        return self._short.transform(waveform)[0].double().numpy()

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
            arrays[f"{kind.machine}.exponents"] = kind.states.exponents.astype(np.float16)
            for name in _ARRAYS:
                arrays[f"{place}.{name}"] = np.ascontiguousarray(getattr(kind.group, name), dtype=np.float16)
            runs = [[(path[begin], end - begin) for begin, end in _runs(path)] for path in kind.paths]
            arrays[f"{place}.states"] = np.array([state for clip in runs for state, _ in clip], dtype=np.uint8)
            arrays[f"{place}.frames"] = np.array([length for clip in runs for _, length in clip], dtype=np.uint16)
            arrays[f"{place}.counts"] = np.array([len(clip) for clip in runs], dtype=np.uint16)
        return arrays


_ARRAYS = ("centre", "mean", "slopes", "told", "scores", "directions", "rest", "tonal")


def short_transform(codec: LappedTransform) -> LappedTransform:
    """The transform whose frames are short enough for impacts.

    Raises:
        UserError: the bands of the codec are no multiple of its bands.
    """
    bands = 2 * round(_FRAME * codec.sample_rate / 2)
    if codec.bands % bands:
        raise UserError(f"events: codec '{codec.name}' has {codec.bands} bands, expected a multiple of {bands}")
    return LappedTransform(bands, codec.sample_rate)


def _of_unit_power(noise: Array, share: Array) -> Array:
    """Give each band of noise a power of 1 where it makes up most of what is heard; shapes (bands, T)."""
    weights = np.square(share) + 1e-9
    power = (weights * np.square(noise)).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(noise / np.sqrt(np.maximum(power, _SILENT))[:, None])


def _fine_bands(codec: LappedTransform) -> int:
    """Bands of the latents in which events have a factor."""
    return min(codec.bands, 2 * codec.bands * _FINE_HZ // codec.sample_rate)


def _fit_machine(clips: Sequence[EventClip], codec: LappedTransform, seed: int) -> list[_Kind]:
    short, machine = short_transform(codec), clips[0].machine
    coefficients = torch.stack([short.transform(codec.inverse(clip.latents[None]))[0].T for clip in clips])
    states, heard = fit_states(coefficients.square().numpy(), seed)
    sounds, shares, ratio, fine = [], [], codec.bands // short.bands, _fine_bands(codec)
    for clip, path, gains, colour, background in zip(
        clips, heard.paths, heard.gains, heard.colours, heard.backgrounds, strict=True
    ):
        added = in_long_frames(states.added_along(path, gains, colour), ratio)
        latents = clip.latents.double().numpy()
        behind, factor = fine_spectra(np.square(latents), np.repeat(background, ratio), added)
        power = behind[:, None] + factor[:, None] * added
        means, deviations = moments_of(clip.latents, power, codec)
        sound = _Sound(
            levels=np.log(behind) / 2,
            gains=np.log(gains) / 2,
            colour=np.log(colour) / 2,
            fine=np.log(factor[:fine]) / 2,
            means=means,
            deviations=deviations,
        )
        sounds.append(np.concatenate(sound))
        shares.append(tonal_shares(torch.from_numpy(latents / np.sqrt(power / behind[:, None]))))
    told = np.array(sounds)
    kinds = []
    for names in sorted({clip.names for clip in clips}):
        rows = [row for row, clip in enumerate(clips) if clip.names == names]
        captions = [words_of(clips[row].caption) for row in rows]
        labels = [_unlike(names, clips[row].labels) for row in rows]
        vocabulary = frozenset[str]().union(*(words for label in labels for words in label.values()))
        steady = [shares[row] for row in rows]
        group = Group.fit(names, told[rows], captions, vocabulary, True, steady, pair_support=_SUPPORT, estimated=True)
        paths = tuple(heard.paths[row] for row in rows)
        kinds.append(_Kind(machine, states, group, tuple(_counted(labels, paths, states)), paths))
    return kinds


def _unlike(names: Sequence[str], labels: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Labels without the words that all captions of a machine and condition have."""
    return {name: words - frozenset(names) for name, words in labels.items()}


def _counted(
    labels: Sequence[Mapping[str, frozenset[str]]], paths: Sequence[StatePath], states: States
) -> list[Mapping[str, int]]:
    """Words of the labels of clips, and how much each counts: what its label explains of when things happen.

    That is the share in per cent of the variance between clips of how often each state occurs, and of number and
    duration of spells, adjusted for the number of a label's values. The fault counts more than all others together.
    """
    told = [_spells(path, states.quiet) for path in paths]
    spans = [
        [np.mean([len(found) for still, found in spells if still == quiet] or [0]) for spells in told]
        for quiet in (False, True)
    ]
    shares = [[np.mean(path == state) for path in paths] for state in range(len(states.spectra))]
    features = np.array([*shares, *np.log1p(spans), np.log1p([len(spells) for spells in told])]).T
    counts = {}
    for name in sorted({name for label in labels for name in label} - {_FAULT}):
        counts[name] = round(100 * _explained(features, [" ".join(sorted(label.get(name, ()))) for label in labels]))
    others = [sum(counts[name] * len(words) for name, words in label.items() if name != _FAULT) for label in labels]
    counts[_FAULT] = 1 + max(others)
    return [_by_word(label, counts) for label in labels]


def _by_word(label: Mapping[str, frozenset[str]], counts: Mapping[str, int]) -> dict[str, int]:
    """How much each word of some labels counts; of a word of several labels, most."""
    words = sorted(frozenset[str]().union(*label.values()))
    return {word: max(counts[name] for name, others in label.items() if word in others) for word in words}


def _explained(features: Array, values: Sequence[str]) -> float:
    """Mean over features of the adjusted share of the variance between clips that a label explains, 0 to 1."""
    names, groups = np.unique(np.array(values), return_inverse=True)
    total = np.square(features - features.mean(axis=0)).sum(axis=0)
    varying = total > 1e-12 * len(features)
    if len(names) < 2 or len(names) >= len(features) or not varying.any():
        return 0.0
    means = np.stack([features[groups == group].mean(axis=0) for group in range(len(names))])
    left = np.square(features - means[groups]).sum(axis=0)[varying] / total[varying]
    adjusted = 1 - left * (len(features) - 1) / (len(features) - len(names))
    return float(max(0.0, adjusted.mean()))


def _read_kind(row: dict[str, Any], place: str, arrays: dict[str, npt.NDArray[Any]]) -> _Kind:
    found: dict[str, Any] = {name: arrays[f"{place}.{name}"].astype(np.float64) for name in _ARRAYS}
    group = Group(
        tuple(row["names"]),
        tuple(row["words"]),
        tuple((a, b) for a, b in row["pairs"]),
        **found,
        spread=np.zeros(0),
        moving=np.ones(1),
    )
    machine = row["machine"]
    spectra, quiet, exponents = (arrays[f"{machine}.{name}"] for name in ("spectra", "quiet", "exponents"))
    states = States(spectra.astype(np.float64), quiet.astype(bool), exponents.astype(np.float64))
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
        tuple({str(word): int(weight) for word, weight in dict(labels).items()} for labels in row["labels"]),
        paths,
    )


def _check(kind: _Kind, codec: LappedTransform) -> None:
    states, bands = kind.states.spectra.shape
    if bands != short_transform(codec).bands:
        raise ValueError(f"states of {bands} bands")
    kind.group.check(_ARRAYS, sum(_Sound.counts(kind.states, codec)))
    if not np.isfinite(kind.states.spectra).all() or not (np.abs(kind.states.exponents - 0.5) <= 0.5).all():
        raise ValueError("numbers that are not finite")
    if len({len(kind.labels), len(kind.paths), len(kind.group.scores)}) > 1:
        raise ValueError("clips that do not go together")
    if len(kind.states.quiet) != states or kind.states.exponents.shape != (states, bands):
        raise ValueError("paths that do not go together")
    if max(int(path.max()) for path in kind.paths) >= states:
        raise ValueError("states that there are not")

"""Fitting the events of a machine: its states, the path and the sound of each clip, and the clips of each condition.

The states are fitted to all clips of a machine together, by expectation maximisation, which takes minutes; so that part
has a result of its own, `MachineEvents`, which a training that was interrupted need not compute again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .envelope_moments import moments_of
from .event_sounds import EventSound, fine_bands, short_transform
from .event_states import ITERATIONS, States, fit_states
from .events import EventKind
from .fine_spectra import fine_spectra, in_long_frames
from .groups import Group
from .label_weights import weighted_words
from .lapped_transform import LappedTransform
from .spells import StatePath
from .tones import tonal_shares
from .words import words_of

__all__ = ["EventClip", "MachineEvents", "event_kinds", "fit_machine"]

Array = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

_SUPPORT = 12
"""Clips that a pair of words needs to be a feature: what a severity does depends on the fault."""


@dataclass(frozen=True)
class EventClip:
    """A training clip.

    Attributes:
        read: returns its waveform, shape (num_samples,).
        machine: machine type.
        names: words that captions of its machine and condition have in common.
        caption: the caption.
        labels: words of each of its labels, by the label's name, whether the caption names them or not.
    """

    read: Callable[[], npt.NDArray[np.floating]]
    machine: str
    names: tuple[str, ...]
    caption: str
    labels: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class MachineEvents:
    """What was found in the clips of a machine.

    Attributes:
        states: of the machine.
        paths: the state in each frame, shape (clips, T).
        sounds: of each clip, see `EventSound`, shape (clips, numbers).
        shares: how steady what stands out of the background of each clip is, see `tonal_shares`.
    """

    states: States
    paths: npt.NDArray[np.uint8]
    sounds: Array
    shares: tuple[Array, ...]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        return {
            "spectra": self.states.spectra,
            "quiet": self.states.quiet,
            "exponents": self.states.exponents,
            "sample_rate": np.array([self.states.sample_rate]),
            "paths": self.paths,
            "sounds": self.sounds,
            "shares": np.concatenate([np.zeros(0), *self.shares]),
            "counts": np.array([len(shares) for shares in self.shares]),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> MachineEvents:
        """Undo `arrays`."""
        states = States(
            arrays["spectra"], arrays["quiet"].astype(bool), arrays["exponents"], int(arrays["sample_rate"][0])
        )
        shares = np.split(arrays["shares"], np.cumsum(arrays["counts"])[:-1])
        return cls(states, arrays["paths"], arrays["sounds"], tuple(shares))


def fit_machine(
    clips: Sequence[EventClip], transform: LappedTransform, seed: int, progress: Progress = lambda done, total: None
) -> MachineEvents:
    """Find states, paths and sounds.

    Args:
        clips: of one machine and of one length, of all conditions.
        transform: in whose bands clips are synthesised.
        seed: of the first guess.
        progress: called with the steps done and all steps.
    """
    short = short_transform(transform)
    total = 2 * len(clips) + ITERATIONS
    frames = transform.num_frames(len(clips[0].read())) * transform.bands // short.bands
    power = np.empty((len(clips), frames, short.bands), dtype=np.float32)
    for place, clip in enumerate(clips):
        progress(place, total)
        power[place] = np.square(short.transform(_whole_frames(clip.read(), transform))).T
    states, found = fit_states(
        power, transform.sample_rate, seed, progress=lambda done: progress(len(clips) + done, total)
    )
    del power
    sounds, shares, ratio, fine = [], [], transform.bands // short.bands, fine_bands(transform)
    for place, (clip, path, gains, colour, background) in enumerate(
        zip(clips, found.paths, found.gains, found.colours, found.backgrounds, strict=True)
    ):
        progress(len(clips) + ITERATIONS + place, total)
        added = in_long_frames(states.added_along(path, gains, colour), ratio)
        coefficients = transform.transform(clip.read())
        behind, factor = fine_spectra(np.square(coefficients), np.repeat(background, ratio), added)
        modelled = behind[:, None] + factor[:, None] * added
        means, deviations = moments_of(coefficients, modelled, transform)
        sound = EventSound(
            levels=np.log(behind) / 2,
            gains=np.log(gains) / 2,
            colour=np.log(colour) / 2,
            fine=np.log(factor[:fine]) / 2,
            means=means,
            deviations=deviations,
        )
        sounds.append(np.concatenate(sound))
        shares.append(tonal_shares(coefficients / np.sqrt(modelled / behind[:, None])))
    return MachineEvents(states, found.paths, np.array(sounds), tuple(shares))


def event_kinds(clips: Sequence[EventClip], found: MachineEvents) -> list[EventKind]:
    """Model the clips of each condition of a machine.

    Args:
        clips: of one machine.
        found: in these clips, by `fit_machine`.
    """
    kinds = []
    for names in sorted({clip.names for clip in clips}):
        rows = [row for row, clip in enumerate(clips) if clip.names == names]
        captions = [words_of(clips[row].caption) for row in rows]
        labels = [_unlike(names, clips[row].labels) for row in rows]
        vocabulary = frozenset[str]().union(*(words for label in labels for words in label.values()))
        shares = [found.shares[row] for row in rows]
        group = Group.fit(
            names, found.sounds[rows], captions, vocabulary, shares, pair_support=_SUPPORT, estimated=True
        )
        paths: tuple[StatePath, ...] = tuple(found.paths[row] for row in rows)
        weighted = tuple(weighted_words(labels, paths, found.states.quiet))
        kinds.append(EventKind(clips[rows[0]].machine, found.states, group, weighted, paths))
    return kinds


def _whole_frames(waveform: npt.NDArray[np.floating], transform: LappedTransform) -> npt.NDArray[np.floating]:
    """The waveform with silence behind it up to the end of its last frame."""
    return np.pad(waveform, (0, transform.num_frames(len(waveform)) * transform.bands - len(waveform)))


def _unlike(names: Sequence[str], labels: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Labels without the words that all captions of a machine and condition have."""
    return {name: words - frozenset(names) for name, words in labels.items()}

"""A training from clips to a finished model: captions, analysis, levels, events, record, model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asdbench import ClipSet, Training

from ..shared.kept import kept
from ..shared.record import RECORD, SEAL, record_row, seal_of, write_fingerprints, write_seal, write_table
from .analysis import Analysis, analyse
from .captioned import CaptionedClip, captioned_clips, severity_phrases, vocabulary_of
from .event_fitting import EventClip, MachineEvents, event_kinds, fit_machine
from .events import EventKind, EventModel
from .lapped_transform import LappedTransform, default_bands
from .levels import LevelClip, LevelModel
from .model import TextureModel, count_parameters
from .model_card import ModelCard, write_model_card

if TYPE_CHECKING:
    from .generator import Texture

_METHOD = 1
"""To be raised when the same clips give other results: what an older version kept is then computed anew."""
_CLIPS = 1024
"""Clips of a machine and condition that are enough to fit events to."""
_MOVING = 0.05
"""Share of the time that a sound must be away from its mean level to have events."""

Names = tuple[str, ...]


def learn(generator: Texture, training: Training) -> None:
    """Train a generator; see `Texture.train`."""
    from threadpoolctl import threadpool_limits

    # The last bits of a product of matrices depend on how many threads compute it.
    with threadpool_limits(limits=1):
        _learn(generator, training)


def _learn(generator: Texture, training: Training) -> None:
    captioned = captioned_clips(training.clips, training.exposure, generator.seed, generator.vague_captions)
    clips = _at_one_rate(training.clips)
    rate = clips.sample_rate or 0
    transform = LappedTransform(generator.bands or default_bands(rate), rate)
    machines = sorted({clip.description.machine for clip in captioned})
    by_machine = {name: [clip for clip in captioned if clip.description.machine == name] for name in machines}
    found = _analysed(by_machine, clips, transform, training)
    moving = _moving(by_machine, found)
    kinds = []
    for machine, own in by_machine.items():
        coming = [clip for clip in own if clip.names in moving]
        if coming:
            chosen, length = _with_events(coming, found[machine], own)
            kinds += _kinds(machine, chosen, length, clips, transform, generator.seed, training)
    model = TextureModel(
        transform,
        {machine: _usual_length(found[machine]) for machine in machines},
        _levels(by_machine, found, moving, transform),
        EventModel(transform, kinds) if kinds else None,
    )
    _write(generator, training, clips, captioned, model)


def _at_one_rate(clips: ClipSet) -> ClipSet:
    """The clips, read at the rate of the benchmark; where it reads each at its own, at that which most of them have."""
    if clips.sample_rate is not None:
        return clips
    rates = Counter(int(rate) for rate in clips.frame["sample_rate"])
    read = clips.select(range(len(clips)))
    read.sample_rate = max(rates, key=lambda rate: (rates[rate], rate))
    return read


def _analysed(
    by_machine: Mapping[str, Sequence[CaptionedClip]], clips: ClipSet, transform: LappedTransform, training: Training
) -> dict[str, Analysis]:
    """Measure the clips of each machine, in the order of the captioned ones."""
    total, done, found = sum(map(len, by_machine.values())), 0, {}
    for machine, own in by_machine.items():
        chosen = clips.select([clip.index for clip in own])
        depends_on = [_METHOD, transform.identity, str(clips.channel), [clip.row["content_hash"] for clip in own]]
        report = partial(_report, training, done, total, "clips analysed")
        arrays = kept(
            training.work,
            "analysis",
            depends_on,
            lambda: analyse(chosen, transform, report).arrays(),  # noqa: B023
        )
        found[machine] = Analysis.of_arrays(arrays)
        done += len(own)
        training.progress(done, total, "clips analysed")
    return found


def _report(training: Training, before: int, total: int, note: str, done: int) -> None:
    training.progress(before + done, total, note)


def _moving(by_machine: Mapping[str, Sequence[CaptionedClip]], found: Mapping[str, Analysis]) -> set[Names]:
    """Machines and conditions whose sound comes and goes."""
    motion: dict[Names, list[float]] = {}
    for machine, own in by_machine.items():
        for clip, share in zip(own, found[machine].motion, strict=True):
            motion.setdefault(clip.names, []).append(float(share))
    return {names for names, shares in motion.items() if float(np.mean(shares)) > _MOVING}


def _levels(
    by_machine: Mapping[str, Sequence[CaptionedClip]],
    found: Mapping[str, Analysis],
    moving: set[Names],
    transform: LappedTransform,
) -> LevelModel:
    """Fit the levels of what is stationary, and of normal clips that stationary anomalies add to."""
    captioned = [clip for own in by_machine.values() for clip in own]
    bases = {clip.names: clip.base for clip in captioned}
    needed = {name for names, base in bases.items() if names not in moving for name in (names, base)}
    clips = [
        LevelClip(clip.names, clip.caption, found[machine].levels[place], found[machine].shares[place])
        for machine, own in by_machine.items()
        for place, clip in enumerate(own)
        if clip.names in needed
    ]
    return LevelModel.fit(
        clips,
        transform.bands,
        vocabulary_of(captioned),
        bases=bases,
        scaling=severity_phrases(captioned),
    )


def _with_events(
    moving: Sequence[CaptionedClip], found: Analysis, own: Sequence[CaptionedClip]
) -> tuple[list[CaptionedClip], int]:
    """Choose some clips of each condition of a machine to fit events to, and the length to which they are cut.

    Args:
        moving: the clips whose sound comes and goes.
        found: in all clips of the machine.
        own: all clips of the machine.
    """
    lengths = {clip.index: int(length) for clip, length in zip(own, found.num_samples, strict=True)}
    kinds: dict[str, list[CaptionedClip]] = {}
    for clip in sorted(moving, key=lambda clip: str(clip.row["content_hash"])):
        kinds.setdefault(clip.description.condition, []).append(clip)
    length = _common_length([[lengths[clip.index] for clip in kind] for kind in kinds.values()])
    chosen = []
    for kind in kinds.values():
        long = [clip for clip in kind if lengths[clip.index] >= length]
        chosen += ([clip for clip in long if clip.description.fault is not None] or long)[:_CLIPS]
    return chosen, length


def _common_length(kinds: Sequence[Sequence[int]]) -> int:
    """Length of which most is had where longer clips are cut and shorter ones left out, with clips of each kind."""
    lengths = sorted(length for kind in kinds for length in kind)
    most = min((max(kind) for kind in kinds), default=0)
    candidates = [(length * (len(lengths) - place), length) for place, length in enumerate(lengths) if length <= most]
    return max(candidates, default=(0, 0))[1]


def _kinds(
    machine: str,
    chosen: Sequence[CaptionedClip],
    length: int,
    clips: ClipSet,
    transform: LappedTransform,
    seed: int,
    training: Training,
) -> list[EventKind]:
    """Fit the events of a machine to clips that are cut to one length."""
    event_clips = [
        EventClip(partial(_cut, clips, clip.index, length), machine, clip.names, clip.caption, clip.labels)
        for clip in chosen
    ]
    contents = [clip.row["content_hash"] for clip in chosen]
    depends_on = [_METHOD, transform.identity, str(clips.channel), length, seed, contents]

    def report(done: int, total: int) -> None:
        training.progress(done, total, f"events of {machine}")

    arrays = kept(
        training.work, "events", depends_on, lambda: fit_machine(event_clips, transform, seed, report).arrays()
    )
    return event_kinds(event_clips, MachineEvents.of_arrays(arrays))


def _cut(clips: ClipSet, index: int, length: int) -> npt.NDArray[np.floating]:
    return clips.waveform(index)[:length]


def _usual_length(found: Analysis) -> int:
    """The length that most clips have, of several the longest."""
    lengths = Counter(found.num_samples.tolist())
    return int(max(lengths, key=lambda length: (lengths[length], length)))


def _write(
    generator: Texture, training: Training, clips: ClipSet, captioned: Sequence[CaptionedClip], model: TextureModel
) -> None:
    out = training.out
    model.save(out)
    contents = [str(clip.row["content_hash"]) for clip in captioned]
    write_table(out / RECORD, [record_row(dict(clip.row), clip.description, clip.caption) for clip in captioned])
    write_seal(out / SEAL, seal_of(contents))
    write_fingerprints(out, clips.select([clip.index for clip in captioned]))
    counts: dict[str, Counter[str]] = {}
    for clip in captioned:
        counts.setdefault(clip.description.machine, Counter())[clip.description.condition] += 1
    write_model_card(
        out,
        ModelCard(
            clips=counts,
            content_hashes=contents,
            settings=generator.settings(late=False),
            exposure=training.exposure,
            seed=generator.seed,
            transform=model.transform,
            num_samples=model.num_samples,
            states=model.events.states if model.events is not None else {},
            parameters=count_parameters(out),
        ),
    )

"""Sounds that come and go by caption: fitted to clips whose events are known, drawn, saved and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asdbench import UserError
from asdbench.generators.texture.envelope_moments import group_count, moments_of
from asdbench.generators.texture.event_fitting import EventClip, event_kinds, fit_machine
from asdbench.generators.texture.events import FILE, EventKind, EventModel
from asdbench.generators.texture.lapped_transform import LappedTransform
from asdbench.generators.texture.words import words_of

SECONDS, RATE = 4, 16000
FRAMES = SECONDS * 125
PERIODS = {"slow": 100, "fast": 25}
"""Frames of 8 ms from one event to the next."""
SOFT, LOUD = 1e-4, 1e-2
NAMES = ("drum", "normal")
SHORT = LappedTransform(128)


@pytest.fixture(scope="module")
def transform() -> LappedTransform:
    return LappedTransform(512)


def clip_of(power: np.ndarray, random: np.random.Generator, text: str, **labels: str) -> EventClip:
    """White noise with a power in each short frame."""
    wave = SHORT.inverse(random.standard_normal((128, FRAMES)) * np.sqrt(power))
    words = {name: frozenset(value.split()) for name, value in labels.items()}
    return EventClip(lambda: wave, "drum", NAMES, caption(text), words)


def clip(number: int, speed: str) -> EventClip:
    """Noise in which two frames are loud in every period."""
    random = np.random.default_rng(number)
    power = np.full(FRAMES, SOFT)
    begin = np.arange(random.integers(PERIODS[speed]), FRAMES - 1, PERIODS[speed])
    power[begin], power[begin + 1] = LOUD, LOUD
    return clip_of(power, random, speed, speed=speed)


def caption(speed: str) -> str:
    return f"A drum in normal operation, {speed}."


def fitted(clips: Sequence[EventClip], transform: LappedTransform) -> EventModel:
    return EventModel(transform, event_kinds(clips, fit_machine(clips, transform, 0)))


@pytest.fixture(scope="module")
def clips() -> list[EventClip]:
    return [clip(number, ("slow", "fast")[number % 2]) for number in range(16)]


@pytest.fixture(scope="module")
def model(clips: list[EventClip], transform: LappedTransform) -> EventModel:
    return fitted(clips, transform)


def kind_of(model: EventModel) -> EventKind:
    return model._kinds[NAMES]


def noise_of(seed: int, frames: int = FRAMES // 4) -> np.ndarray:
    return np.random.default_rng(1000 + seed).standard_normal((512, frames))


def made(model: EventModel, speeds: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    pairs = zip(speeds, seeds, strict=True)
    return np.stack([model.make(noise_of(seed), NAMES, caption(speed), seed) for speed, seed in pairs])


def loudness(model: EventModel, coefficients: np.ndarray) -> np.ndarray:
    """Power of each short frame, shape (clips, FRAMES)."""
    waves = [model.transform.inverse(clip) for clip in coefficients]
    return np.stack([np.square(SHORT.transform(wave)).mean(axis=0) for wave in waves])


def test_events_come_as_often_and_as_loud_as_the_caption_says(model: EventModel) -> None:
    seeds = list(range(8))
    for speed, period in PERIODS.items():
        power = loudness(model, made(model, [speed] * 8, seeds))
        events = power > np.sqrt(SOFT * LOUD)
        assert events.mean() == pytest.approx(2 / period, rel=0.25)
        assert power[events].mean() == pytest.approx(LOUD, rel=0.25)
        assert power[~events].mean() == pytest.approx(SOFT, rel=0.25)
        starts = np.flatnonzero(np.diff(events[0].astype(int)) == 1)
        assert np.median(np.diff(starts)) == pytest.approx(period, abs=2)


def test_means_and_deviations_of_narrow_bands_are_those_of_the_model(
    model: EventModel, transform: LappedTransform
) -> None:
    groups = group_count(transform)
    louder, rougher = np.zeros((2, len(kind_of(model).group.mean)))
    louder[-2 * groups : -groups] = 0.5
    rougher[-groups:] = 0.2
    usual, loud, rough = (
        np.mean([moments_of(clip, np.ones(clip.shape), transform) for clip in clips], axis=0)
        for clips in (
            made(each, ["slow"] * 4, [0, 1, 2, 3]) for each in (model, shifted(model, louder), shifted(model, rougher))
        )
    )
    np.testing.assert_allclose(loud - usual, np.array([[0.5], [0.0]]) * np.ones(groups), atol=0.08)
    np.testing.assert_allclose((rough - usual)[0], 0.0, atol=0.1)
    assert np.mean((rough - usual)[1]) == pytest.approx(0.17, abs=0.05)


def test_what_a_caption_leaves_open_is_estimated_and_made_together(transform: LappedTransform) -> None:
    """Some clips of a caption have many events and some have one: narrow bands differ, and the background does not."""
    clips = []
    for number in range(16):
        random = np.random.default_rng(number)
        power = np.full(FRAMES, SOFT)
        power[random.integers(40) :: (40, 400)[number % 2]] = 100 * LOUD
        clips.append(clip_of(power, random, "slow"))
    found = fitted(clips, transform)
    power = loudness(found, made(found, ["slow"] * 24, list(range(24))))
    real = np.stack([np.square(SHORT.transform(clip.read())).mean(axis=0) for clip in clips])
    counts = (power > np.sqrt(SOFT * LOUD * 100)).mean(axis=1)
    assert counts.max() > 4 * counts.min()
    assert power.max() < 2 * real.max()
    np.testing.assert_allclose(np.median(power, axis=1), SOFT, rtol=0.3)


def test_quiet_states_are_no_rougher_than_one(model: EventModel, transform: LappedTransform) -> None:
    """A path that goes to and fro between two of them is noise of one power."""
    kind = kind_of(model)
    spectra = np.array([0.0, 8 * SOFT])[:, None] * np.ones(kind.states.spectra.shape[1])
    states = replace(kind.states, spectra=spectra, quiet=np.ones(2, dtype=bool), exponents=np.ones_like(spectra))
    kept = np.r_[: 512 + 2, 512 + len(kind.states.spectra) : len(kind.group.mean)]  # the gains of two states
    group = replace(
        kind.group,
        **{name: getattr(kind.group, name)[..., kept] for name in ("mean", "slopes", "directions", "rest")},
    )
    path = (np.arange(FRAMES) // 20 % 2).astype(np.uint8)
    flickering = EventModel(transform, [replace(kind, states=states, group=group, paths=(path,) * len(kind.paths))])
    power = loudness(flickering, made(flickering, ["slow"] * 4, [0, 1, 2, 3])).reshape(4, -1, 20).mean(axis=2)
    assert power.std() < 0.1 * power.mean()


def test_a_clip_may_be_as_loud_as_any_and_is_otherwise_not_far_from_the_mean(
    model: EventModel, transform: LappedTransform
) -> None:
    kind = kind_of(model)
    far = replace(kind, group=replace(kind.group, rest=np.full(len(kind.group.mean), 100.0)))
    drawn = np.concatenate(far.draw(words_of(caption("slow")), transform, np.random.default_rng(0)))
    distance = np.abs(drawn - kind.group.mean)
    assert np.median(distance[:512]) > 50
    assert distance[512:].max() == pytest.approx(2)


def shifted(model: EventModel, more: np.ndarray, **changes: np.ndarray) -> EventModel:
    """The same model with a larger mean."""
    kind = kind_of(model)
    group = replace(kind.group, mean=kind.group.mean + more, **changes)
    return EventModel(model.transform, [replace(kind, group=group)])


def test_a_clip_shorter_than_those_fitted_to_is_like_part_of_one(model: EventModel) -> None:
    """Half of those that last 0.4 s have no slow event, and are not louder for it."""
    clips = np.stack([model.make(noise_of(seed, 13), NAMES, caption("slow"), seed) for seed in range(64)])
    assert clips.shape == (64, 512, 13)
    power = loudness(model, clips)
    silent = ~(power > np.sqrt(SOFT * LOUD)).any(axis=1)
    assert 0.25 < silent.mean() < 0.75
    assert power[silent].mean() == pytest.approx(SOFT, rel=0.1)


def test_a_clip_depends_on_its_noise_caption_and_seed_alone(model: EventModel) -> None:
    first, second, third = made(model, ["slow", "fast", "slow"], [1, 2, 3])
    np.testing.assert_array_equal(second, made(model, ["fast"], [2])[0])
    assert not np.array_equal(first, third)


def test_the_background_has_tones_where_it_stands_out(model: EventModel) -> None:
    line = np.zeros(len(kind_of(model).group.mean))
    line[200] = 3.0
    kurtosis = []
    for tonal in (0.0, 1.0):
        ringing = shifted(model, line, tonal=np.array([tonal]))
        band = made(ringing, ["slow"] * 8, list(range(8)))[:, 200]
        kurtosis.append(np.median((band**4).mean(axis=1) / np.square((band**2).mean(axis=1))))
    assert kurtosis[1] < 2.2 < 2.5 < kurtosis[0]  # that of a cosine is 1.5, that of noise 3


def test_lines_of_events_are_modelled_in_narrow_bands(transform: LappedTransform) -> None:
    """Events that have a tooth of a belt at 8.5 bands have it when they are made, and the background has none."""
    clips = []
    for number in range(12):
        random = np.random.default_rng(number)
        power = np.where(np.arange(FRAMES) // 50 % 2, LOUD, 0.0)
        colour = np.where(np.arange(512) == 8, 8.0, 1.0)[:, None]
        events, quiet = random.standard_normal((2, 512, FRAMES // 4)) * np.sqrt([colour, np.full((512, 1), SOFT)])
        wave = SHORT.inverse(SHORT.transform(transform.inverse(events)) * np.sqrt(power)) + transform.inverse(quiet)
        clips.append(EventClip(lambda wave=wave: wave, "drum", NAMES, caption("slow"), {}))  # type: ignore[misc]
    real = np.stack([transform.transform(each.read()) for each in clips])
    found = made(fitted(clips, transform), ["slow"] * 12, list(range(12)))
    (wanted, quiet), (loud, still) = map(line_over_those_beside, (real, found))
    assert wanted > 6 and quiet < 1.5
    assert loud > 4 and still < 1.5  # with so few clips states follow the noise, which makes lines seem less high


def line_over_those_beside(coefficients: np.ndarray) -> list[float]:
    """Power of band 8 relative to bands around it, during events and away from them."""
    power = np.square(coefficients)
    happens = power[:, 100:].mean(axis=1) > np.sqrt(SOFT * LOUD)
    away = ~(happens | np.roll(happens, 1, axis=1) | np.roll(happens, -1, axis=1))
    beside = power[:, [4, 5, 6, 12, 13, 14]].mean(axis=1)
    return [float(power[:, 8][when].mean() / beside[when].mean()) for when in (happens, away)]


def test_it_is_read_back(model: EventModel, transform: LappedTransform, tmp_path: Path) -> None:
    assert model.names == [NAMES] and model.states == {"drum": len(kind_of(model).states.spectra)}
    model.save(tmp_path)
    loaded = EventModel.load(tmp_path / FILE, transform)
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    assert (again / FILE).read_bytes() == (tmp_path / FILE).read_bytes()
    np.testing.assert_allclose(made(loaded, ["fast"], [5]), made(model, ["fast"], [5]), rtol=0.1, atol=1e-3)


def test_a_path_is_as_long_as_asked_for_whatever_the_clips_are(model: EventModel) -> None:
    kind = kind_of(model)
    path = kind.draw_path(words_of(caption("slow")), 1000, np.random.default_rng(0))
    assert len(path) == 1000
    happens = np.flatnonzero(np.diff(kind.states.quiet[path].astype(int)) == -1)
    assert len(happens) == pytest.approx(1000 / PERIODS["slow"], abs=2)


def test_damaged_files_and_other_transforms_are_refused(
    model: EventModel, transform: LappedTransform, tmp_path: Path
) -> None:
    model.save(tmp_path)
    path, message = tmp_path / FILE, "the events of the texture model are damaged"
    with pytest.raises(UserError, match=message):
        EventModel.load(path, LappedTransform(256))
    whole = path.read_bytes()
    states = len(kind_of(model).states.exponents)
    other_shape = whole.replace(b'"F16","shape":[%d,128]' % states, b'"F16","shape":[128,%d]' % states)
    assert other_shape != whole
    for wrong in (other_shape, whole[:-100], b""):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=message):
            EventModel.load(path, transform)


def test_labels_count_by_what_they_explain_of_when_things_happen(
    clips: list[EventClip], transform: LappedTransform
) -> None:
    labelled = [
        replace(one, labels=one.labels | {"day": frozenset([f"d{number // 4}"])}) for number, one in enumerate(clips)
    ]
    kind = kind_of(fitted(labelled, transform))
    counts = {word: count for labels in kind.labels for word, count in labels.items()}
    assert counts["slow"] == counts["fast"] > 50
    assert counts["d0"] == counts["d3"] < 20
    chosen = kind._alike(frozenset(["slow", "d1"]), np.random.default_rng(0))
    assert chosen and all("slow" in kind.labels[place] for place in chosen)


def test_the_fault_counts_more_than_all_other_labels_together(
    clips: list[EventClip], transform: LappedTransform
) -> None:
    others = {"place": frozenset(["behind", "the", "back", "door"]), "year": frozenset(["2"])}
    labelled = [
        replace(one, labels={**one.labels, **others, "fault": frozenset([("worn", "loose")[number // 2 % 2]])})
        for number, one in enumerate(clips)
    ]
    for labels in kind_of(fitted(labelled, transform)).labels:
        fault = sum(count for word, count in labels.items() if word in ("worn", "loose"))
        assert fault > sum(labels.values()) - fault > 0


def test_the_path_of_the_only_clip_with_a_label_is_not_repeated(
    clips: list[EventClip], transform: LappedTransform
) -> None:
    random = np.random.default_rng(11)
    power = np.full(FRAMES, SOFT)
    for begin in np.cumsum(random.choice([10, 20, 40], 40)):
        power[begin : begin + 2] = LOUD
    alone = clip_of(power, random, "odd", speed="odd")
    kind = kind_of(fitted([*clips, alone], transform))
    own, longest = kind.states.quiet[kind.paths[-1]], 0
    for seed in range(5):
        drawn = kind.states.quiet[kind.draw_path(words_of(caption("odd")), FRAMES, np.random.default_rng(seed))]
        for shift in range(-FRAMES + 1, FRAMES):
            same = drawn[max(0, shift) : FRAMES + min(0, shift)] == own[max(0, -shift) : FRAMES - max(0, shift)]
            runs = np.diff(np.flatnonzero(np.r_[True, ~same, True])) - 1
            longest = max(longest, int(runs.max()))
    assert longest < 0.75 * FRAMES


def test_clips_need_not_end_with_a_frame_and_the_fit_is_kept_as_arrays(transform: LappedTransform) -> None:
    clips = [clip(number, "fast") for number in range(6)]
    cut = [replace(one, read=lambda one=one: one.read()[:-100]) for one in clips]
    seen: list[tuple[int, int]] = []
    found = fit_machine(cut, transform, 0, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] < seen[-1][1]
    assert found.paths.shape == (6, FRAMES)
    again = type(found).of_arrays(found.arrays())
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    assert [len(one) for one in again.shares] == [len(one) for one in found.shares]

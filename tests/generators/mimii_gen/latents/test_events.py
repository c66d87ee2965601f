"""Sounds that come and go by caption: fitted to clips whose events are known, drawn, saved and loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.envelope_moments import group_count, moments_of
from asdbench.generators.mimii_gen.latents.events import FILE, EventClip, EventModel, short_transform
from asdbench.generators.mimii_gen.latents.lapped_transform import LappedTransform
from asdbench.generators.mimii_gen.latents.levels import words_of

SECONDS, RATE = 4, 16000
FRAMES = SECONDS * 125
PERIODS = {"slow": 100, "fast": 25}
"""Frames of 8 ms from one event to the next."""
SOFT, LOUD = 1e-4, 1e-2


@pytest.fixture(scope="module")
def codec() -> LappedTransform:
    return LappedTransform(512)


def clip(codec: LappedTransform, number: int, speed: str) -> EventClip:
    """Noise in which two frames are loud in every period."""
    random = np.random.default_rng(number)
    power = np.full(FRAMES, SOFT)
    begin = np.arange(random.integers(PERIODS[speed]), FRAMES - 1, PERIODS[speed])
    power[begin], power[begin + 1] = LOUD, LOUD
    short = random.standard_normal((128, FRAMES)) * np.sqrt(power)
    wave = LappedTransform(128).inverse(torch.from_numpy(short)[None].float())
    return EventClip(
        codec.transform(wave)[0], "drum", ("drum", "normal"), caption(speed), {"speed": frozenset([speed])}
    )


def caption(speed: str) -> str:
    return f"A drum in normal operation, {speed}."


@pytest.fixture(scope="module")
def model(codec: LappedTransform) -> EventModel:
    clips = [clip(codec, number, ("slow", "fast")[number % 2]) for number in range(16)]
    return EventModel.fit(clips, codec, 0)


def made(model: EventModel, speeds: list[str], seeds: list[int]) -> torch.Tensor:
    noise = torch.stack([torch.randn(512, FRAMES // 4, generator=torch.Generator().manual_seed(s)) for s in seeds])
    return model.make(noise, [caption(speed) for speed in speeds], seeds)


def loudness(model: EventModel, latents: torch.Tensor) -> np.ndarray:
    """Power of each short frame, shape (clips, FRAMES)."""
    return LappedTransform(128).transform(model.codec.inverse(latents)).square().mean(dim=1).numpy()


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


def test_means_and_deviations_of_narrow_bands_are_heard_as_they_are_told(
    model: EventModel, codec: LappedTransform
) -> None:
    groups = group_count(codec)
    louder, rougher = np.zeros((2, len(model._kinds[0].group.mean)))
    louder[-2 * groups : -groups] = 0.5
    rougher[-groups:] = 0.2
    usual, loud, rough = (
        np.mean([moments_of(clip, np.ones(clip.shape), codec) for clip in clips], axis=0)
        for clips in (
            made(told, ["slow"] * 4, [0, 1, 2, 3]) for told in (model, shifted(model, louder), shifted(model, rougher))
        )
    )
    np.testing.assert_allclose(loud - usual, np.array([[0.5], [0.0]]) * np.ones(groups), atol=0.08)
    np.testing.assert_allclose((rough - usual)[0], 0.0, atol=0.1)
    assert np.mean((rough - usual)[1]) == pytest.approx(0.17, abs=0.05)


def test_what_a_caption_leaves_open_is_heard_and_made_together(codec: LappedTransform) -> None:
    """Some clips of a caption have many events and some have one: narrow bands differ, and the background does not."""
    clips = []
    for number in range(16):
        random = np.random.default_rng(number)
        power = np.full(FRAMES, SOFT)
        power[random.integers(40) :: (40, 400)[number % 2]] = 100 * LOUD
        short = random.standard_normal((128, FRAMES)) * np.sqrt(power)
        wave = LappedTransform(128).inverse(torch.from_numpy(short)[None].float())
        clips.append(EventClip(codec.transform(wave)[0], "drum", ("drum", "normal"), caption("slow"), {}))
    fitted = EventModel.fit(clips, codec, 0)
    power = loudness(fitted, made(fitted, ["slow"] * 24, list(range(24))))
    real = loudness(fitted, torch.stack([clip.latents for clip in clips]))
    counts = (power > np.sqrt(SOFT * LOUD * 100)).mean(axis=1)
    assert counts.max() > 4 * counts.min()
    assert power.max() < 2 * real.max()
    np.testing.assert_allclose(np.median(power, axis=1), SOFT, rtol=0.3)


def test_quiet_states_are_no_rougher_than_one(model: EventModel, codec: LappedTransform) -> None:
    """A path that goes to and fro between two of them is noise of one power."""
    kind = model._kinds[0]
    spectra = np.array([0.0, 8 * SOFT])[:, None] * np.ones(kind.states.spectra.shape[1])
    states = replace(kind.states, spectra=spectra, quiet=np.ones(2, dtype=bool), exponents=np.ones_like(spectra))
    kept = np.r_[: 512 + 2, 512 + len(kind.states.spectra) : len(kind.group.mean)]  # the gains of two states
    group = replace(
        kind.group,
        **{name: getattr(kind.group, name)[..., kept] for name in ("mean", "slopes", "directions", "rest")},
    )
    path = (np.arange(FRAMES) // 20 % 2).astype(np.uint8)
    flickering = EventModel(codec, [replace(kind, states=states, group=group, paths=(path,) * len(kind.paths))])
    power = loudness(flickering, made(flickering, ["slow"] * 4, [0, 1, 2, 3])).reshape(4, -1, 20).mean(axis=2)
    assert power.std() < 0.1 * power.mean()


def test_a_clip_may_be_as_loud_as_any_and_is_otherwise_not_far_from_the_mean(
    model: EventModel, codec: LappedTransform
) -> None:
    kind = model._kinds[0]
    far = replace(kind, group=replace(kind.group, rest=np.full(len(kind.group.mean), 100.0)))
    drawn = np.concatenate(far.draw(words_of(caption("slow")), codec, np.random.default_rng(0)))
    distance = np.abs(drawn - kind.group.mean)
    assert np.median(distance[:512]) > 50
    assert distance[512:].max() == pytest.approx(2)


def shifted(model: EventModel, told: np.ndarray, **changes: np.ndarray) -> EventModel:
    """The same model whose groups tell more."""
    kinds = [replace(kind, group=replace(kind.group, mean=kind.group.mean + told, **changes)) for kind in model._kinds]
    return EventModel(model.codec, kinds)


def test_a_clip_shorter_than_those_fitted_to_is_like_part_of_one(model: EventModel) -> None:
    """Half of those that last 0.4 s have no slow event, and are not louder for it."""
    noise = torch.randn(64, 512, 13, generator=torch.Generator().manual_seed(0))
    latents = model.make(noise, [caption("slow")] * 64, list(range(64)))
    assert latents.shape == noise.shape
    power = loudness(model, latents)
    silent = ~(power > np.sqrt(SOFT * LOUD)).any(axis=1)
    assert 0.25 < silent.mean() < 0.75
    assert power[silent].mean() == pytest.approx(SOFT, rel=0.1)


def test_a_clip_depends_on_its_caption_and_seed_alone(model: EventModel) -> None:
    together = made(model, ["slow", "fast", "slow"], [1, 2, 3])
    torch.testing.assert_close(together[1:2], made(model, ["fast"], [2]))
    assert not torch.equal(together[0], together[2])


def test_the_background_has_tones_where_it_stands_out(model: EventModel) -> None:
    line = np.zeros(len(model._kinds[0].group.mean))
    line[200] = 3.0
    kurtosis = []
    for tonal in (0.0, 1.0):
        ringing = shifted(model, line, tonal=np.array([tonal]))
        band = made(ringing, ["slow"] * 8, list(range(8)))[:, 200].double()
        kurtosis.append(float((band.pow(4).mean(dim=1) / band.square().mean(dim=1).square()).median()))
    assert kurtosis[1] < 2.2 < 2.5 < kurtosis[0]  # that of a cosine is 1.5, that of noise 3


def test_lines_of_events_are_heard_in_narrow_bands(codec: LappedTransform) -> None:
    """Events that have a tooth of a belt at 8.5 bands have it when they are made, and the background has none."""
    clips = []
    for number in range(12):
        random = np.random.default_rng(number)
        power = np.where(np.arange(FRAMES) // 50 % 2, LOUD, 0.0)
        colour = np.where(np.arange(512) == 8, 8.0, 1.0)[:, None]
        events, quiet = random.standard_normal((2, 512, FRAMES // 4)) * np.sqrt([colour, np.full((512, 1), SOFT)])
        short = LappedTransform(128)
        loud = short.transform(codec.inverse(torch.from_numpy(events)[None].float())) * torch.from_numpy(np.sqrt(power))
        wave = short.inverse(loud.float()) + codec.inverse(torch.from_numpy(quiet)[None].float())
        clips.append(EventClip(codec.transform(wave)[0], "drum", ("drum", "normal"), caption("slow"), {}))
    real = torch.stack([each.latents for each in clips])
    found = made(EventModel.fit(clips, codec, 0), ["slow"] * 12, list(range(12)))
    (wanted, quiet), (loud, still) = map(line_over_those_beside, (real, found))
    assert wanted > 6 and quiet < 1.5
    assert loud > 4 and still < 1.5  # with so few clips states follow the noise, which makes lines seem less high


def line_over_those_beside(latents: torch.Tensor) -> list[float]:
    """Power of band 8 relative to bands around it, during events and away from them."""
    power = latents.square().numpy()
    happens = power[:, 100:].mean(axis=1) > np.sqrt(SOFT * LOUD)
    away = ~(happens | np.roll(happens, 1, axis=1) | np.roll(happens, -1, axis=1))
    beside = power[:, [4, 5, 6, 12, 13, 14]].mean(axis=1)
    return [float(power[:, 8][when].mean() / beside[when].mean()) for when in (happens, away)]


def test_only_what_was_fitted_is_known(model: EventModel) -> None:
    assert model.knows(caption("slow"))
    assert not model.knows("A fan in normal operation, slow.")
    with pytest.raises(ValueError, match="tells of no machine with events"):
        model.make(torch.zeros(1, 512, 125), ["A fan."], [0])


def test_it_is_read_back(model: EventModel, codec: LappedTransform, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = EventModel.load(tmp_path / FILE, codec)
    assert again.identity == model.identity
    again.save(tmp_path)
    once_more = EventModel.load(tmp_path / FILE, codec)
    torch.testing.assert_close(made(once_more, ["fast"], [5]), made(again, ["fast"], [5]))
    torch.testing.assert_close(made(again, ["fast"], [5]), made(model, ["fast"], [5]), rtol=0.1, atol=1e-3)


def test_a_path_is_as_long_as_asked_for_whatever_the_clips_are(model: EventModel) -> None:
    kind = model._kind(words_of(caption("slow")))
    assert kind is not None
    path = kind.draw_path(words_of(caption("slow")), 1000, np.random.default_rng(0))
    assert len(path) == 1000
    happens = np.flatnonzero(np.diff(kind.states.quiet[path].astype(int)) == -1)
    assert len(happens) == pytest.approx(1000 / PERIODS["slow"], abs=2)


def test_damaged_files_and_other_codecs_are_refused(model: EventModel, codec: LappedTransform, tmp_path: Path) -> None:
    model.save(tmp_path)
    path = tmp_path / FILE
    with pytest.raises(UserError, match="expected the events of a trained generator"):
        EventModel.load(path, LappedTransform(256))
    whole = path.read_bytes()
    states = len(model._kinds[0].states.exponents)
    other_shape = whole.replace(b'"F16","shape":[%d,128]' % states, b'"F16","shape":[128,%d]' % states)
    assert other_shape != whole
    path.write_bytes(other_shape)
    with pytest.raises(UserError, match="expected the events of a trained generator"):
        EventModel.load(path, codec)
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="expected the events of a trained generator"):
        EventModel.load(path, codec)


def test_bands_must_be_parts_of_those_of_the_short_transform() -> None:
    assert short_transform(LappedTransform(512)).bands == 128
    with pytest.raises(UserError, match="codec 'mdct:192' has 192 bands, expected a multiple of 128"):
        short_transform(LappedTransform(192))


def test_labels_count_by_what_they_explain_of_when_things_happen(codec: LappedTransform) -> None:
    clips = [clip(codec, number, ("slow", "fast")[number % 2]) for number in range(16)]
    words = {"slow": frozenset(["slow"]), "fast": frozenset(["fast"])}
    told = [
        replace(one, labels={"speed": words[("slow", "fast")[number % 2]], "day": frozenset([f"d{number // 4}"])})
        for number, one in enumerate(clips)
    ]
    kind = EventModel.fit(told, codec, 0)._kind(words_of(caption("slow")))
    assert kind is not None
    counts = {word: count for labels in kind.labels for word, count in labels.items()}
    assert counts["slow"] == counts["fast"] > 50
    assert counts["d0"] == counts["d3"] < 20
    random = np.random.default_rng(0)
    chosen = kind._alike(frozenset(["slow", "d1"]), random)
    assert chosen and all("slow" in kind.labels[place] for place in chosen)


def test_what_only_one_clip_tells_of_is_not_told_again_word_for_word(codec: LappedTransform) -> None:
    random = np.random.default_rng(11)
    power = np.full(FRAMES, SOFT)
    for begin in np.cumsum(random.choice([10, 20, 40], 40)):
        power[begin : begin + 2] = LOUD
    short = random.standard_normal((128, FRAMES)) * np.sqrt(power)
    wave = LappedTransform(128).inverse(torch.from_numpy(short)[None].float())
    alone = EventClip(
        codec.transform(wave)[0], "drum", ("drum", "normal"), caption("odd"), {"speed": frozenset({"odd"})}
    )
    clips = [clip(codec, number, ("slow", "fast")[number % 2]) for number in range(16)]
    kind = EventModel.fit([*clips, alone], codec, 0)._kind(words_of(caption("odd")))
    assert kind is not None
    heard = kind.states.quiet[kind.paths[-1]]
    longest = 0
    for seed in range(5):
        told = kind.states.quiet[kind.draw_path(words_of(caption("odd")), FRAMES, np.random.default_rng(seed))]
        for shift in range(-FRAMES + 1, FRAMES):
            same = told[max(0, shift) : FRAMES + min(0, shift)] == heard[max(0, -shift) : FRAMES - max(0, shift)]
            runs = np.diff(np.flatnonzero(np.r_[True, ~same, True])) - 1
            longest = max(longest, int(runs.max()))
    assert longest < 0.75 * FRAMES


def test_the_fault_counts_more_than_all_other_labels_together(codec: LappedTransform) -> None:
    clips = [clip(codec, number, ("slow", "fast")[number % 2]) for number in range(16)]
    others = {"place": frozenset(["behind", "the", "back", "door"]), "year": frozenset(["2"])}
    told = [
        replace(one, labels={**one.labels, **others, "fault": frozenset([("worn", "loose")[number // 2 % 2]])})
        for number, one in enumerate(clips)
    ]
    kind = EventModel.fit(told, codec, 0)._kind(words_of(caption("slow")))
    assert kind is not None
    for labels in kind.labels:
        fault = sum(count for word, count in labels.items() if word in ("worn", "loose"))
        assert fault > sum(labels.values()) - fault > 0

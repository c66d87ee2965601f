"""Levels of all machines by caption: drawn, made into sound, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from asdbench import UserError
from asdbench.generators.texture.bands import unit_bands
from asdbench.generators.texture.lapped_transform import LappedTransform
from asdbench.generators.texture.levels import FILE, LevelClip, LevelModel
from asdbench.generators.texture.words import words_of

DIM = 64
SPEEDS, SEVERITIES = ("1", "2", "3"), ("slight", "moderate", "severe")
NORMAL, ANOMALOUS = ("fan", "normal"), ("fan", "anomalous")
NOTHING = np.zeros(0)
USUAL = -5.0
"""Level of the clips of `graded`."""


def fitted(n: int = 400, seed: int = 0) -> tuple[LevelModel, np.ndarray, list[str]]:
    """Levels of fans that are linear in the speed, with one large direction of remainder, and of valves."""
    random = np.random.default_rng(seed)
    speeds = random.integers(1, 4, n)
    tilt = np.linspace(-1, 1, DIM)
    levels = -5 + 0.5 * speeds[:, None] + 0.3 * random.standard_normal((n, 1)) * tilt
    levels = levels + 0.05 * random.standard_normal((n, DIM))
    captions = [f"This fan sounds normal at a speed of {speed}." for speed in speeds]
    clips = [LevelClip(NORMAL, text, level, NOTHING) for text, level in zip(captions, levels, strict=True)]
    valves = -2 + 0.1 * random.standard_normal((20, DIM))
    clips += [LevelClip(("valve", "anomalous"), "An anomalous valve.", level, NOTHING) for level in valves]
    return LevelModel.fit(clips, DIM, ["1", "2", "3"]), levels, captions


def drawn(model: LevelModel, captions: Sequence[str], names: tuple[str, ...] = NORMAL) -> np.ndarray:
    return np.array([model.draw(names, text, seed) for seed, text in enumerate(captions)])


def test_drawn_levels_have_mean_and_covariance_of_the_training() -> None:
    model, levels, captions = fitted()
    found = drawn(model, captions)
    assert np.abs(found.mean(axis=0) - levels.mean(axis=0)).max() < 0.08
    for speed in "123":
        rows = [row for row, caption in enumerate(captions) if caption.endswith(f"{speed}.")]
        assert found[rows].mean() == pytest.approx(-5 + 0.5 * int(speed), abs=0.03)
        ends = found[rows][:, [0, -1]]
        assert np.corrcoef(ends.T)[0, 1] < -0.9  # the direction that was large
        assert ends.std(axis=0) == pytest.approx([0.3, 0.3], rel=0.2)


def test_a_clip_has_the_level_that_was_drawn() -> None:
    model, _, captions = fitted()
    noise = np.random.default_rng(0).standard_normal((DIM, 300))
    made = model.make(noise, NORMAL, captions[0], 5, LappedTransform(DIM))
    np.testing.assert_allclose(unit_bands(made)[1], model.draw(NORMAL, captions[0], 5), atol=1e-6)
    np.testing.assert_allclose(unit_bands(made)[0], unit_bands(noise)[0], atol=1e-6)  # white where there are no tones


def test_tones_are_put_into_bands_that_stand_out() -> None:
    levels = np.zeros((20, DIM)) + 0.01 * np.random.default_rng(5).standard_normal((20, DIM))
    levels[:, 20] = 3.0
    noise = np.random.default_rng(6).standard_normal((DIM, 400))
    kurtosis = []
    for shares in (np.linspace(0.7, 0.92, 20), np.zeros(20)):
        clips = [LevelClip(NORMAL, "x", level, np.array([one])) for level, one in zip(levels, shares, strict=True)]
        made = LevelModel.fit(clips, DIM, []).make(noise, NORMAL, "x", 0, LappedTransform(DIM))
        unit = unit_bands(made)[0]
        kurtosis.append(np.mean(unit[20] ** 4))
        far = [band for band in range(DIM) if abs(band - 20) > 8]
        np.testing.assert_allclose(unit[far, 2:-2], unit_bands(noise)[0][far, 2:-2], atol=0.2)
    assert kurtosis[0] < 2.5 < kurtosis[1]  # that of a cosine is 1.5, that of noise 3


def damaged(bases: dict[tuple[str, ...], tuple[str, ...]]) -> tuple[LevelModel, list[str]]:
    """Fans whose level follows the speed, and damaged ones, with a line in one band, the stronger the severer."""
    random = np.random.default_rng(7)
    severity = {"slight": 0.4, "severe": 1.6}
    clips = []
    for number in range(400):
        speed, word = random.integers(1, 4), ("slight", "severe")[number % 2]
        anomalous = number % 4 >= 2
        level = -5 + 0.5 * speed + 0.15 * random.standard_normal(DIM)
        level[10 * speed] += 0.5 * np.log(1 + severity[word]) * anomalous
        text = f"A {f'fan with a {word} fault sounds anomalous' if anomalous else 'normal fan'} at {speed}."
        clips.append(LevelClip(ANOMALOUS if anomalous else NORMAL, text, level, NOTHING))
    vocabulary = ["1", "2", "3", "slight", "severe"]
    model = LevelModel.fit(clips, DIM, vocabulary, bases=bases, scaling=severity)
    return model, [clip.caption for clip in clips]


def test_anomalies_add_power_to_normal_clips_and_more_of_it_the_severer_they_are() -> None:
    model, _ = damaged({ANOMALOUS: NORMAL, NORMAL: NORMAL})
    for speed in (1, 2, 3):
        normal, slight, severe = (
            drawn(model, [f"{text} at {speed}."] * 300, names).mean(axis=0)
            for names, text in (
                (NORMAL, "A normal fan"),
                (ANOMALOUS, "A fan with a slight fault is anomalous"),
                (ANOMALOUS, "A severe anomalous fan"),
            )
        )
        assert normal == pytest.approx(np.full(DIM, -5 + 0.5 * speed), abs=0.1)
        wanted = [0.5 * np.log(1 + power) for power in (0.4, 1.6)]
        assert [(level - normal)[10 * speed] for level in (slight, severe)] == pytest.approx(wanted, abs=0.12)
        others = [band for band in range(DIM) if band != 10 * speed]
        assert np.abs((severe - normal)[others]).max() < 0.15


def test_anomalies_whose_normal_clips_are_unknown_are_modelled_by_themselves() -> None:
    model, captions = damaged({ANOMALOUS: ("pump", "normal")})
    severe = [caption for caption in captions if "severe" in caption]
    assert all(group["names"] and "base" not in group for group in json.loads(model.words())["groups"])
    assert np.isfinite(drawn(model, severe, ANOMALOUS)).all()


def graded(
    gains: Sequence[float],
    *,
    noise: float | np.ndarray = 0.15,
    words: Sequence[str] = SEVERITIES,
    values: Sequence[str] = (),
    silent: int = 0,
    scaling: Iterable[str] | None = None,
) -> LevelModel:
    """Fans at three speeds, and damaged ones, with a gain in dB of some bands that depend on speed, by severity.

    Args:
        gains: of each severity.
        noise: deviation of the level.
        words: for severities.
        values: of a load that changes nothing.
        silent: normal clips that are silent.
        scaling: see `LevelModel.fit`.
    """
    random = np.random.default_rng(11)
    clips = []
    for number in range(800):
        speed, anomalous, place = random.integers(3), number >= 400, random.integers(len(words))
        level = USUAL + noise * random.standard_normal(DIM)
        if anomalous:
            level[bands_of(speed)] += gains[place] * np.log(10) / 20
        elif number < silent:
            level[:] = -18
        load = f"of load {random.choice(values)}" if values else ""
        text = caption(speed, words[place] if anomalous else None, load)
        clips.append(LevelClip(ANOMALOUS if anomalous else NORMAL, text, level, NOTHING))
    phrases = words if scaling is None else scaling
    return LevelModel.fit(clips, DIM, [*SPEEDS, *words, *values], bases={ANOMALOUS: NORMAL}, scaling=phrases)


def bands_of(speed: int) -> slice:
    return slice(20 * speed + 2, 20 * speed + 6)


def caption(speed: int, severity: str | None, load: str = "") -> str:
    state = "that is normal" if severity is None else f"with a {severity} fault that is anomalous"
    return f"A fan {load} {state} at {SPEEDS[speed]}"


def gains_of(model: LevelModel, words: Sequence[str] = SEVERITIES, load: str = "") -> np.ndarray:
    """Gain in dB in the bands of the fault, shape (speeds, severities)."""
    group = model._groups[ANOMALOUS]
    above = [
        [group.expected(words_of(caption(speed, word, load)))[bands_of(speed)].mean() - USUAL for word in words]
        for speed in range(3)
    ]
    return np.array(above) * 20 / np.log(10)


@pytest.mark.parametrize("gains", [(8, 12, 18), (4, 8, 12), (-4, -10, -14), (0.4, 1.1, 2.0)])
def test_faults_are_as_strong_as_they_were(gains: tuple[float, ...]) -> None:
    found = gains_of(graded(gains))
    assert np.abs(found - gains).max() < (1 if abs(gains[0]) > 1 else 0.3)
    assert (np.abs(np.diff(found, axis=1)) > 0.3).all()


def test_faults_that_take_away_equally_much_are_equal() -> None:
    assert gains_of(graded((-10, -10, -10))) == pytest.approx(np.full((3, 3), -10.0), abs=0.5)


def test_what_weak_faults_leave_is_not_fitted_to_noise() -> None:
    """Of the many words and pairs hardly any slope is left where power explains all."""
    model = graded((0.4, 1.1, 2.0), values=[f"v{number}" for number in range(8)])
    group = model._groups[ANOMALOUS]
    assert len(group.words) > 10 and len(group.pairs) > 30
    assert np.abs(group.slopes).max() < 0.05


def test_a_silent_clip_does_not_drown_severity() -> None:
    found = gains_of(graded((0.8, 1.5, 3.0), silent=1))
    assert (np.diff(found, axis=1) > 0.3).all()


def test_normal_clips_that_vary_in_some_bands_leave_severity_in_order() -> None:
    noise = np.full(DIM, 0.1)
    for speed in range(3):
        noise[bands_of(speed)] = 0.8
    found = gains_of(graded((2, 5, 8), noise=noise))
    assert (np.diff(found.mean(axis=0)) > 1).all()


def test_nothing_is_added_where_anomalies_are_as_normal_clips_are() -> None:
    model = graded((0, 0, 0), noise=0.5)
    above = model._groups[ANOMALOUS].above
    assert above is not None
    base, added = above
    assert base.variance == pytest.approx(np.full(DIM, 0.25), rel=0.4)
    assert added.constant.mean() == pytest.approx(0, abs=0.03)


def test_severity_of_two_words_is_a_phrase() -> None:
    words = ("barely audible", "audible", "severe")  # the first is not half of it
    model = graded((0.5, 2.0, 2.0), words=words, scaling=("barely audible", "severe"))
    above = model._groups[ANOMALOUS].above
    assert above is not None and above[1].scaling == (("audible", "barely"), ("severe",))
    found = gains_of(model, words)
    assert (found[:, 1] > found[:, 0] + 0.7).all()
    assert found[:, 1] == pytest.approx(found[:, 2], abs=0.6)


def test_added_power_is_saved(tmp_path: Path) -> None:
    model, captions = damaged({ANOMALOUS: NORMAL})
    model.save(tmp_path)
    loaded = LevelModel.load(tmp_path / FILE)
    np.testing.assert_allclose(drawn(loaded, captions, ANOMALOUS), drawn(model, captions, ANOMALOUS), atol=2e-2)
    file = (tmp_path / FILE).read_bytes()
    for wrong in (
        file.replace(b'base\\": [\\"fan', b'base\\": [\\"fen'),
        file.replace(b'[[\\"severe', b'[[\\"s\\"], [\\"v'),
    ):
        assert wrong != file
        (tmp_path / FILE).write_bytes(wrong)
        with pytest.raises(UserError, match="the levels of the texture model are damaged"):
            LevelModel.load(tmp_path / FILE)


def test_a_level_depends_on_machine_words_and_seed_alone() -> None:
    model = fitted()[0]
    one = model.draw(NORMAL, "At a speed of 2 the fan is normal.", 7)
    np.testing.assert_array_equal(model.draw(NORMAL, "A NORMAL fan, speed 2.", 7), one)
    assert not np.array_equal(model.draw(NORMAL, "A normal fan, speed 2.", 8), one)
    assert not np.array_equal(model.draw(NORMAL, "A normal fan, speed 3.", 7), one)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, _, captions = fitted()
    model.save(tmp_path)
    loaded = LevelModel.load(tmp_path / FILE)
    assert loaded.names == model.names and loaded.bands == DIM
    np.testing.assert_allclose(drawn(loaded, captions), drawn(model, captions), atol=2e-2)
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    assert (again / FILE).read_bytes() == (tmp_path / FILE).read_bytes()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model = fitted()[0]
    model.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    other_shape = whole.replace(b'"F16","shape":[3,64]', b'"F16","shape":[64,3]')
    assert other_shape != whole
    for wrong in (b"", whole[:-100], other_shape):
        (tmp_path / FILE).write_bytes(wrong)
        with pytest.raises(UserError, match="the levels of the texture model are damaged"):
            LevelModel.load(tmp_path / FILE)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asdbench.generators.texture.added_power import AddedPower

DIM, CLIPS = 32, 600
SCALE = {"slight": 0.5, "moderate": 1.0, "severe": 2.0}
PHRASES = tuple((word,) for word in SCALE)
WORDS = ("slow", "fast")
LINES = {"slow": 5, "fast": 20}
"""Band of the damage at each speed."""


QUIET = np.zeros(DIM)


def damaged(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[frozenset[str]]]:
    """Levels above those of normal clips, features and captions."""
    random = np.random.default_rng(seed)
    speeds, severities = random.choice(WORDS, CLIPS), random.choice(list(SCALE), CLIPS)
    added = np.zeros((CLIPS, DIM))
    for row, (speed, severity) in enumerate(zip(speeds, severities, strict=True)):
        added[row, LINES[speed]] = SCALE[severity]
    above = 0.5 * np.log(1 + added) + noise * random.standard_normal((CLIPS, DIM))
    features = np.array([[speed == word for word in WORDS] for speed in speeds], dtype=float)
    return above, features, [frozenset(pair) for pair in zip(speeds, severities, strict=True)]


def fitted(noise: float) -> tuple[AddedPower, np.ndarray, np.ndarray, np.ndarray]:
    above, features, captions = damaged(noise)
    return AddedPower.fit(above, np.full(DIM, noise**2), features, np.full(2, 1e-3), captions, PHRASES)


def test_without_noise_what_is_added_is_found() -> None:
    added, left, fitting, fits = fitted(0.0)
    assert dict(zip(SCALE, added.scale, strict=True)) == pytest.approx(SCALE, rel=0.02)
    for speed, feature in (("slow", (1, 0)), ("fast", (0, 1))):
        for severity, scale in SCALE.items():
            expected = np.zeros(DIM)
            expected[LINES[speed]] = 0.5 * np.log(1 + scale)
            found = added.level(np.array(feature, dtype=float), frozenset((speed, severity)))
            assert np.abs(found - expected).max() < 0.01
    assert np.abs(left).max() < 0.01
    assert np.trace(fits @ fitting) == pytest.approx(2, abs=0.01)  # of a constant and two features that add up to it


def test_few_bands_are_found_among_the_noise_of_all_others() -> None:
    added, left, *_ = fitted(0.25)
    scale = dict(zip(SCALE, added.scale, strict=True))
    assert scale["slight"] < 0.75 < scale["moderate"] < 1.3 < scale["severe"]
    levels = [added.level(np.array([0.0, 1.0]), frozenset(("fast", word))) for word in SCALE]
    assert (np.diff([level[20] for level in levels]) > 0.05).all()
    quiet = [band for band in range(DIM) if band not in LINES.values()]
    assert np.abs(levels[2][quiet]).max() < 0.1
    assert left.mean(axis=0) == pytest.approx(np.zeros(DIM), abs=1e-12)
    assert left[:, quiet].std() == pytest.approx(0.25, rel=0.05)


def test_what_is_explained_and_what_is_left_make_the_level() -> None:
    above, features, captions = damaged(0.2)
    captions[0] = frozenset(["slow"])  # names no severity
    added, left, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, PHRASES)
    explained = np.array([added.level(row, words) for row, words in zip(features, captions, strict=True)])
    assert explained + left == pytest.approx(above, abs=1e-12)


def test_the_scale_is_not_that_of_noise_that_was_fitted() -> None:
    """Slopes of many features follow the clips that they were fitted to, whether these are severe or not."""
    random = np.random.default_rng(1)
    above, _, captions = damaged(0.0)
    features = (random.random((CLIPS, 250)) < 0.03).astype(float)
    features[:, 0] = ["slow" in words for words in captions]
    added, *_ = AddedPower.fit(
        above + 0.25 * random.standard_normal(above.shape),
        np.full(DIM, 0.25**2),
        features,
        np.full(250, 0.1),
        captions,
        PHRASES,
    )
    scale = dict(zip(SCALE, added.scale, strict=True))
    assert 2 < scale["severe"] / scale["slight"] < 6  # it is 4, and loud clips count less


def test_one_loud_clip_decides_nothing() -> None:
    above, features, captions = damaged(0.1)
    usual, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, PHRASES)
    above[0] += 5.0  # 43 dB
    found, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, PHRASES)
    assert np.abs(found.slopes - usual.slopes).max() < 0.05 and found.scale == pytest.approx(usual.scale, rel=0.1)


def test_without_words_that_scale_all_anomalies_add_the_same() -> None:
    above, features, captions = damaged(0.0)
    added, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 1e-3), captions, ())
    assert added.scale.shape == (0,)
    slow = np.array([1.0, 0.0])
    assert np.array_equal(*(added.level(slow, frozenset(["slow", word])) for word in ("slight", "severe")))
    line = added.level(slow, frozenset(["slow"]))[LINES["slow"]]
    assert line == pytest.approx(0.5 * np.log(1 + np.mean(list(SCALE.values()))), abs=0.05)


def test_arrays_that_do_not_go_together_are_refused() -> None:
    added = fitted(0.0)[0]
    added.check(2, DIM)
    for features, dim in ((2, DIM + 1), (3, DIM)):
        with pytest.raises(ValueError, match="arrays of the shapes"):
            added.check(features, dim)
    with pytest.raises(ValueError, match="not finite"):
        replace(added, scale=added.scale * np.nan).check(2, DIM)


@pytest.mark.parametrize("deviation", [0.05, 0.4, 0.7, 1.0])
def test_normal_clips_add_nothing_however_much_their_level_varies(deviation: float) -> None:
    above, features, captions = damaged(0.0)
    above = deviation * np.random.default_rng(2).standard_normal(above.shape)
    variance = np.full(DIM, deviation**2)
    added, *_ = AddedPower.fit(above, variance, features, np.full(2, 2.0), captions, PHRASES)
    assert added.constant.mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("deviation", [0.4, 0.7, 1.0])
def test_severe_faults_are_louder_in_bands_that_vary_much(deviation: float) -> None:
    above, features, captions = damaged(0.0)
    lines, variance = [*LINES.values()], np.full(DIM, 0.01)
    variance[lines] = deviation**2
    above = above + np.sqrt(variance) * np.random.default_rng(3).standard_normal(above.shape)
    added, *_ = AddedPower.fit(above, variance, features, np.full(2, 2.0), captions, PHRASES)
    assert added.scale[2] > 1.5 * added.scale[0]
    assert (features @ added.slopes + added.constant)[:, lines].mean() > 0.1


def test_no_more_is_taken_away_than_was_seen() -> None:
    """A scale beyond those of the features it was fitted with must not end in silence."""
    added = AddedPower((("severe",),), np.array([2.0]), np.array([-0.4, -0.6]), np.zeros((0, 2)), np.zeros(2))
    level = added.level(np.zeros(0), frozenset(["severe"]))
    assert level == pytest.approx(0.5 * np.log([0.2, 0.2]))


def test_phrases_count_where_all_their_words_are() -> None:
    above, features, captions = damaged(0.0)
    words = [
        words - {"slight"} | {"barely", "audible"} if "slight" in words else words | {"audible"} for words in captions
    ]
    phrases = (("audible", "barely"), ("moderate",), ("severe",))
    found, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 1e-3), words, phrases)
    assert found.scale == pytest.approx(list(SCALE.values()), rel=0.02)
    slow = np.array([1.0, 0.0])
    weak, some, usual = (
        found.level(slow, frozenset(["slow", *words]))[LINES["slow"]]
        for words in (("barely", "audible"), ("audible",), ("moderate",))
    )
    assert weak < usual - 0.1 and some == pytest.approx(usual, abs=0.01)

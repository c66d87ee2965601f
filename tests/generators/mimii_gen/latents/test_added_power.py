from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.mimii_gen.latents.added_power import AddedPower

DIM, CLIPS = 32, 600
SCALE = {"slight": 0.5, "moderate": 1.0, "severe": 2.0}
WORDS = ("slow", "fast")
LINES = {"slow": 5, "fast": 20}
"""Band in which the damage is heard at each speed."""


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
    return AddedPower.fit(above, np.full(DIM, noise**2), features, np.full(2, 1e-3), captions, tuple(SCALE))


def test_without_noise_what_is_added_is_found() -> None:
    added, slopes, leverage, left = fitted(0.0)
    assert dict(zip(added.scaling, added.scale, strict=True)) == pytest.approx(SCALE, rel=0.02)
    for speed, feature in (("slow", (1, 0)), ("fast", (0, 1))):
        for severity, scale in SCALE.items():
            expected = np.zeros(DIM)
            expected[LINES[speed]] = 0.5 * np.log(1 + scale)
            found = added.level(np.array(feature, dtype=float) @ slopes, frozenset((speed, severity)))
            assert np.abs(found - expected).max() < 0.01
    assert np.abs(left).max() < 0.01
    assert leverage.sum() == pytest.approx(2, abs=0.01)  # of a constant and two features that add up to it


def test_few_bands_are_found_among_the_noise_of_all_others() -> None:
    added, slopes, _, left = fitted(0.25)
    scale = dict(zip(added.scaling, added.scale, strict=True))
    assert scale["slight"] < 0.75 < scale["moderate"] < 1.3 < scale["severe"]
    levels = [added.level(np.array([0.0, 1.0]) @ slopes, frozenset(("fast", word))) for word in SCALE]
    assert (np.diff([level[20] for level in levels]) > 0.05).all()
    quiet = [band for band in range(DIM) if band not in LINES.values()]
    assert np.abs(levels[2][quiet]).max() < 0.1
    assert left.mean(axis=0) == pytest.approx(np.zeros(DIM), abs=1e-12)
    assert left[:, quiet].std() == pytest.approx(0.25, rel=0.05)


def test_what_is_explained_and_what_is_left_make_the_level() -> None:
    above, features, captions = damaged(0.2)
    captions[0] = frozenset(["slow"])  # of no told severity
    added, slopes, _, left = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, tuple(SCALE))
    explained = np.array([added.level(row @ slopes, told) for row, told in zip(features, captions, strict=True)])
    assert explained + left == pytest.approx(above, abs=1e-12)


def test_the_scale_is_not_that_of_noise_that_was_fitted() -> None:
    """Slopes of many features follow the clips that they were fitted to, whether these are severe or not."""
    random = np.random.default_rng(1)
    above, _, captions = damaged(0.0)
    features = (random.random((CLIPS, 250)) < 0.03).astype(float)
    features[:, 0] = ["slow" in told for told in captions]
    added, *_ = AddedPower.fit(
        above + 0.25 * random.standard_normal(above.shape),
        np.full(DIM, 0.25**2),
        features,
        np.full(250, 0.1),
        captions,
        tuple(SCALE),
    )
    scale = dict(zip(added.scaling, added.scale, strict=True))
    assert 2 < scale["severe"] / scale["slight"] < 6  # it is 4, and loud clips count less


def test_one_loud_clip_decides_nothing() -> None:
    above, features, captions = damaged(0.1)
    usual, slopes, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, tuple(SCALE))
    above[0] += 5.0  # 43 dB
    found, others, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 2.0), captions, tuple(SCALE))
    assert np.abs(others - slopes).max() < 0.05 and found.scale == pytest.approx(usual.scale, rel=0.1)


def test_without_words_that_scale_all_anomalies_add_the_same() -> None:
    above, features, captions = damaged(0.0)
    added, slopes, *_ = AddedPower.fit(above, QUIET, features, np.full(2, 1e-3), captions, ())
    assert added.scale.shape == (0,)
    assert np.array_equal(
        *(added.level(np.array([1.0, 0.0]) @ slopes, frozenset(["slow", word])) for word in ("slight", "severe"))
    )
    line = added.level(np.array([1.0, 0.0]) @ slopes, frozenset(["slow"]))[LINES["slow"]]
    assert line == pytest.approx(0.5 * np.log(1 + np.mean(list(SCALE.values()))), abs=0.05)


def test_arrays_that_do_not_go_together_are_refused() -> None:
    added = fitted(0.0)[0]
    added.check(DIM)
    with pytest.raises(ValueError, match="arrays of the shapes"):
        added.check(DIM + 1)
    with pytest.raises(ValueError, match="not finite"):
        AddedPower(added.scaling, added.scale * np.nan, added.constant, added.offset).check(DIM)

"""One machine and condition: regression, remainder and what anomalies add, against levels of known statistics."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.groups import Group

DIM = 64
USUAL = -5.0


def test_the_remainder_of_new_clips_is_drawn_and_not_the_smaller_one_of_the_clips_that_were_fitted_to() -> None:
    left, spread = _remainders(estimated=False)
    assert left < 0.85 and spread == pytest.approx(1, abs=0.08)


def test_the_remainder_of_estimates_is_drawn_as_it_is() -> None:
    left, spread = _remainders(estimated=True)
    assert left < 0.85 and spread == pytest.approx(left, rel=0.02)


def _remainders(estimated: bool) -> tuple[float, float]:
    """Deviation of what a fit to white noise of unit power leaves, and of what is drawn."""
    random = np.random.default_rng(3)
    words = [f"w{number}" for number in range(40)]
    captions = [frozenset(random.choice(words, 4, replace=False)) for _ in range(80)]
    noise = random.standard_normal((80, DIM))
    group = Group.fit(("fan",), noise, captions, words, [], estimated=estimated)
    left = noise - group.mean - np.array([group.features(clip) - group.centre for clip in captions]) @ group.slopes
    drawn = group.scores @ group.directions
    return float(left.std()), float(np.sqrt(np.square(drawn).mean(axis=0) + np.square(group.rest)).mean())


def test_a_remainder_is_that_of_clips_with_the_same_words() -> None:
    random = np.random.default_rng(4)
    captions = [frozenset([word]) for word in ("steady", "erratic") * 60]
    size = np.array([0.1 if "steady" in clip else 1.0 for clip in captions])
    levels = size[:, None] * random.standard_normal((120, 1)) * np.ones(DIM) + (size[:, None] == 1) * 0.5
    group = Group.fit(("fan",), levels, captions, ("steady", "erratic"), [])
    for word, wanted in (("steady", 0.1), ("erratic", 1.0)):
        drawn = np.stack([group.draw(frozenset([word]), random) for _ in range(400)]).mean(axis=1)
        assert drawn.std() == pytest.approx(wanted, rel=0.25)
        assert drawn.mean() == pytest.approx(0.5 * (word == "erratic"), abs=0.25)


def test_variance_is_that_of_usual_clips() -> None:
    levels = USUAL + 0.2 * np.random.default_rng(15).standard_normal((200, DIM))
    levels[0] = -18
    group = Group.fit(("fan",), levels, [frozenset()] * 200, [], [])
    assert group.variance.mean() == pytest.approx(0.04, rel=0.1)


def test_remainders_are_those_of_the_severity() -> None:
    random = np.random.default_rng(12)
    captions = [frozenset([word]) for word in ("slight", "severe") * 100]
    size = np.array([0.1 if "slight" in clip else 0.6 for clip in captions])
    normal = Group.fit(("fan",), 0.1 * random.standard_normal((200, DIM)), [frozenset()] * 200, [], [])
    levels = size[:, None] * random.standard_normal((200, 1)) * np.ones(DIM)
    scaling = [("slight",), ("severe",)]
    group = Group.fit(("fan",), levels, captions, ("slight", "severe"), [], base=normal, scaling=scaling)
    for word, wanted in (("slight", 0.1), ("severe", 0.6)):
        drawn = np.stack([group.draw(frozenset([word]), random) for _ in range(400)]).mean(axis=1)
        assert drawn.std() == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_remainders_of_anomalies_are_those_of_new_clips(strength: float) -> None:
    """Whether power explains the words' effect, or the regression of what that leaves."""
    random = np.random.default_rng(13)
    words = [f"w{number}" for number in range(40)]
    captions = [frozenset(random.choice(words, 4, replace=False)) for _ in range(100)]
    has = np.array([[word in clip for word in words] for clip in captions])
    normal = Group.fit(("fan",), 0.2 * random.standard_normal((2000, DIM)), [frozenset()] * 2000, [], [])
    effects = strength * random.standard_normal((40, DIM))
    levels = has @ effects + 0.2 * random.standard_normal((100, DIM))
    group = Group.fit(("fan",), levels, captions, words, [], base=normal)
    new = [frozenset(random.choice(words, 4, replace=False)) for _ in range(400)]
    truth = np.array([[word in clip for word in words] for clip in new]) @ effects
    error = truth + 0.2 * random.standard_normal((400, DIM)) - np.array([group.expected(clip) for clip in new])
    drawn = np.sqrt((np.square(group.scores @ group.directions).mean(axis=0) + np.square(group.rest)).mean())
    assert 0.8 < drawn / error.std() < 1.05  # the error of the fit is not in it


def test_few_clips_vary_less_about_their_own_mean() -> None:
    levels = np.random.default_rng(14).standard_normal((4, DIM))
    group = Group.fit(("fan",), levels, [frozenset()] * 4, [], [])
    power = np.square(group.scores @ group.directions).mean(axis=0) + np.square(group.rest)
    assert power == pytest.approx(levels.var(axis=0, ddof=1), rel=1e-3)


def test_slopes_are_those_of_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(21)
    words = [f"w{number}" for number in range(12)]
    captions = [frozenset(random.choice(words, 3, replace=False)) for _ in range(60)]
    levels = random.standard_normal((60, DIM))
    group = Group.fit(("fan",), levels, captions, words, [], pair_support=61)
    has = np.array([[word in caption for word in group.words] for caption in captions], dtype=float)
    np.testing.assert_allclose(group.slopes, Ridge(alpha=2.0).fit(has, levels).coef_.T, atol=1e-10)
    np.testing.assert_array_equal(group.presence, has)


def test_directions_are_principal_components_of_the_remainder() -> None:
    from sklearn.decomposition import PCA

    levels = np.random.default_rng(22).standard_normal((100, 6)) @ np.random.default_rng(23).standard_normal((6, DIM))
    group = Group.fit(("fan",), levels, [frozenset()] * 100, [], [], estimated=True)
    wanted = PCA(6).fit(levels)
    deviations = np.sqrt(wanted.explained_variance_ * 99 / 100)
    np.testing.assert_allclose(np.linalg.norm(group.directions[:6], axis=1), deviations, rtol=1e-6)
    cosines = np.abs((group.directions[:6] / deviations[:, None] * wanted.components_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-6)
    np.testing.assert_allclose(group.scores @ group.directions, levels - levels.mean(axis=0), atol=1e-6)

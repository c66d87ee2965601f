"""Extrapolation of FAD, and the fast distances of weighted clips behind it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asdbench import UserError
from asdbench.metrics.audio import resampling
from asdbench.metrics.audio.fad_infinity import extrapolated, fad_infinity
from asdbench.metrics.audio.frechet import frechet_distance
from asdbench.metrics.audio.resampling import FrechetOfClips, bootstrap, floor
from asdbench.metrics.audio.vectors import EmbeddedClips, join


@pytest.mark.parametrize(("per_clip", "dim"), [(1, 30), (5, 60), (12, 6)])
def test_weighted_clips_have_the_distance_of_the_repeated_clips(
    embedded: Callable[..., EmbeddedClips], per_clip: int, dim: int
) -> None:
    x, y = embedded(15, per_clip, dim, 0), embedded(10, per_clip, dim, 1, scale=1.3)
    figure, rng = FrechetOfClips(join(x, y)), np.random.default_rng(2)
    first, second = np.zeros((2, 3, 25))
    first[:, :15] = rng.multinomial(15, np.full(15, 1 / 15), size=3)
    second[:, 15:] = rng.multinomial(10, np.full(10, 1 / 10), size=3)
    expected = []
    for draw in range(3):
        of_x, of_y = (np.repeat(np.arange(25), weights[draw].astype(int)) for weights in (first, second))
        expected.append(frechet_distance(x.select(of_x).stacked, y.select(of_y - 15).stacked))
    assert figure(first, second) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("moments", [0, 2**20])  # of the vectors each time, and kept for each clip
@pytest.mark.parametrize(("per_clip", "dim"), [(1, 30), (12, 6)])
def test_draws_together_have_the_distances_of_single_ones_in_any_memory(
    embedded: Callable[..., EmbeddedClips], monkeypatch: pytest.MonkeyPatch, per_clip: int, dim: int, moments: int
) -> None:
    monkeypatch.setattr(resampling, "_MOMENTS", moments)
    clips = join(embedded(15, per_clip, dim, 0), embedded(10, per_clip, dim, 1, scale=1.3))
    first, second = np.random.default_rng(2).integers(0, 3, (2, 11, 25)).astype(float)
    first[4], second[7] = 0, 0  # no vectors, no distance
    whole = FrechetOfClips(clips)
    together = whole(first, second)
    assert np.flatnonzero(np.isnan(together)).tolist() == [4, 7]
    alone = [whole(first[[draw]], second[[draw]]).item() for draw in range(11)]
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    for draws in (1, 4):
        few = FrechetOfClips(clips, memory=draws * dim**2)
        np.testing.assert_allclose(few(first, second), together, rtol=1e-12)
    assert whole(first[:0], second[:0]).shape == (0,)


def test_a_draw_is_extrapolated_alike_alone_and_among_others(embedded: Callable[..., EmbeddedClips]) -> None:
    figure = extrapolated(FrechetOfClips(join(embedded(15, 3, 4, 0), embedded(12, 3, 4, 1))), seed=0)
    first, second = np.zeros((2, 3, 27))
    first[:, :15], second[:, 15:] = np.random.default_rng(3).integers(1, 3, (3, 15)), 1
    alone = [figure(first[[draw]], second[[draw]]).item() for draw in range(3)]
    np.testing.assert_allclose(figure(first, second), alone, rtol=1e-9)
    assert len(set(alone)) == 3


def test_it_removes_the_bias_of_few_clips(embedded: Callable[..., EmbeddedClips]) -> None:
    x, y = embedded(150, 1, 16, 3), embedded(100, 1, 16, 4)
    found = fad_infinity(x, y, resamples=60)
    biased = frechet_distance(x.stacked, y.stacked)
    assert abs(found.value) < 0.35 * biased
    assert found.low < 0 < found.high
    assert found.r2 > 0.8 and found.slope > 0


def test_a_true_distance_is_found(embedded: Callable[..., EmbeddedClips]) -> None:
    x, y = embedded(200, 1, 16, 5), embedded(150, 1, 16, 6, scale=1.5)
    true = (1.5 - 1) ** 2 * 1.09 * (1 / (1 + np.arange(16))).sum()  # between scaled copies of one Gaussian
    found = fad_infinity(x, y, resamples=60)
    assert found.low < true < found.high
    assert abs(found.value - true) < abs(frechet_distance(x.stacked, y.stacked) - true)


def test_same_seed_same_value(embedded: Callable[..., EmbeddedClips]) -> None:
    x, y = embedded(12, 3, 8, 7), embedded(14, 3, 8, 8)
    assert fad_infinity(x, y, resamples=5) == fad_infinity(x, y, resamples=5)
    assert fad_infinity(x, y, resamples=0).value != fad_infinity(x, y, seed=1, resamples=0).value


def test_few_clips_and_other_models_are_refused(embedded: Callable[..., EmbeddedClips]) -> None:
    with pytest.raises(UserError, match="at least 10 clips in each set, found 9"):
        fad_infinity(embedded(9, 1, 4, 0), embedded(20, 1, 4, 1))
    with pytest.raises(UserError, match="different models"):
        fad_infinity(embedded(10, 1, 4, 0), embedded(20, 1, 4, 1, model="other"))


def test_the_interval_of_a_distance_covers_its_expectation() -> None:
    """Coverage of E[FAD at these n] over 60 experiments; 95 % of 60 is 57, fewer than 50 would be a broken interval."""
    size, dim, rng = 25, 3, np.random.default_rng(9)

    def experiment() -> tuple[float, FrechetOfClips]:
        parts = [rng.standard_normal((size, dim)) * (1, 1.6)[side] for side in (0, 1)]
        sets = [EmbeddedClips("m", tuple(map(str, range(size))), tuple(part[:, None, :])) for part in parts]
        return frechet_distance(*parts), FrechetOfClips(join(*sets))

    drawn = [experiment() for _ in range(400)]
    expectation = np.mean([value for value, _ in drawn])
    inside = 0
    for value, figure in drawn[:60]:
        low, high = bootstrap(figure, size, size, value, resamples=100, confidence=0.95, seed=0)
        inside += low <= expectation <= high
    assert inside >= 50


def test_the_floor_is_that_of_halves_of_matched_size(embedded: Callable[..., EmbeddedClips]) -> None:
    x, y = embedded(40, 1, 6, 10), embedded(15, 1, 6, 11)
    seen: list[tuple[float, float]] = []

    def figure(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        seen.extend(zip(first.sum(axis=1), second.sum(axis=1), strict=True))
        assert not np.any(first * second)
        return first @ np.arange(first.shape[1])

    found = floor(figure, len(x), len(y), splits=4, seed=0)
    assert found is not None and found.clips == 15
    assert set(seen) == {(15.0, 15.0)} and len(seen) == 8
    assert floor(figure, 3, 15, splits=4, seed=0) is None

"""Fréchet distance against torchmetrics, closed forms and matrix square roots, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from asdbench import UserError
from asdbench.metrics.audio.frechet import frechet_distance, frechet_from_statistics, too_few_for
from asdbench.metrics.audio.resampling import _trace_of_root


def sample(n: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return shift + scale * rng.standard_normal((n, dim)) / np.sqrt(1 + np.arange(dim))


def test_it_equals_torchmetrics() -> None:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = sample(400, 16, 0), sample(300, 16, 1, 1.4, 0.3)

    class Same(torch.nn.Module):
        num_features = 16

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    metric = FrechetInceptionDistance(feature=Same(), input_img_size=(16,)).set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert frechet_distance(x, y) == pytest.approx(float(metric.compute()), rel=1e-6)


@pytest.mark.parametrize("definition", ["audioldm_eval", "frechet_audio_distance", "fadtk"])
def test_it_equals_the_peers_at_full_rank(definition: str) -> None:
    x, y = sample(200, 12, 2), sample(150, 12, 3, 0.7, -0.2)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x, y, definition), rel=1e-9)
    product = np.cov(x.T) @ np.cov(y.T)
    direct = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(
        np.cov(x.T) + np.cov(y.T) - 2 * scipy.linalg.sqrtm(product)
    )
    assert frechet_distance(x, y, definition) == pytest.approx(float(np.real(direct)), rel=1e-9)


def test_closed_form_of_diagonal_covariances() -> None:
    rng = np.random.default_rng(4)
    mean_1, mean_2 = rng.standard_normal((2, 20))
    spread_1, spread_2 = rng.uniform(0.1, 3, (2, 20))
    expected = np.square(mean_1 - mean_2).sum() + np.square(spread_1 - spread_2).sum()
    found = frechet_from_statistics(mean_1, np.diag(spread_1**2), mean_2, np.diag(spread_2**2))
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "dim"), [(50, 128), (128, 128), (500, 32)])
def test_a_set_against_itself_is_exactly_zero_in_any_order(n: int, dim: int) -> None:
    x = sample(n, dim, 5, shift=3.0)
    assert frechet_distance(x, x) == 0.0
    assert frechet_distance(x, x[::-1]) == 0.0
    assert frechet_from_statistics(x.mean(0), np.cov(x.T), x.mean(0), np.cov(x.T)) == 0.0


def test_few_vectors_give_no_negative_distance_where_peers_do() -> None:
    x = np.random.default_rng(3).standard_normal((50, 128))
    assert frechet_distance(x, x, "audioldm_eval") < 0
    near = x + 1e-9 * np.random.default_rng(4).standard_normal(x.shape)
    assert 0 < frechet_distance(x, near) < 1e-15


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 10**6))
def test_never_negative_symmetric_and_the_same_in_any_order(n: int, m: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, dim)), rng.standard_normal((m, dim)) * rng.uniform(0, 2)
    distance = frechet_distance(x, y)
    assert distance >= 0
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-9, abs=1e-12)
    assert frechet_distance(x[rng.permutation(n)], y[rng.permutation(m)]) == distance


def test_a_rotation_changes_nothing() -> None:
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((24, 24)))[0]
    x, y = sample(40, 24, 7), sample(15, 24, 8)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(frechet_distance(x, y), rel=1e-10)


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 300, 20), (30, 40, 100), (10, 300, 50)])
def test_stored_statistics_give_the_same(n: int, m: int, dim: int) -> None:
    x, y = sample(n, dim, 9), sample(m, dim, 10, 1.2, 0.1)
    stored = frechet_from_statistics(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert stored == pytest.approx(frechet_distance(x, y), rel=1e-7)


def test_equal_distributions_are_biased_upwards_and_less_so_with_more_clips() -> None:
    few, many = (frechet_distance(sample(n, 64, n), sample(n, 64, n + 1)) for n in (50, 800))
    assert few > 8 * many > 0


def test_the_warning_says_what_is_biased() -> None:
    assert "64 dimensions" in too_few_for(50, 64) and "biased upwards" in too_few_for(50, 64)
    assert too_few_for(65, 64) == too_few_for(650, 64, clips=65) == ""
    assert too_few_for(650, 64, clips=64).startswith("64 clips in 64 dimensions: FAD is biased upwards")


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), "at least 2 vectors are needed, found one"),
        (np.ones((0, 3)), np.ones((5, 3)), "found none"),
        (np.full((4, 3), np.nan), np.ones((5, 3)), "4 of 4 vectors hold NaN"),
        (np.ones((4, 3)), np.ones((5, 2)), "3 and 2 dimensions"),
        (np.ones(4), np.ones((5, 2)), "shape"),
    ],
)
def test_bad_vectors_are_refused_in_a_sentence(x: np.ndarray, y: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        frechet_distance(x, y)


def test_bad_statistics_and_names_are_refused() -> None:
    eye, zero = np.eye(2), np.zeros(2)
    with pytest.raises(UserError, match="negative eigenvalue"):
        frechet_from_statistics(zero, np.diag([1.0, -1.0]), zero, eye)
    with pytest.raises(UserError, match="not symmetric"):
        frechet_from_statistics(zero, np.array([[1.0, 0.5], [0.0, 1.0]]), zero, eye)
    with pytest.raises(UserError, match="2 and 3 dimensions"):
        frechet_from_statistics(zero, eye, np.zeros(3), np.eye(3))
    with pytest.raises(UserError, match="did you mean 'fadtk'"):
        frechet_distance(np.ones((4, 2)), np.ones((4, 2)), "fadkt")


@pytest.mark.parametrize("dim", [1, 3])
def test_the_root_of_a_covariance_of_0_has_trace_0(dim: int) -> None:
    """Resamples of ten clips may hold one clip ten times, whose covariance is 0."""
    other = np.cov(sample(50, dim, 0), rowvar=False).reshape(dim, dim)
    zero = np.zeros((dim, dim))
    assert _trace_of_root(zero, other) == _trace_of_root(other, zero) == 0
    assert _trace_of_root(other, other) == pytest.approx(np.trace(other))

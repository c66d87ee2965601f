"""Intervals and floors: a figure on resampled clips.

Clips, not vectors, are resampled: vectors of one clip are alike. A figure of two sets is a function of two rows of
weights over the clips of both; a bootstrap resample, a subset and a half of the real clips are such rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors
from asdbench.seeding import derive_rng

Weights = npt.NDArray[np.float64]
"""How often each clip is in a set: shape (clips,)."""
Rows = npt.NDArray[np.intp]
TwoSets = Callable[[Weights, Weights], float]
"""A figure of a reference set and a set that is compared with it."""

Strata = tuple[Sequence[str], Sequence[str]]
"""A label, such as the machine, of each reference clip and of each clip that is compared with them: draws keep the
number of clips with each."""

_MOMENTS = 2**26  # numbers (512 MiB) that the covariances of single clips may take


@dataclass(frozen=True)
class Floor:
    """What a figure is between two halves of the real clips.

    Attributes:
        mean, high: mean over the splits and their 95th percentile.
        clips: in each half.
        matched: the figure of the generated clips with as many clips on each side, mean over as many draws.
    """

    mean: float
    high: float
    clips: int
    matched: float


def bootstrap(
    figure: TwoSets,
    reference: int,
    generated: int,
    value: float,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    strata: Strata | None = None,
) -> tuple[float, float]:
    """Percentile interval over resamples of both sets, moved so that the resamples' mean is ``value``.

    A resample holds fewer distinct clips than the set, which biases a Fréchet distance further upwards; the move takes
    this out. The interval is that of the figure *at this number of clips*.

    Args:
        figure: over the clips of both sets, the reference first.
        reference: number of reference clips.
        generated: number of generated clips.
        value: the figure itself.
        resamples: how many to draw.
        confidence: such as 0.95.
        seed: of the draws.
        strata: each is resampled by itself.
    """
    draws = np.array(bootstrap_values(figure, reference, generated, resamples=resamples, seed=seed, strata=strata))
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws - draws.mean() + value, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_values(
    figure: TwoSets, reference: int, generated: int, *, resamples: int, seed: int, strata: Strata | None = None
) -> list[float]:
    """The figure of each resample."""
    rng = derive_rng("audio bootstrap", seed)
    groups = _groups(strata, reference, generated)
    values = []
    for _ in range(resamples):
        first, second = np.zeros((2, reference + generated))
        for rows in groups:
            for weights, some in zip((first, second), rows, strict=True):
                if len(some):
                    weights[some] = rng.multinomial(len(some), np.full(len(some), 1 / len(some)))
        # With one distinct clip a set has no spread: such a draw, which only tiny sets give, is left out.
        enough = min(np.count_nonzero(first), np.count_nonzero(second)) >= 2
        values.append(figure(first, second) if enough else float("nan"))
    return values


def floor(
    figure: TwoSets, reference: int, generated: int, *, splits: int, seed: int, strata: Strata | None = None
) -> Floor | None:
    """The figure between random halves of the real clips, and that of the generated clips at the same sizes.

    With strata each is halved by itself: halves with different machines would differ by more than chance.

    None with fewer than four real or two generated clips.
    """
    groups = _groups(strata, reference, generated)
    sizes = [min(len(real) // 2, len(made)) for real, made in groups]
    size = sum(sizes)
    if size < 2:
        return None
    rng = derive_rng("audio floor", seed)
    halves, matched = [], []
    for _ in range(splits):
        sets = [np.zeros(reference + generated) for _ in range(3)]
        for (of_real, of_made), half in zip(groups, sizes, strict=True):
            real, made = rng.permutation(of_real), rng.permutation(of_made)
            for weights, rows in zip(sets, (real[:half], real[half : 2 * half], made[:half]), strict=True):
                weights[rows] = 1
        halves.append(figure(sets[0], sets[1]))
        matched.append(figure(sets[0], sets[2]))
    return Floor(float(np.mean(halves)), float(np.quantile(halves, 0.95)), size, float(np.mean(matched)))


def _groups(strata: Strata | None, reference: int, generated: int) -> list[tuple[Rows, Rows]]:
    """Places of the reference clips and of the others, in each stratum."""
    if strata is None:
        return [(np.arange(reference), reference + np.arange(generated))]
    labels = [np.asarray(part, dtype=object) for part in strata]
    return [
        (np.flatnonzero(labels[0] == name), reference + np.flatnonzero(labels[1] == name))
        for name in sorted({*strata[0], *strata[1]})
    ]


class FrechetOfClips:
    """Fréchet distances between weighted sets of the same clips, without going through their vectors each time.

    With few vectors everything follows from their inner products, with many from the first two moments of each clip.
    """

    def __init__(self, clips: EmbeddedClips) -> None:
        centre = clips.stacked.mean(axis=0)  # a far origin would cost digits
        self._vectors = clips.stacked - centre
        self._owners, self._counts, self._dim = clips.owners, clips.counts.astype(np.float64), clips.dim
        self._products: Vectors | None = None
        self._seconds: Vectors | None = None
        if len(self._vectors) <= 2 * clips.dim:
            self._products = self._vectors @ self._vectors.T
        else:
            parts = [part - centre for part in clips.vectors]
            self._firsts = np.stack([part.sum(axis=0) for part in parts])
            if len(clips) * clips.dim**2 <= _MOMENTS:
                self._seconds = np.stack([(part.T @ part).ravel() for part in parts])

    def __call__(self, first: Weights, second: Weights) -> float:
        """The distance between two weighted sets of clips; NaN where a set has fewer than two vectors."""
        if min(first @ self._counts, second @ self._counts) < 2:
            return float("nan")
        return self._from_products(first, second) if self._products is not None else self._from_moments(first, second)

    def _from_products(self, first: Weights, second: Weights) -> float:
        assert self._products is not None
        sides, spread = [], 0.0
        for weights in (first, second):
            rows = np.flatnonzero(weights[self._owners])
            share = weights[self._owners][rows]
            total = share.sum()
            products = self._products[np.ix_(rows, rows)]
            mean_square = share @ products @ share / total**2
            spread += (share @ np.diagonal(products) - total * mean_square) / (total - 1)
            sides.append((rows, share / total, np.sqrt(share / (total - 1)), mean_square))
        (rows_1, mean_1, scale_1, square_1), (rows_2, mean_2, scale_2, square_2) = sides
        cross = self._products[np.ix_(rows_1, rows_2)]
        left, right = mean_1 @ cross, cross @ mean_2
        both = float(left @ mean_2)
        centred = (cross - left[None, :] - right[:, None] + both) * scale_1[:, None] * scale_2
        nuclear = scipy.linalg.svd(centred, compute_uv=False, check_finite=False).sum()
        return float(max(0.0, square_1 + square_2 - 2 * both + spread - 2 * nuclear))

    def _from_moments(self, first: Weights, second: Weights) -> float:
        (mean_1, cov_1), (mean_2, cov_2) = self._moments(first), self._moments(second)
        root = _root(cov_1)
        inner = scipy.linalg.eigvalsh(root.T @ cov_2 @ root, check_finite=False)
        gap = mean_1 - mean_2
        trace = np.trace(cov_1) + np.trace(cov_2) - 2 * np.sqrt(np.maximum(inner, 0.0)).sum()
        return float(max(0.0, gap @ gap + trace))

    def _moments(self, weights: Weights) -> tuple[Vectors, Vectors]:
        total = weights @ self._counts
        mean = weights @ self._firsts / total
        if self._seconds is not None:
            some = np.flatnonzero(weights)
            part = slice(some[0], some[-1] + 1)  # reading the moments of clips that do not count takes half the time
            second = (weights[part] @ self._seconds[part]).reshape(self._dim, self._dim)
        else:
            rows = np.flatnonzero(weights[self._owners])
            scaled = self._vectors[rows] * np.sqrt(weights[self._owners][rows])[:, None]
            second = scaled.T @ scaled
        return mean, (second - total * np.outer(mean, mean)) / (total - 1)


def _root(covariance: Vectors) -> Vectors:
    """R with R Rᵀ the covariance: triangular where it has full rank, which is ten times faster."""
    try:
        return np.asarray(scipy.linalg.cholesky(covariance, lower=True, check_finite=False))
    except scipy.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(covariance, check_finite=False)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

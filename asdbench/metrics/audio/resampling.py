"""Intervals and floors: a figure on resampled clips.

Clips, not vectors, are resampled: vectors of one clip are alike. A figure of two sets is a function of two rows of
weights over the clips of both; a bootstrap resample, a subset and a half of the real clips are such rows. It takes the
rows of many draws at once: reading the second moments of all clips for each draw would be most of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.linalg import blas, lapack

from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors
from asdbench.seeding import derive_rng

Weights = npt.NDArray[np.float64]
"""How often each clip is in a set, for many sets: shape (draws, clips)."""
Values = npt.NDArray[np.float64]
"""A figure of each draw: shape (draws,)."""
Rows = npt.NDArray[np.intp]
TwoSets = Callable[[Weights, Weights], Values]
"""A figure of reference sets and of the sets that are compared with them, draw by draw."""

Strata = tuple[Sequence[str], Sequence[str]]
"""A label, such as the machine, of each reference clip and of each clip that is compared with them: draws keep the
number of clips with each."""

_MOMENTS = 2**26  # numbers (512 MiB) that the second moments of single clips may take
_MEMORY = 2**23  # numbers (64 MiB) that those of draws may take at a time


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
    draws = bootstrap_values(figure, reference, generated, resamples=resamples, seed=seed, strata=strata)
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws - draws.mean() + value, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_values(
    figure: TwoSets, reference: int, generated: int, *, resamples: int, seed: int, strata: Strata | None = None
) -> Values:
    """The figure of each resample, shape (resamples,)."""
    rng = derive_rng("audio bootstrap", seed)
    groups = _groups(strata, reference, generated)
    first, second = np.zeros((2, resamples, reference + generated))
    for draw in range(resamples):
        for rows in groups:
            for weights, some in zip((first[draw], second[draw]), rows, strict=True):
                if len(some):
                    weights[some] = rng.multinomial(len(some), np.full(len(some), 1 / len(some)))
    # With one distinct clip a set has no spread: such a draw, which only tiny sets give, is left out.
    enough = np.minimum(np.count_nonzero(first, axis=1), np.count_nonzero(second, axis=1)) >= 2
    values = np.full(resamples, np.nan)
    values[enough] = figure(first[enough], second[enough])
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
    sets = np.zeros((splits, 3, reference + generated))
    for drawn in sets:
        for (of_real, of_made), half in zip(groups, sizes, strict=True):
            real, made = rng.permutation(of_real), rng.permutation(of_made)
            for weights, rows in zip(drawn, (real[:half], real[half : 2 * half], made[:half]), strict=True):
                weights[rows] = 1
    first, others = np.repeat(sets[:, 0], 2, axis=0), sets[:, 1:].reshape(2 * splits, -1)
    halves, matched = figure(first, others).reshape(splits, 2).T
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

    def __init__(self, clips: EmbeddedClips, memory: int = _MEMORY) -> None:
        """Find what all draws share.

        Args:
            clips: of both sets.
            memory: how many numbers the second moments of draws may take at a time.
        """
        centre = clips.stacked.mean(axis=0)  # a far origin would cost digits
        self._vectors = clips.stacked - centre
        self._owners, self._counts = clips.owners, clips.counts.astype(np.float64)
        self._products: Vectors | None = None
        self._seconds: Vectors | None = None
        if len(self._vectors) <= 2 * clips.dim:
            self._products = self._vectors @ self._vectors.T
        else:
            self._firsts = np.add.reduceat(self._vectors, np.cumsum(clips.counts) - clips.counts, axis=0)
            self._triangle = _Triangle(clips.dim)
            if len(clips) * self._triangle.size <= _MOMENTS:
                parts = [part - centre for part in clips.vectors]
                self._seconds = np.stack([self._triangle.packed(part.T @ part) for part in parts])
        self._step = max(1, memory // clips.dim**2)  # draws at a time: a packed matrix of both sets each

    def __call__(self, first: Weights, second: Weights) -> Values:
        """The distance between two weighted sets of clips, draw by draw; NaN where a set has fewer than two vectors."""
        distances = self._from_products if self._products is not None else self._from_moments
        values = np.full(len(first), np.nan)
        usable = np.flatnonzero(np.minimum(first @ self._counts, second @ self._counts) >= 2)
        for start in range(0, len(usable), self._step):
            rows = usable[start : start + self._step]
            values[rows] = distances(first[rows], second[rows])
        return values

    def _from_products(self, first: Weights, second: Weights) -> Values:
        return np.array([self._from_products_of(*pair) for pair in zip(first, second, strict=True)])

    def _from_products_of(self, first: Vectors, second: Vectors) -> float:
        """The distance of one draw: its sets of vectors have their own sizes, which leaves nothing to share."""
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

    def _from_moments(self, first: Weights, second: Weights) -> Values:
        values = []
        for (mean_1, cov_1), (mean_2, cov_2) in zip(self._gaussians(first), self._gaussians(second), strict=True):
            gap = mean_1 - mean_2
            trace = np.trace(cov_1) + np.trace(cov_2) - 2 * _trace_of_root(cov_1, cov_2)
            values.append(max(0.0, float(gap @ gap + trace)))
        return np.array(values)

    def _gaussians(self, weights: Weights) -> Iterator[tuple[Vectors, Vectors]]:
        """Mean, shape (dim,), and covariance, shape (dim, dim), of each draw.

        Sums over clips are those of all draws together, a product of two matrices. Covariances come one at a time, so
        that they are still in the cache of the processor when they are used.
        """
        totals = weights @ self._counts
        means = weights @ self._firsts / totals[:, None]
        if self._seconds is not None:
            some = np.flatnonzero(weights.any(axis=0))
            part = slice(some[0], some[-1] + 1)  # reading the moments of clips that do not count takes half the time
            squares = weights[:, part] @ self._seconds[part]
        else:
            squares = np.stack([self._squares(row) for row in weights])
        for mean, square, total in zip(means, squares, totals, strict=True):
            covariance = self._triangle.unpacked(square)
            scaled = np.sqrt(total) * mean
            covariance -= np.outer(scaled, scaled)
            covariance /= total - 1
            yield mean, covariance

    def _squares(self, weights: Vectors) -> Vectors:
        """The packed sum of squares of one draw, from the vectors themselves."""
        rows = np.flatnonzero(weights[self._owners])
        scaled = self._vectors[rows] * np.sqrt(weights[self._owners][rows])[:, None]
        return self._triangle.packed(scaled.T @ scaled)


class _Triangle:
    """Symmetric matrices as their upper triangles: half the numbers to keep, to read and to add up."""

    def __init__(self, dim: int) -> None:
        self._upper = np.triu_indices(dim)
        self.size = len(self._upper[0])
        self._places = np.zeros((dim, dim), dtype=np.intp)
        self._places[self._upper] = np.arange(self.size)
        self._places = np.maximum(self._places, self._places.T)

    def packed(self, matrix: Vectors) -> Vectors:
        """The numbers of the upper triangle, shape (size,), of a matrix of shape (dim, dim)."""
        return np.asarray(matrix[self._upper])

    def unpacked(self, numbers: Vectors) -> Vectors:
        """The matrix of shape (dim, dim) whose upper triangle has these numbers, shape (size,)."""
        return np.asarray(numbers[self._places])


def _trace_of_root(cov_1: Vectors, cov_2: Vectors) -> float:
    """Trace of (C₁C₂)^½ of two covariances, from the eigenvalues of RᵀC₂R with RRᵀ = C₁.

    LAPACK is called without scipy's checks, which take as long as the factor itself. It stores matrices by columns:
    symmetric ones are handed over transposed, as they lie in memory.
    """
    factor, failed = lapack.dpotrf(cov_1.T, lower=1)
    if failed:
        root = _root(cov_1)
        if not root.shape[1]:  # clips that do not differ: the covariance is 0
            return 0.0
        inner = root.T @ cov_2 @ root
    else:
        half = blas.dtrmm(1.0, factor, cov_2.T, side=1, lower=1)
        inner = blas.dtrmm(1.0, factor, half, lower=1, trans_a=1, overwrite_b=1)
    values, *_, failed = lapack.dsyevr(inner, compute_v=0, lower=1, overwrite_a=1)
    if failed:
        raise scipy.linalg.LinAlgError("the eigenvalues of a covariance did not converge")
    return float(np.sqrt(np.maximum(values, 0.0)).sum())


def _root(covariance: Vectors) -> Vectors:
    """R with R Rᵀ a covariance that has no Cholesky factor, since it is singular, by one with pivots."""
    factor, pivots, rank, _ = lapack.dpstrf(covariance.T, lower=1)
    root = np.zeros((len(covariance), rank))
    root[pivots - 1] = np.tril(factor)[:, :rank]
    return root

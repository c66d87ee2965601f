"""Sizes of the model from its training vectors: by cumulative eigenvalues, and by the gap statistic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_REFERENCES = 10


def principal_components(vectors: Array, share: float) -> Array:
    """Project vectors onto their principal axes, as many as hold a share of the variance.

    Args:
        vectors: shape (num_vectors, size).
        share: share of the sum of the eigenvalues of the covariance.

    Returns:
        The projections, shape (num_vectors, dimensions): one dimension at least, the largest variance first.
    """
    centred = vectors - vectors.mean(axis=0)
    eigenvalues, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    eigenvalues, axes = np.maximum(eigenvalues[::-1], 0), axes[:, ::-1]
    total = np.cumsum(eigenvalues)
    enough = int(np.searchsorted(total, share * total[-1])) + 1
    return np.asarray(centred @ axes[:, :enough], dtype=np.float64)


def clusters_by_gap(points: Array, most: int, rng: np.random.Generator) -> int:
    """The number of clusters by the gap statistic.

    It is the smallest k whose gap is not below that of k + 1 less the latter's standard error, where the gap is how far
    the log of the scatter within k clusters (k-means) lies below that of uniform points in the same box.

    Source: R. Tibshirani, G. Walther, T. Hastie, "Estimating the number of clusters in a data set via the gap
    statistic", J. R. Statist. Soc. B 63(2), 2001, section 4.

    Args:
        points: shape (num_points, dim), along their principal axes.
        most: the largest number that is tried.
        rng: for the uniform points and the starts of k-means.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    references = [rng.uniform(low, high, points.shape) for _ in range(_REFERENCES)]
    before = -np.inf
    for k in range(1, min(most, len(points) - 1) + 1):
        expected = np.array([_log_scatter(reference, k, rng) for reference in references])
        gap = expected.mean() - _log_scatter(points, k, rng)
        error = expected.std() * np.sqrt(1 + 1 / len(references))
        if k > 1 and before >= gap - error:
            return k - 1
        before = gap
    return max(1, min(most, len(points) - 1))


def _log_scatter(points: Array, k: int, rng: np.random.Generator) -> float:
    from sklearn.cluster import KMeans

    scatter = KMeans(k, n_init=1, random_state=int(rng.integers(2**31))).fit(points).inertia_
    return float(np.log(max(scatter, np.finfo(np.float64).tiny)))

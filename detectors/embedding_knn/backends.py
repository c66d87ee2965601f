"""Anomaly scores of vectors against vectors of normal clips: neighbours, Mahalanobis distance, Gaussian mixture.

Each function takes the reference, shape (clips, dim), and returns what scores others, shape (n, dim), as shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Vectors = npt.NDArray[np.float64]
Scorer = Callable[[Vectors], npt.NDArray[np.float64]]
Metric = Literal["euclidean", "cosine"]

_FOLDS = 10
_ROWS = 256  # of a block of distances


def neighbours(reference: Vectors, k: int, density: int, metric: Metric) -> Scorer:
    """Mean distance to the k nearest clips of the reference; a clip that is itself in it is not its own neighbour.

    The cosine distance is that of vectors of length 1.

    With ``density`` each distance to a clip of the reference is divided by the mean distance of that clip to its
    ``density`` nearest in the reference before the nearest are taken: the normalisation of K. Wilkinghoff et al.,
    "Keeping the balance: anomaly score calculation for domain generalization", ICASSP 2025 (with k = 1).
    """
    scale = _spread(reference, density, metric) if density else np.ones(len(reference))

    def score(vectors: Vectors) -> npt.NDArray[np.float64]:
        result = np.empty(len(vectors))
        for start in range(0, len(vectors), _ROWS):
            distances = _distances(vectors[start : start + _ROWS], reference, metric)
            if len(reference) > 1:
                nearest = distances.argmin(axis=1)
                same = distances[np.arange(len(distances)), nearest] == 0
                distances[same, nearest[same]] = np.inf
            ranked = np.sort(distances / scale, axis=1)[:, : min(k, max(1, len(reference) - 1))]
            result[start : start + _ROWS] = ranked.mean(axis=1)
        return result

    return score


def mahalanobis(reference: Vectors) -> Scorer:
    """Mahalanobis distance to the mean, with the covariance of O. Ledoit and M. Wolf (2004), which few clips allow."""
    from sklearn.covariance import LedoitWolf

    estimate = LedoitWolf().fit(reference)
    return lambda vectors: np.sqrt(estimate.mahalanobis(vectors))


def mixture(reference: Vectors, components: int, regularisation: float, seed: int) -> Scorer:
    """Negative log-likelihood under a Gaussian mixture; a share of the mean variance is added to all variances."""
    from sklearn.mixture import GaussianMixture

    added = regularisation * float(reference.var(axis=0).mean())
    model = GaussianMixture(components, reg_covar=max(added, np.finfo(np.float64).eps), random_state=seed)
    model.fit(reference)
    return lambda vectors: -model.score_samples(vectors)


def held_out(reference: Vectors, fit: Callable[[Vectors], Scorer], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The score of each of two or more clips of a reference when it is not in it, shape (clips,); in ten folds."""
    fold = rng.permutation(len(reference)) % min(_FOLDS, len(reference))
    scores = np.empty(len(reference))
    for number in range(fold.max() + 1):
        scores[fold == number] = fit(reference[fold != number])(reference[fold == number])
    return scores


def unit(vectors: Vectors) -> Vectors:
    """The vectors at length 1; a vector of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _spread(reference: Vectors, density: int, metric: Metric) -> npt.NDArray[np.float64]:
    """Mean distance of each clip to its nearest others; above 0, so that it can be divided by."""
    means = np.empty(len(reference))
    for start in range(0, len(reference), _ROWS):
        distances = _distances(reference[start : start + _ROWS], reference, metric)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        means[start : start + _ROWS] = np.sort(distances, axis=1)[:, : min(density, len(reference) - 1)].mean(axis=1)
    return np.maximum(means, np.finfo(np.float64).eps * max(means.max(), 1.0))


def _distances(first: Vectors, second: Vectors, metric: Metric) -> npt.NDArray[np.float64]:
    """Distances of all pairs, shape (first, second): exactly 0 between equal vectors, which cdist's cosine is not."""
    # Of vectors of length 1 the cosine distance is half the squared one.
    return cdist(first, second) if metric == "euclidean" else cdist(first, second, "sqeuclidean") / 2

"""Distances to the nearest of a set of vectors, by brute force: above some 20 dimensions trees are slower.

Distances are sums of squared differences, not taken apart into products, so that a vector is at exactly 0 from itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BYTES = 2**24
"""Of the matrix of distances that is held at a time."""


def nearest_distances(queries: npt.NDArray[Any], known: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    """Euclidean distances of each query to the nearest known vectors.

    Args:
        queries: shape (n, dimensions).
        known: shape (m, dimensions).
        count: how many are asked for; m where that is fewer.

    Returns:
        Shape (n, min(count, m)), the smallest first.
    """
    from scipy.spatial.distance import cdist

    count = min(count, len(known))
    found = np.empty((len(queries), count))
    step = max(1, _BYTES // (8 * len(known)))
    for start in range(0, len(queries), step):
        distances = cdist(queries[start : start + step], known)
        found[start : start + step] = np.sort(np.partition(distances, count - 1, axis=1)[:, :count], axis=1)
    return found

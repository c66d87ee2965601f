"""SMOTE: further vectors of the rarer domain, between those that there are.

Source: N. V. Chawla et al., "SMOTE: synthetic minority over-sampling technique", JAIR 16, 2002.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NEIGHBOURS = 5  # the paper's choice


def balanced(
    vectors: npt.NDArray[np.float64], domains: npt.ArrayLike, share: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Add vectors to every domain that has fewer than a share of the largest one, until it has as many.

    A new vector lies at random on the line between a vector and one of its five nearest of the same domain. A domain of
    one vector has no such lines and stays as it is.

    Args:
        vectors: shape (clips, values).
        domains: of each clip, shape (clips,).
        share: of the number of clips of the largest domain; 0 adds nothing, 1 makes all equal.
        rng: draws the vectors.

    Returns:
        The vectors with the new ones behind them, and the domain of each.
    """
    labels = np.asarray(domains, dtype=np.str_)
    names, counts = np.unique(labels, return_counts=True)
    parts, owners = [vectors], [labels]
    for name, count in zip(names, counts, strict=True):
        wanted = round(share * counts.max()) - int(count)
        if wanted > 0 and count > 1:
            parts.append(between(vectors[labels == name], wanted, rng))
            owners.append(np.full(wanted, name))
    return np.concatenate(parts), np.concatenate(owners)


def between(vectors: npt.NDArray[np.float64], count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """New vectors, shape (count, values), each on the line between two near ones of the two or more given."""
    from scipy.spatial.distance import cdist

    distances = cdist(vectors, vectors)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(vectors) - 1)]
    first = rng.integers(len(vectors), size=count)
    second = nearest[first, rng.integers(nearest.shape[1], size=count)]
    result: npt.NDArray[np.float64] = vectors[first] + rng.random((count, 1)) * (vectors[second] - vectors[first])
    return result

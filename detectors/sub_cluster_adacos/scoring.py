"""Cosine distance to what is normal: clusters of the source domain and each of the few clips of the target domain.

Source: K. Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain generalization in
anomalous sound detection", ICASSP 2023, section 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SAME = 1e-10
"""Cosine distances up to this are those of a clip to itself: single precision leaves some 1e-13."""


def references(embeddings: Array, domains: npt.NDArray[np.str_], clusters: int, seed: int) -> Array:
    """Return the directions that are normal, unit vectors of shape (references, dimensions).

    A domain of more than ``clusters`` clips is stood for by the centres of its clusters (k-means on the unit sphere's
    chords), a smaller one by each of its clips.

    Args:
        embeddings: of the training clips, shape (clips, dimensions).
        domains: domain of each clip, shape (clips,).
        clusters: number of clusters of a domain.
        seed: of k-means.
    """
    from sklearn.cluster import KMeans

    unit = normalised(embeddings)
    parts = []
    for domain in np.unique(domains):
        rows = unit[domains == domain]
        distinct = len(np.unique(rows, axis=0))
        if distinct > clusters:
            rows = normalised(KMeans(clusters, n_init=4, random_state=seed).fit(rows).cluster_centers_)
        parts.append(rows)
    return np.concatenate(parts)


def distances(embeddings: Array, references: Array) -> Array:
    """Return the smallest cosine distance of each embedding to a reference, shape (clips,).

    A training clip is not its own reference: distances up to `SAME` count only where there is no other.
    """
    cosine = np.maximum(1 - normalised(embeddings) @ references.T, 0)
    others = np.where(cosine <= SAME, np.inf, cosine).min(axis=1)
    return np.where(np.isfinite(others), others, cosine.min(axis=1))


def normalised(vectors: Array) -> Array:
    """Vectors of length 1; one of length 0 stays as it is."""
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)

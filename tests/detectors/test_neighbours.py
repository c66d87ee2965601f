"""Nearest neighbours by brute force, against a tree of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from asdbench.detectors.shared import neighbours
from asdbench.detectors.shared.neighbours import nearest_distances


@pytest.mark.parametrize("held", [2**24, 8 * 40 * 3, 1])  # bytes: all queries at once, three, one
def test_distances_are_those_of_a_tree(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(neighbours, "_BYTES", held)
    rng = np.random.default_rng(0)
    queries, known = (rng.normal(size=(count, 256)).astype(np.float32) for count in (10, 40))
    expected = NearestNeighbors(n_neighbors=4, algorithm="kd_tree").fit(known).kneighbors(queries)[0]
    assert np.allclose(nearest_distances(queries, known, 4), expected, rtol=1e-12)


def test_a_vector_is_at_exactly_0_from_itself_however_far_from_the_origin() -> None:
    known = (1e4 + np.random.default_rng(1).normal(size=(50, 256))).astype(np.float32)
    found = nearest_distances(known, known, 2)
    assert (found[:, 0] == 0).all() and (found[:, 1] > 0).all()


def test_no_more_distances_than_known_vectors() -> None:
    assert nearest_distances(np.zeros((2, 3)), np.ones((4, 3)), 50).shape == (2, 4)

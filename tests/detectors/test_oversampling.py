"""SMOTE: new vectors lie between near neighbours of their own domain."""

from __future__ import annotations

import numpy as np

from asdbench.detectors.shared.oversampling import balanced, between


def test_two_vectors_give_points_of_the_line_between_them():
    ends = np.array([[0.0, 0.0], [4.0, 8.0]])
    new = between(ends, 50, np.random.default_rng(0))
    assert new.shape == (50, 2)
    assert np.allclose(new[:, 1], 2 * new[:, 0])
    assert 0 <= new[:, 0].min() < 0.5 and 3.5 < new[:, 0].max() <= 4


def test_each_new_vector_lies_between_a_vector_and_one_of_its_five_nearest():
    vectors = np.random.default_rng(1).standard_normal((12, 3))
    for point in between(vectors, 40, np.random.default_rng(2)):
        pairs = []
        for first, start in enumerate(vectors):
            distances = np.linalg.norm(vectors - start, axis=1)
            for second in np.argsort(distances)[1:6]:
                along = vectors[second] - start
                share = (point - start) @ along / (along @ along)
                if 0 <= share <= 1 and np.allclose(start + share * along, point):
                    pairs.append((first, second))
        assert pairs


def test_the_rarer_domain_is_filled_up_to_a_share_of_the_larger_one():
    vectors = np.arange(26.0).reshape(13, 2)
    domains = ["source"] * 10 + ["target"] * 3
    for share, expected in ((0.0, 3), (0.2, 3), (0.5, 5), (1.0, 10)):
        filled, labels = balanced(vectors, domains, share, np.random.default_rng(0))
        assert (labels == "target").sum() == expected and (labels == "source").sum() == 10
        assert np.array_equal(filled[:13], vectors)
        assert filled[13:].min(initial=20) >= 20  # between target clips only


def test_a_domain_of_one_clip_stays_as_it_is():
    filled, labels = balanced(np.zeros((3, 2)), ["source", "source", "target"], 1.0, np.random.default_rng(0))
    assert len(filled) == len(labels) == 3

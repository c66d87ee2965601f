"""Posteriors and most likely paths of hidden Markov models, against the sum and maximum over all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asdbench.generators.texture.hidden_markov import most_likely_paths, posteriors

CLIPS, FRAMES, STATES = 3, 5, 3


@pytest.fixture
def model() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    transitions = random.dirichlet(np.ones(STATES), STATES).astype(np.float32)
    likelihood = random.normal(-4, 3, (CLIPS, FRAMES, STATES)).astype(np.float32)
    return likelihood, transitions, random.dirichlet(np.ones(STATES)).astype(np.float32)


def every_path(likelihood: np.ndarray, transitions: np.ndarray, start: np.ndarray) -> dict[tuple[int, ...], float]:
    """Joint probability of each path and what one clip emits."""
    found = {}
    for path in itertools.product(range(STATES), repeat=FRAMES):
        steps = np.prod([transitions[a, b] for a, b in itertools.pairwise(path)])
        emitted = np.exp(sum(float(likelihood[frame, state]) for frame, state in enumerate(path)))
        found[path] = float(start[path[0]] * steps * emitted)
    return found


def test_posteriors_and_transitions_are_sums_over_all_paths(model: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    likelihood, transitions, start = model
    found, pairs, total = posteriors(likelihood, transitions, start)
    wanted, counted, logs = np.zeros(likelihood.shape), np.zeros((STATES, STATES)), 0.0
    for clip in range(CLIPS):
        paths = every_path(likelihood[clip], transitions, start)
        whole = sum(paths.values())
        logs += np.log(whole)
        for path, joint in paths.items():
            for frame, state in enumerate(path):
                wanted[clip, frame, state] += joint / whole
            for a, b in itertools.pairwise(path):
                counted[a, b] += joint / whole
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(pairs, counted, rtol=1e-4)
    assert total == pytest.approx(logs, rel=1e-5)


def test_the_most_likely_path_is_that_of_all_paths(model: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    found = most_likely_paths(*model)
    for clip in range(CLIPS):
        paths = every_path(model[0][clip], *model[1:])
        assert tuple(found[clip]) == max(paths, key=lambda path: paths[path])

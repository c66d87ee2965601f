from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asdbench.compare import compare
from asdbench.compare.seeds import resample_seeds
from asdbench.compare.testsets import Replicate


def test_variance_between_seeds_is_not_shrunk() -> None:
    """Three seeds with values of variance s^2 and no noise of clips: the mean varies by s^2 / 3."""
    values = np.array([0.0, 0.1, 0.5])
    draws = np.repeat(values[:, None], 40000, axis=1)
    found = resample_seeds([Replicate(s, s) for s in range(3)], draws, np.random.default_rng(1))
    assert found.mean() == pytest.approx(0.2, abs=0.002)
    assert found.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)


def test_crossed_seeds_are_two_factors() -> None:
    """Additive effects of detector and generation seed: their variances add."""
    detector, generation = np.array([0.0, 0.3]), np.array([0.0, 0.1, 0.4])
    replicates = [Replicate(d, g) for d in range(2) for g in range(3)]
    values = np.array([detector[r.seed] + generation[r.generation_seed] for r in replicates])
    draws = np.repeat(values[:, None], 40000, axis=1)
    found = resample_seeds(replicates, draws, np.random.default_rng(2))
    assert found.var() == pytest.approx(detector.var(ddof=1) / 2 + generation.var(ddof=1) / 3, rel=0.03)


def test_an_incomplete_grid_still_has_a_mean() -> None:
    replicates = [Replicate(0, 0), Replicate(0, 1), Replicate(1, 1)]
    found = resample_seeds(replicates, np.ones((3, 500)), np.random.default_rng(3))
    np.testing.assert_allclose(found, 1)


def test_detectors_that_differ_widen_the_interval_over_seeds_alone(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0, 1, 2), clips=60)
    worse = (scores["source"] == "effects") & (scores["seed"] == 2)
    scores.loc[worse, "score"] -= 1.5
    row = compare(scores, test_sets, ["fan"], resamples=500).gaps.iloc[0]
    clips, both = row["gap_high"] - row["gap_low"], row["gap_high_seeds"] - row["gap_low_seeds"]
    assert both > 1.5 * clips
    one = compare(scores[scores["seed"] == 0], test_sets, ["fan"], resamples=100).gaps.iloc[0]
    assert np.isnan(one["gap_low_seeds"])

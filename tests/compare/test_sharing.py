from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asdbench.compare import compare
from asdbench.compare.bootstrap import Resampler
from asdbench.compare.sharing import Place


def test_recordings_have_the_influences_of_their_copies() -> None:
    """Two clips of one recording: their mean varies as one clip does."""
    twice = Place(("anomaly", "made", "recordings"), 3, np.array([0, 1, 2, 0, 1, 2]))
    values = np.array([0.1, 0.5, 0.9, 0.1, 0.5, 0.9])
    found = twice.influence(values)
    np.testing.assert_allclose(found, values[:3])
    weights = twice.weights(Resampler(20), "fan")
    assert weights.shape == (20, 6)
    np.testing.assert_array_equal(weights[:, :3], weights[:, 3:])
    part = Place(("anomaly", "made", "recordings"), 6, np.array([1, 3]))
    found = part.influence(np.array([0.2, 0.6]))
    # Two of six recordings: the variance of a mean of two, (0.2^2 + 0.2^2) / 2 / 2, but for the factor n - 1.
    assert found.var() / 6 == pytest.approx(0.04 / 2)
    assert found.mean() == pytest.approx(0.4)


def holdout(scores: Any, shared: int) -> Any:
    """Give the first ``shared`` generated clips of seed 0 out again with every seed, with their hash and quality."""
    made = scores["source"] == "effects"
    first = scores[made & (scores["seed"] == 0)].sort_values("clip_id").iloc[:shared]
    for seed in (1, 2):
        rows = scores[made & (scores["seed"] == seed)].sort_values("clip_id").index[:shared]
        scores.loc[rows, ["score", "content_hash"]] = first[["score", "content_hash"]].to_numpy()
    return scores.astype({"score": float})


def test_clips_given_out_with_every_seed_are_no_new_evidence(make_scores: Any, test_sets: Any) -> None:
    def width(shared: int, seeds: tuple[int, ...] = (0, 1, 2)) -> Any:
        scores = holdout(make_scores(machines=("fan",), detectors=("ae",), clips=80), shared)
        row = compare(scores[scores["seed"].isin(seeds)], test_sets, ["fan"], resamples=1500, years=(2023,))
        gaps, official = row.gaps.iloc[0], row.official_summary.set_index("source").loc["effects"]
        return np.array(
            [
                gaps["auc_generated_high"] - gaps["auc_generated_low"],
                gaps["auc_generated_high_bootstrap"] - gaps["auc_generated_low_bootstrap"],
                gaps["floor"],
                official["high"] - official["low"],
                official["high_bootstrap"] - official["low_bootstrap"],
            ]
        )

    fresh, partly, same, one = width(0), width(40), width(80), width(80, (0,))
    np.testing.assert_allclose(same / one, 1, atol=0.15)
    assert (fresh < 0.95 * one).all()
    assert (fresh[[0, 1, 3, 4]] < partly[[0, 1, 3, 4]]).all() and (partly[[0, 3]] < same[[0, 3]]).all()
    assert partly[2] >= 0.99 * same[2]  # the floor takes all for the same: cautious


def test_a_p_value_of_clips_given_out_again(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), clips=80)
    again = holdout(scores.copy(), 80)
    one = compare(again[again["seed"] == 0], test_sets, ["fan"], resamples=20).gaps.iloc[0]
    three = compare(again, test_sets, ["fan"], resamples=20).gaps.iloc[0]
    assert abs(three["gap"] - one["gap"]) < 0.02
    assert three["p"] == pytest.approx(one["p"], abs=0.15)

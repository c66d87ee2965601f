"""Training and validation inside detectors: no group, such as a recording, is on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from asdbench.detectors.shared.frames import Frames
from asdbench.detectors.shared.grouping import folds, groups_of, held_out_groups
from asdbench.detectors.shared.training import Trainer, Training
from asdbench.detectors.twfr_gmm.choosing import auc_by_ratio


def test_groups_that_are_single_clips_are_none() -> None:
    assert groups_of(pd.DataFrame({"group": ["a", "b", "c"]})) is None
    found = groups_of(pd.DataFrame({"group": ["b", "a", "b"]}))
    assert found is not None and found.tolist() == [0, 1, 0]


def test_folds_hold_whole_groups() -> None:
    groups = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7])
    found = folds(len(groups), 5, groups, 2, np.random.default_rng(0))
    assert sorted(set(found)) == [0, 1, 2, 3, 4]
    assert all(len(set(found[groups == group])) == 1 for group in range(7))


def test_folds_without_groups_are_those_of_single_clips() -> None:
    found = folds(12, 5, None, 2, np.random.default_rng(3))
    assert found.tolist() == (np.random.default_rng(3).permutation(12) % 5).tolist()


@pytest.mark.parametrize("groups", [np.zeros(6, dtype=np.int64), np.array([0, 0, 0, 0, 0, 1])], ids=["one", "uneven"])
def test_too_few_groups_are_divided_with_one_sentence(groups: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    found = folds(6, 5, groups, 2, np.random.default_rng(0))
    assert np.bincount(found).max() == 2
    assert capsys.readouterr().err.count("are divided into folds by clip, since") == 1


def test_held_out_groups_come_nearest_to_the_share() -> None:
    groups = np.array([0, 0, 1, 2, 2, 3])
    mask = held_out_groups([10, 10, 10, 10, 10, 50], groups, 0.3, [0, 1, 2, 3])
    assert mask.tolist() == [True, True, True, False, False, False]
    assert held_out_groups([1] * 6, groups, 0.01, [2, 0, 1, 3]).tolist() == (groups == 2).tolist()
    assert held_out_groups([1] * 6, groups, 0.99, [0, 1, 2, 3]).tolist() == (groups != 3).tolist()
    assert not held_out_groups([1] * 6, groups, 0, [0, 1, 2, 3]).any()


def trainer(groups: np.ndarray | None) -> Trainer:
    frames = Frames(torch.arange(60.0)[:, None], [10] * 6, 3, groups)
    return Trainer(torch.nn.Linear(3, 1), frames, Training(1, 8, 1e-3, 0.3, 0), torch.device("cpu"))


def test_networks_validate_on_groups_that_they_do_not_learn_from() -> None:
    groups = np.array([0, 1, 2, 0, 1, 2])
    made = trainer(groups)
    held, learnt = (set(groups[rows.numpy() // 10]) for rows in (made.held_out, made.rows))
    assert len(held) == 1 and len(learnt) == 2 and not held & learnt
    assert sorted(torch.cat([made.held_out, made.rows]).tolist()) == [
        start + row for start in range(0, 60, 10) for row in range(8)
    ]


def test_a_single_group_is_divided_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    made = trainer(np.zeros(6, dtype=np.int64))
    assert len(made.held_out) == 14
    assert "all 6 training clips are of one group" in capsys.readouterr().err


def test_the_ratio_is_chosen_by_models_that_know_no_cut_of_a_recording() -> None:
    groups = np.repeat(np.arange(4), 3)
    rng = np.random.default_rng(0)
    seen = []

    class Model:
        def score_samples(self, vectors: np.ndarray) -> np.ndarray:
            return np.zeros(len(vectors))

    def fit(vectors: np.ndarray, kept: np.ndarray) -> Model:
        seen.append(set(range(12)) - set(kept.tolist()))
        return Model()

    auc_by_ratio(rng.normal(size=(12, 1, 2)), rng.normal(size=(12, 1, 1, 2)), fit, rng, groups, 2)  # type: ignore[arg-type]
    assert sorted(map(sorted, seen)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]

"""Memorisation: how often the generated clip is the nearer one, against scikit-learn, and which clips are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from asdbench.compare.memorisation import (
    GENERATED,
    HELD_OUT,
    MEMORISATION_COLUMNS,
    NEAREST_COLUMNS,
    memorisation_rows,
)


def clips(
    cosines: Sequence[float], which: str, seed: int = 0, machine: str = "fan", generator: str = "model"
) -> list[dict[str, Any]]:
    own = {"machine": machine, "generator": generator, "seed": seed, "set": which, "condition": "anomaly"}
    return [
        own
        | {"clip_id": f"{which} {seed} {index}", "nearest": f"training of {which} {seed} {index}", "cosine": cosine}
        | {"n_training": 30, "reason": ""}
        for index, cosine in enumerate(cosines)
    ]


def silent(reason: str, seed: int = 0, machine: str = "fan", generator: str = "model") -> dict[str, Any]:
    own = {"machine": machine, "generator": generator, "seed": seed, "set": ""}
    return own | {"n_training": 0, "reason": reason}


def judge(rows: Sequence[dict[str, Any]], confidence: float = 0.95) -> list[dict[str, Any]]:
    return memorisation_rows(pd.DataFrame(list(rows), columns=list(NEAREST_COLUMNS)), confidence)


def test_it_is_the_auc_of_scikit_learn_meaned_over_seeds() -> None:
    rng = np.random.default_rng(0)
    rows, aucs, medians = [], [], {GENERATED: [], HELD_OUT: []}
    for seed in range(3):
        made, held = np.round(rng.normal(0.2 + 0.1 * seed, 0.1, 25), 2), np.round(rng.normal(0.2, 0.1, 20), 2)  # ties
        rows += clips(made, GENERATED, seed) + clips(held, HELD_OUT, seed)
        aucs.append(roc_auc_score([1] * 25 + [0] * 20, [*made, *held]))
        medians[GENERATED] += list(made)
        medians[HELD_OUT] += list(held)
    (row,) = judge(rows)
    assert row["nearer"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert row["nearer_low"] < row["nearer"] < row["nearer_high"]
    assert set(row) == set(MEMORISATION_COLUMNS)
    assert (row["n_training"], row["n_generated"], row["n_held_out"], row["n_seeds"]) == (30, 25, 20, 3)
    assert row["cosine_generated"] == pytest.approx(np.median(medians[GENERATED]))
    assert row["cosine_held_out"] == pytest.approx(np.median(medians[HELD_OUT]))
    assert row["n_beyond"] == sum(value > max(medians[HELD_OUT]) for value in medians[GENERATED])
    assert row["reason"] == ""


def test_the_order_of_seeds_and_of_generated_clips_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    back: list[dict[str, Any]] = []
    for seed in range(2):
        made, held = clips(rng.random(9), GENERATED, seed), clips(rng.random(9), HELD_OUT, seed)
        rows += made + held
        back = held + made[::-1] + back
    there, again = judge(rows)[0], judge(back)[0]
    for name, value in there.items():
        assert again[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)


def test_copies_are_said_to_be_copies_and_named() -> None:
    rng = np.random.default_rng(2)
    held = rng.normal(0.2, 0.05, 20)
    rows = []
    for seed in range(2):
        made = 0.95 + 0.001 * np.arange(20) + 0.01 * seed
        rows += clips(made, GENERATED, seed) + clips(held, HELD_OUT, seed)
    (row,) = judge(rows)
    assert row["nearer"] == 1 and row["copies"] is True
    assert row["nearer_low"] > 0.5
    assert row["n_beyond"] == 40
    assert (row["most_alike"], row["its_training_clip"]) == ("generated 1 19", "training of generated 1 19")
    assert row["its_cosine"] == pytest.approx(0.979)


def test_one_copy_among_many_clips_is_counted_and_named() -> None:
    """The AUC does not see it; the count and the name do."""
    rng = np.random.default_rng(3)
    made = np.minimum(rng.normal(0.2, 0.05, 40), 0.3)
    made[7] = 0.99
    (row,) = judge(clips(made, GENERATED) + clips([*rng.normal(0.2, 0.05, 40), 0.5], HELD_OUT))
    assert row["copies"] is False
    assert (row["n_beyond"], row["most_alike"]) == (1, "generated 0 7")


def test_clips_of_the_same_distribution_are_no_copies() -> None:
    """The interval holds 0.5 as often as it says."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(200):
        (row,) = judge(clips(rng.normal(0.2, 0.1, 25), GENERATED) + clips(rng.normal(0.2, 0.1, 25), HELD_OUT))
        inside += row["nearer_low"] <= 0.5 <= row["nearer_high"]
    assert 0.9 <= inside / 200 <= 1


def test_clips_that_are_further_off_than_real_ones_are_no_copies() -> None:
    (row,) = judge(clips([0.1, 0.11, 0.12, 0.13] * 5, GENERATED) + clips([0.4, 0.41, 0.42, 0.43] * 5, HELD_OUT))
    assert row["nearer"] == 0 and row["copies"] is False and row["n_beyond"] == 0


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    rng = np.random.default_rng(5)
    rows = clips(rng.random(15), GENERATED) + clips(rng.random(15), HELD_OUT)
    narrow, wide = judge(rows, 0.8)[0], judge(rows, 0.99)[0]
    assert wide["nearer_low"] < narrow["nearer_low"] < narrow["nearer_high"] < wide["nearer_high"]


def test_reasons_are_passed_on_where_nothing_is_known() -> None:
    rows = [silent("the model keeps no fingerprints", 0), silent("the model keeps no fingerprints", 1)]
    rows += [silent("it failed", 0, generator="other")]
    first, second = judge(rows)
    assert (first["generator"], first["reason"]) == ("model", "the model keeps no fingerprints")
    assert (second["generator"], second["reason"]) == ("other", "it failed")
    for row in (first, second):
        assert np.isnan(row["nearer"]) and np.isnan(row["its_cosine"]) and row["copies"] is None
        assert (row["n_seeds"], row["n_training"], row["n_beyond"], row["most_alike"]) == (0, 0, 0, "")


def test_a_seed_without_clips_leaves_a_reason_beside_the_others() -> None:
    rng = np.random.default_rng(6)
    rows = clips(rng.random(8), GENERATED) + clips(rng.random(8), HELD_OUT) + [silent("it failed", 1)]
    (row,) = judge(rows)
    assert row["n_seeds"] == 1 and row["reason"] == "it failed" and not np.isnan(row["nearer"])


def test_without_held_out_clips_there_is_a_reason() -> None:
    (row,) = judge(clips([0.1, 0.2], GENERATED))
    assert np.isnan(row["nearer"]) and row["reason"]


def test_machines_and_generators_are_judged_by_themselves_in_their_order() -> None:
    rows: list[dict[str, Any]] = []
    for machine, generator, made in (("valve", "b", 0.9), ("fan", "b", 0.1), ("fan", "a", 0.9)):
        names = {"machine": machine, "generator": generator}
        rows += clips([made, made + 0.01, made + 0.02], GENERATED, **names)
        rows += clips([0.4, 0.5, 0.6], HELD_OUT, **names)
    found = judge(rows)
    assert [(row["machine"], row["generator"], row["nearer"]) for row in found] == [
        ("valve", "b", 1.0),
        ("fan", "b", 0.0),
        ("fan", "a", 1.0),
    ]


def test_no_rows_give_no_rows() -> None:
    assert judge([]) == []


def test_other_shares_of_normal_clips_are_no_sign_of_copies() -> None:
    """Anomalies may be nearer to training clips than normal clips are; only clips of one condition are compared."""
    rng = np.random.default_rng(8)

    def rows(which: str, normals: int) -> list[dict[str, Any]]:
        found = clips(rng.normal(0.5, 0.05, 60), which)
        return found + [row | {"condition": "normal"} for row in clips(rng.normal(0.2, 0.05, normals), which)]

    (row,) = judge(rows(GENERATED, 60) + rows(HELD_OUT, 400))
    assert row["nearer_low"] < 0.5 < row["nearer_high"]
    assert row["copies"] is False

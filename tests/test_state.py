"""States survive being saved, without pickle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from asdbench.state import load_state, save_state


def round_trip(state, folder):
    save_state(state, folder)
    return load_state(folder)


def test_arrays_numbers_and_nesting(tmp_path):
    state = {
        "mean_": np.arange(6, dtype=np.float32).reshape(2, 3),
        "view_": np.arange(10.0)[::2],
        "scalar_": np.float64(0.1),
        "empty_": np.zeros((0, 3)),
        "flags_": np.array([True, False]),
        "nested_": {"list": [1, "two", None, np.int64(3)], "pair": (1.5, np.ones(2, dtype=np.int64))},
    }
    found = round_trip(state, tmp_path)
    assert found["mean_"].dtype == np.float32
    assert np.array_equal(found["mean_"], state["mean_"])
    assert np.array_equal(found["view_"], state["view_"])
    assert found["scalar_"] == 0.1
    assert found["empty_"].shape == (0, 3)
    assert found["flags_"].tolist() == [True, False]
    assert found["nested_"]["list"] == [1, "two", None, 3]
    assert found["nested_"]["pair"][0] == 1.5
    assert isinstance(found["nested_"]["pair"], tuple)


def test_shapes_byte_orders_and_awkward_names_survive(tmp_path):
    state = {
        "zero_d_": np.array(2.5),
        "big_endian_": np.arange(3, dtype=">f4"),
        "half_": np.ones(2, dtype=np.float16),
        "a": {"b_": np.zeros(1)},
        "a.b_": np.ones(1),
        "by_section_": {"fan/01": NearestNeighbors().fit(np.eye(6)), "fan/02": NearestNeighbors().fit(2 * np.eye(6))},
        "odd_": [float("inf"), float("nan")],
    }
    found = round_trip(state, tmp_path)
    assert found["zero_d_"].shape == ()
    assert found["big_endian_"].tolist() == [0, 1, 2]
    assert found["half_"].dtype == np.float16
    assert (found["a"]["b_"], found["a.b_"]) == (0, 1)
    near = [found["by_section_"][name].kneighbors(np.zeros((1, 6)))[0].min() for name in ("fan/01", "fan/02")]
    assert near == [1, 2]
    assert found["odd_"][0] == float("inf")
    assert np.isnan(found["odd_"][1])
    with pytest.raises(TypeError, match="long_"):
        save_state({"long_": np.ones(1, dtype=np.longdouble)}, tmp_path)


def test_tensors_come_back_as_arrays(tmp_path):
    found = round_trip({"weights_": dict(torch.nn.Linear(3, 2).state_dict())}, tmp_path)
    assert found["weights_"]["weight"].shape == (2, 3)


@pytest.mark.parametrize(
    "estimator",
    [
        NearestNeighbors(n_neighbors=2),
        LocalOutlierFactor(n_neighbors=3, novelty=True),
        IsolationForest(n_estimators=5, random_state=0),
        GaussianMixture(2, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_give_the_same_answers(tmp_path, estimator):
    data = np.random.default_rng(0).standard_normal((40, 3))
    estimator.fit(data)
    found = round_trip({"model_": estimator}, tmp_path)["model_"]
    if isinstance(estimator, NearestNeighbors):
        assert np.array_equal(found.kneighbors(data)[0], estimator.kneighbors(data)[0])
    else:
        assert np.array_equal(found.score_samples(data), estimator.score_samples(data))


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"thing_: a object cannot be saved"):
        save_state({"thing_": object()}, tmp_path)
    with pytest.raises(TypeError, match=r"words_"):
        save_state({"words_": np.array(["a", "b"], dtype=object)}, tmp_path)


def test_no_file_is_a_pickle(tmp_path):
    round_trip({"a_": np.ones(3), "model_": NearestNeighbors().fit(np.eye(8))}, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".skops"}

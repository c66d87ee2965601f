"""States survive being saved, without pickle, and reading one runs no code."""

from __future__ import annotations

import itertools
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.cluster import Birch
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.feature_selection import SelectKBest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import OneClassSVM

from asdbench import UserError, refused_types
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
        OneClassSVM(),
        EllipticEnvelope(random_state=0),
        make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True, algorithm="ball_tree")),
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
    with pytest.raises(TypeError, match=r"tree_: a Birch cannot be saved"):
        save_state({"tree_": Birch().fit(np.eye(4))}, tmp_path)
    with pytest.raises(TypeError, match=r"best_: the estimator holds a sklearn.*f_classif, which cannot be saved"):
        save_state({"best_": SelectKBest(k=1)}, tmp_path)


def test_no_file_is_a_pickle(tmp_path):
    round_trip({"a_": np.ones(3), "model_": NearestNeighbors().fit(np.eye(8))}, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".skops"}


class Bomb:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


_IDS = itertools.count(1)


def node(loader, module, name, **content):
    return {"__loader__": loader, "__module__": module, "__class__": name, "__id__": next(_IDS), **content}


def text(value):
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def words(*values):
    return node("TupleNode", "builtins", "tuple", content=[text(value) for value in values])


def write_skops(path, schema):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", json.dumps(schema | {"protocol": 0, "_skops_version": "0.16"}))


def evil_skops(kind, path, mark):
    """A skops file that runs code when everything in it is built."""
    code = f"open({str(mark)!r}, 'w')"
    if kind == "a call of eval":
        write_skops(path, node("ConstructorFromReduceNode", "builtins", "eval", content=words(code)))
    elif kind == "a call of a function of numpy":  # runstring executes a text
        call = node("ConstructorFromReduceNode", "numpy.testing", "runstring", content=words(code, {}))
        write_skops(path, call)
    else:  # an estimator that would call eval when it is used
        import skops.io

        skops.io.dump(FunctionTransformer(func=eval), path)


@pytest.mark.parametrize("kind", ["a call of eval", "a call of a function of numpy", "an estimator that calls eval"])
def test_an_estimator_that_would_run_code_is_refused(tmp_path, kind):
    save_state({"model_": NearestNeighbors().fit(np.eye(8))}, tmp_path)
    mark = tmp_path / "mark"
    evil_skops(kind, tmp_path / "0.skops", mark)
    if kind.startswith("a call"):  # the file is what it says: whoever trusts all of it runs the code
        import skops.io

        everything = skops.io.get_untrusted_types(file=tmp_path / "0.skops")
        skops.io.load(tmp_path / "0.skops", trusted=everything)
        assert mark.exists()
        mark.unlink()
    with pytest.raises(UserError, match=r"0\.skops: the file holds a (builtins\.eval|numpy.*), which is not loaded"):
        load_state(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "0.skops"])
def test_a_pickle_in_place_of_a_file_is_refused_unread(tmp_path, name):
    save_state({"mean_": np.ones(3), "model_": NearestNeighbors().fit(np.eye(8))}, tmp_path)
    mark = tmp_path / "mark"
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(UserError, match=name):
        load_state(tmp_path)
    assert not mark.exists()
    pickle.loads((tmp_path / name).read_bytes()).close()  # it would have
    assert mark.exists()


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "0.skops"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_damaged_files_are_named(tmp_path, name, damage):
    save_state({"mean_": np.ones(3), "model_": NearestNeighbors().fit(np.eye(8))}, tmp_path)
    content = (tmp_path / name).read_bytes()
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content[: len(content) // 2 if damage == "truncated" else 0])
    with pytest.raises(UserError, match=name) as caught:
        load_state(tmp_path)
    assert ("there is no such file" in str(caught.value)) is (damage == "missing")


@pytest.mark.parametrize(
    "tree",
    [
        "[1, 2]",
        "null",
        '{"mean_": {"__array__": "7"}}',
        '{"mean_": {"__array__": ["0"]}}',
        '{"mean_": {"__tuple__": 3}}',
        '{"model_": {"__estimator__": "../elsewhere/0.skops"}}',
        '{"model_": {"__estimator__": 0}}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_state_of_the_wrong_shape_is_named(tmp_path, tree):
    save_state({"mean_": np.ones(3)}, tmp_path)
    (tmp_path / "state.json").write_text(tree)
    with pytest.raises(UserError, match=r"state\.json: the state cannot be read"):
        load_state(tmp_path)


def test_only_classes_of_the_trusted_packages_and_containers_are_built():
    import skops.io  # noqa: F401 - imports all of scikit-learn

    sound = ["sklearn.neighbors._kd_tree.KDTree", "sklearn.tree._tree.Tree", "scipy.sparse._csr.csr_matrix"]
    functions = ["sklearn.cluster._kmeans.k_means", "numpy.testing.runstring", "builtins.eval"]
    borrowed = ["sklearn.neighbors._base.partial", "sklearn.utils.fixes.np"]  # sklearn imports them from elsewhere
    absent = ["sklearn.nowhere.Thing", "sklearn", ""]
    others = ["pathlib.Path", "numpy.memmap", "builtins.type"]
    assert refused_types(sound) == []
    assert refused_types([*functions, *borrowed, *absent, *others]) == [*functions, *borrowed, *absent, *others]
    assert refused_types(["pathlib.Path", "pathlib.os", *sound], ("sklearn", "pathlib")) == ["pathlib.os"]

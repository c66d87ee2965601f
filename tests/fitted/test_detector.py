"""A fitted detector is loaded as it was, or not at all; loading runs nothing that is in its folder."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

import asdbench
from asdbench import UserError, plugins
from asdbench.plugins import Detector, setting


@pytest.fixture
def registered(monkeypatch):
    """Register a detector for one test, as a notebook does."""
    monkeypatch.setattr(plugins.detectors, "_registered", dict(plugins.detectors._registered))

    def register(kind, name="mine"):
        kind.name = name
        return plugins.detectors.add(name, kind)

    return register


class Nearest(Detector):
    """Distance to the second nearest level of a training clip, by an estimator of scikit-learn."""

    model: str = setting("", description="a file that it depends on")

    def inputs(self):
        if not self.model:
            return {}
        with open(self.model, "rb") as file:
            return {"model": hashlib.sha256(file.read()).hexdigest()}

    def fit(self, clips):
        self.trees_ = NearestNeighbors(n_neighbors=2).fit(self._levels(clips))
        self.draw_ = float(self.rng("draw").random())

    def score(self, clips):
        return self.trees_.kneighbors(self._levels(clips))[0][:, 1] + self.rng("score").random()

    def _levels(self, clips):
        return np.array([[wave.std()] for wave in clips.waveforms()])


def test_scores_are_the_same_after_save_and_load(clips, recordings, registered, tmp_path):
    registered(Nearest)
    for name in ("mine", "logmel_knn"):
        fitted = asdbench.fit(name, clips, seed=5)
        before = fitted.score(recordings)
        fitted.save(tmp_path / name)
        loaded = asdbench.load_detector(tmp_path / name)
        pd.testing.assert_frame_equal(loaded.score(recordings), before, check_exact=True)
        loaded.save(tmp_path / "again")
        again = asdbench.load_detector(tmp_path / "again")
        assert again.record.model_copy(update={"files": {}}) == fitted.record
        pd.testing.assert_frame_equal(again.score(recordings), before, check_exact=True)
    assert repr(loaded) == "FittedDetector(logmel_knn, 12 clips of example)"


def test_decisions_follow_from_the_threshold(fitted, recordings):
    table = fitted.score(recordings)
    assert list(table["file"]) == list(recordings.frame["clip_id"])
    above = table["score"] > fitted.record.threshold.value
    assert list(table["decision"]) == ["anomaly" if each else "normal" for each in above]
    assert set(table["decision"][(recordings.frame["condition"] == "anomaly").to_numpy()]) == {"anomaly"}


def test_a_detector_that_is_not_there_is_named_with_where_it_came_from(saved, clips, tmp_path):
    path = tmp_path / "levels.py"
    path.write_text(
        "import numpy as np\n"
        "from asdbench import Detector, detector\n"
        "@detector('logmel_level')\n"
        "class Level(Detector):\n"
        "    '''Level.'''\n"
        "    def fit(self, clips): self.n_ = len(clips)\n"
        "    def score(self, clips): return np.array([w.std() for w in clips.waveforms()])\n"
    )
    plugins.load_files([path])
    folder = tmp_path / "level"
    asdbench.fit("logmel_level", clips).save(folder)
    plugins.load_files([])
    with pytest.raises(UserError) as caught:
        asdbench.load_detector(folder)
    assert str(caught.value) == (
        f"{folder}: it needs the detector 'logmel_level' of plugin file levels.py, which is neither installed nor "
        "given as a plugin file; did you mean 'logmel_knn'?"
    )
    assert asdbench.load_detector(folder, plugin_files=[path]).plugin.n_ == 12
    plugins.load_files([])


def test_another_version_is_refused_and_other_code_is_told(clips, registered, tmp_path, monkeypatch, capsys):
    registered(Nearest)
    asdbench.fit("mine", clips).save(tmp_path / "mine")
    asdbench.load_detector(tmp_path / "mine")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("asdbench.fitted.detector.source_id", lambda kind: "another")
    asdbench.load_detector(tmp_path / "mine")
    assert "the code of 'mine' (a script or notebook) is not that which was fitted" in capsys.readouterr().err
    monkeypatch.setattr(Nearest, "version", "2")
    with pytest.raises(UserError, match=r"version 1 of 'mine' \(a script or notebook\), found version 2"):
        asdbench.load_detector(tmp_path / "mine")


def test_a_file_that_the_score_depends_on_must_be_the_same(clips, registered, tmp_path):
    registered(Nearest)
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    asdbench.fit(Nearest(model=str(model)), clips).save(tmp_path / "mine")
    assert asdbench.load_detector(tmp_path / "mine").record.detector.inputs.keys() == {"model"}
    model.write_bytes(b"other weights")
    with pytest.raises(UserError, match="what 'mine' depends on is not what it was fitted with: model"):
        asdbench.load_detector(tmp_path / "mine")


def test_other_code_of_a_part_is_told_like_that_of_the_plugin_but_another_version_is_refused(
    clips, registered, tmp_path, monkeypatch, capsys
):
    registered(Nearest)
    monkeypatch.setattr(Nearest, "inputs", lambda self: {"embedding.source": "a", "embedding.version": "1"})
    asdbench.fit("mine", clips).save(tmp_path / "mine")
    monkeypatch.setattr(Nearest, "inputs", lambda self: {"embedding.source": "b", "embedding.version": "1"})
    asdbench.load_detector(tmp_path / "mine")
    assert "the code of 'mine'" in capsys.readouterr().err
    monkeypatch.setattr(Nearest, "inputs", lambda self: {"embedding.source": "b", "embedding.version": "2"})
    with pytest.raises(UserError, match=r"is not what it was fitted with: embedding\.version;"):
        asdbench.load_detector(tmp_path / "mine")


def test_settings_and_states_that_the_plugin_does_not_take_are_refused(saved, registered, clips, tmp_path):
    path = saved / "detector.json"
    record = json.loads(path.read_text())
    for settings, words in (
        ({"k": "x"}, "the setting k of 'logmel_knn': found 'x', expected a whole number"),
        ({"kk": 1}, "the setting kk of 'logmel_knn': there is no setting 'kk'; did you mean 'k'"),
    ):
        path.write_text(json.dumps(record | {"detector": record["detector"] | {"settings": settings}}))
        with pytest.raises(UserError, match=words):
            asdbench.load_detector(saved)

    class Picky(Nearest):
        """Wants what it learnt."""

        def set_state(self, state):
            self.trees_ = state["trees_"]

    registered(Picky)
    path.write_text(json.dumps(record | {"detector": record["detector"] | {"use": "mine", "settings": {}}}))
    with pytest.raises(UserError, match=r"the state is not one of 'mine' \(KeyError: 'trees_'\)"):
        asdbench.load_detector(saved)


def forge(folder, name, data):
    """Put other content into a file, with a record that vouches for it."""
    (folder / name).write_bytes(data)
    path = folder / "detector.json"
    record = json.loads(path.read_text())
    record["files"][name] = hashlib.blake2b(data, digest_size=16).hexdigest()
    path.write_text(json.dumps(record))


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "0.skops"])
def test_a_forged_pickle_is_not_executed(clips, registered, tmp_path, name):
    registered(Nearest)
    folder, mark = tmp_path / "mine", tmp_path / "mark"
    asdbench.fit("mine", clips).save(folder)
    forge(folder, name, pickle.dumps(Bomb(mark)))
    with pytest.raises(UserError, match=name):
        asdbench.load_detector(folder)
    assert not mark.exists()


def test_a_forged_estimator_is_not_executed(clips, registered, tmp_path):
    registered(Nearest)
    folder, mark = tmp_path / "mine", tmp_path / "mark"
    asdbench.fit("mine", clips).save(folder)
    code = {"__loader__": "JsonNode", "__module__": "builtins", "__class__": "str", "__id__": 2, "is_json": True}
    code["content"] = json.dumps(f"open({str(mark)!r}, 'w')")
    words = {"__loader__": "TupleNode", "__module__": "builtins", "__class__": "tuple", "__id__": 1, "content": [code]}
    call = {"__loader__": "ConstructorFromReduceNode", "__module__": "builtins", "__class__": "eval", "__id__": 3}
    with zipfile.ZipFile(tmp_path / "evil", "w") as file:
        file.writestr("schema.json", json.dumps(call | {"content": words, "protocol": 0, "_skops_version": "0.16"}))
    forge(folder, "0.skops", (tmp_path / "evil").read_bytes())
    with pytest.raises(UserError, match=r"0\.skops: the file holds a builtins\.eval, which is not loaded"):
        asdbench.load_detector(folder)
    assert not mark.exists()

"""Near copies across the roles of a run are named, and so are generated clips beyond full scale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

import asdbench
from asdbench import GeneratedClip, Generator, audio, copies_in_run, plugins
from asdbench.audio import resample

RATE = 16000


def noise(seed: int, samples: int = 2 * RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """8 training, 6 normal and 6 anomalous test clips."""
    folders = (("train", "normal", 8), ("test", "normal", 6), ("test", "anomaly", 6))
    seed = 0
    for split, condition, count in folders:
        for index in range(count):
            path = tmp_path / "data" / "fan" / split / f"section_00_source_{split}_{condition}_{index:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise(seed), RATE)
            seed += 1
    return tmp_path / "data"


@plugins.generator("near_copies_of_test_clips")
class Copier(Generator):
    """Gives out the clips of a folder at another level."""

    folder: str = ""

    def generate(self, request: Any) -> Iterator[GeneratedClip]:
        files = sorted((Path(self.folder) / "fan" / "test").glob("*anomaly*.wav"))
        for index in range(len(request.rows)):
            wave = audio.read(files[index], RATE) * 0.9999 if index else 12 * noise(99)
            yield GeneratedClip(wave, {})


def run(data: Path, tmp_path: Path, **changes: Any) -> asdbench.Results:
    spec = {
        "name": "near",
        "dataset": {"use": "dcase", "root": str(data)},
        "seeds": [0],
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"real_holdout": {"use": "real_holdout"}},
        "embeddings": {},
        "statistics": {"resamples": 100},
    }
    return asdbench.run(spec | changes, runs=tmp_path / "runs", workers=0)


def stereo(wave: np.ndarray, path: Path) -> None:
    soundfile.write(path.with_suffix(".wav"), np.stack([0.999 * wave, noise(77)], axis=1), RATE)


WAYS = {
    "almost as loud": lambda wave, path: soundfile.write(path, 0.9999 * wave, RATE, subtype="FLOAT"),
    "half as loud": lambda wave, path: soundfile.write(path, wave / 2, RATE),
    "stereo": stereo,
    "48 kHz": lambda wave, path: soundfile.write(path, resample(wave, RATE, 48000), 48000),
    "one sample longer": lambda wave, path: soundfile.write(path, np.r_[wave, 0.01], RATE),
    "OGG": lambda wave, path: soundfile.write(path.with_suffix(".ogg"), wave, RATE, format="OGG", subtype="VORBIS"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_test_clip_in_training_is_named(data: Path, tmp_path: Path, way: str, capsys: Any) -> None:
    source = data / "fan" / "test" / "section_00_source_test_normal_0002.wav"
    twin = data / "fan" / "train" / "section_00_source_train_normal_0050.wav"
    WAYS[way](audio.read(source), twin)
    results = run(data, tmp_path, holdout={"train": 0, "normal": 0, "anomaly": 0.5})
    found = results.heard.near
    assert found[["generator", "twin_role"]].to_numpy().tolist() == [["real", "detector training"]]
    assert Path(found["clip_id"][0]).stem == source.stem
    assert Path(found["twin"][0]).stem == twin.stem
    assert found["similarity"][0] > 0.9
    said = capsys.readouterr().err
    assert (
        "clips of two roles hold the same recording: 1 test clips of fan and detector training clips (such as" in said
    )
    assert "one `group`" in said
    assert "Clips of two roles that hold the same recording" in str(results)
    assert (results.folder / "near_copies.csv").is_file()
    (effect,) = results.comparison.copy_effects.to_dict("records")
    scores = results.scores.query("split == 'test' and source == 'real'")
    kept = scores[scores["clip_id"] != found["clip_id"][0]]
    assert effect["auc"] == pytest.approx(roc_auc_score(scores["condition"] == "anomaly", scores["score"]))
    assert effect["auc_without"] == pytest.approx(roc_auc_score(kept["condition"] == "anomaly", kept["score"]))
    assert (effect["n_copies"], effect["n_clips"]) == (1, len(scores))
    assert "What near copies do to the AUC" in str(results)
    assert (results.folder / "near_copies_effect.csv").is_file()


def test_recordings_that_differ_give_no_table(data: Path, tmp_path: Path, capsys: Any) -> None:
    results = run(data, tmp_path)
    assert results.heard.near.empty
    assert "same recording" not in capsys.readouterr().err
    assert not (results.folder / "near_copies.csv").exists()
    assert not (results.folder / "beyond_full_scale.csv").exists()


def test_a_generator_that_gives_out_test_clips_is_named(
    data: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    generators = {"copier": {"use": "near_copies_of_test_clips", "folder": str(data)}}
    results = run(data, tmp_path, generators=generators, holdout={"normal": 0, "anomaly": 0})
    found = results.heard.near
    assert set(found["generator"]) == {"copier"}
    assert set(found["twin_role"]) == {"test"}
    assert len(found) == 5  # all but the first
    (effect,) = results.comparison.copy_effects.to_dict("records")
    scores = results.scores.query("split == 'test' and (condition == 'normal' or source == 'copier')")
    kept = scores[~scores["clip_id"].isin(found["clip_id"])]
    assert effect["auc"] == pytest.approx(roc_auc_score(scores["condition"] == "anomaly", scores["score"]))
    assert effect["auc_without"] == pytest.approx(roc_auc_score(kept["condition"] == "anomaly", kept["score"]))
    assert (effect["source"], effect["n_copies"], effect["n_clips"]) == ("copier", 5, 12)
    assert found["similarity"].min() > 0.999
    assert "5 clips generated by copier of fan and test clips" in capsys.readouterr().err
    assert "Generated clips beyond full scale" in str(results)
    levels = results.heard.levels.iloc[0]
    assert (levels["n_clips"], levels["n_beyond"]) == (6, 1)
    assert levels["peak"] == pytest.approx(12 * np.abs(noise(99)).max())

    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(copies_in_run, "similarities", fail)
    monkeypatch.setattr(copies_in_run, "traces", fail)
    again = run(data, tmp_path, generators=generators, holdout={"normal": 0, "anomaly": 0})
    assert list(again.heard.near["clip_id"]) == list(found["clip_id"])


def test_a_twin_in_one_test_set_counts_once(data: Path, tmp_path: Path) -> None:
    """A stereo twin of a test clip is another file, and the same clip to a detector."""
    source = data / "fan" / "test" / "section_00_source_test_anomaly_0002.wav"
    twin = data / "fan" / "test" / "section_00_source_test_anomaly_0050.wav"
    wave, rate = soundfile.read(source, dtype="int16")
    without = run(data, tmp_path, holdout={"normal": 0, "anomaly": 0}, generators={})
    soundfile.write(twin, np.stack([wave, wave[::-1]], axis=1), rate)
    results = run(data, tmp_path, holdout={"normal": 0, "anomaly": 0}, generators={})
    assert "audio_hash" in results.scores.columns
    pd.testing.assert_frame_equal(results.metrics, without.metrics)
    row = results.comparison.clips.query("source == 'real' and split == 'test' and condition == 'anomaly'").iloc[0]
    assert (row["n_clips"], row["n_different"]) == (7, 6)

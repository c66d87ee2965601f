"""`asdbench fit`, `export` and `score`, as a user meets them."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from asdbench import audio, cli, plugins


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run a command in this process; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        done = CliRunner().invoke(cli.main, [str(word) for word in words])
        assert done.exit_code == code, done.output + repr(done.exception)
        return done

    yield run
    plugins.load_files([])


@pytest.fixture
def refused(invoke):
    def run(*words):
        done = invoke(*words, code=2)
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("asdbench: error: ")]
        return line.removeprefix("asdbench: error: ")

    return run


def test_fit_then_score(data_root, invoke, tmp_path):
    said = invoke("fit", "logmel_knn", "--data", data_root, "--machine", "fan", "--set", "k=2", "--out", "fan").stdout
    assert "fan: the detector 'logmel_knn', fitted on 8 clips of fan; decision threshold " in said
    assert "asdbench score fan FOLDER" in said
    record = json.loads((tmp_path / "fan" / "detector.json").read_text())
    assert record["detector"]["settings"] == {"k": 2}
    done = invoke("score", "fan", data_root / "fan" / "test")
    table = pd.read_csv(io.StringIO(done.stdout))
    assert list(table.columns) == ["file", "score", "decision"]
    assert list(table["file"]) == sorted(path.name for path in (data_root / "fan" / "test").iterdir())
    anomalous = table["file"].str.contains("anomaly")
    assert table["score"][anomalous].min() > table["score"][~anomalous].max()
    above = table["score"] > record["threshold"]["value"]
    assert list(table["decision"]) == list(above.map({True: "anomaly", False: "normal"}))
    assert "scoring: 12 of 12 recordings" in done.stderr
    said = invoke("score", "fan", data_root / "fan" / "test", "--out", "deep/scores.csv").stdout
    assert f"scores.csv: 12 recordings of fan, {above.sum()} above the threshold" in said
    assert (tmp_path / "deep" / "scores.csv").read_text() == done.stdout
    shown = invoke("score", "fan", data_root / "fan" / "test", "--format", "table").stdout.splitlines()
    assert shown[0].split() == ["recording", "score", "decision"]
    assert len(shown) == 1 + 12 + 2
    again = invoke("fit", "logmel_knn", "--data", data_root, "--machine", "fan", "--out", "fan").stdout
    assert "it replaces the one that was there" in again


def test_fit_on_all_normal_recordings_of_a_plain_folder(invoke, tmp_path):
    for index in range(6):
        (tmp_path / "mine" / "normal").mkdir(parents=True, exist_ok=True)
        wave = 0.1 * np.random.default_rng(index).standard_normal(8000)
        audio.write(tmp_path / "mine" / "normal" / f"{index}.wav", wave, 16000)
    words = ("fit", "logmel_knn", "--data", "mine", "--dataset", "folder", "--out", "detector")
    assert "fitted on 3 clips of mine" in invoke(*words).stdout
    assert "fitted on 6 clips of mine" in invoke(*words, "--all").stdout


def test_fitting_does_not_open_test_clips(data_root, invoke, refused):
    for path in (data_root / "fan" / "test").iterdir():
        path.write_bytes(b"")
    invoke("fit", "logmel_knn", "--data", data_root, "--machine", "fan", "--out", "fan")
    (broken, *_) = sorted((data_root / "fan" / "train").iterdir())
    broken.write_bytes(b"")
    sentence = refused("fit", "logmel_knn", "--data", data_root, "--machine", "fan", "--out", "fan2")
    assert sentence == f"{broken}: the file is empty (0 bytes)"


def test_export_and_fit_from_the_same_benchmark_agree(spec_data, write_spec, invoke, data_root, tmp_path):
    path = write_spec(spec_data | {"generators": {"effects": {"use": "effects"}}, "embeddings": {}})
    invoke("run", path, "--workers", 0, "--quiet")
    invoke("export", "runs", "--detector", "knn", "--machine", "pump", "--out", "one")
    invoke("fit", "knn", "--spec", path, "--machine", "pump", "--out", "other")
    scores = [invoke("score", name, data_root / "pump").stdout for name in ("one", "other")]
    assert scores[0] == scores[1]
    assert scores[0].count("\n") == 21


def test_one_bad_recording_leaves_the_scores_that_were_there(data_root, invoke, refused, tmp_path):
    invoke("fit", "logmel_knn", "--data", data_root, "--machine", "fan", "--out", "fan")
    (tmp_path / "scores.csv").write_text("mine")
    bad = data_root / "fan" / "test" / "short.wav"
    audio.write(bad, np.ones(100) * np.arange(100) / 200, 16000)
    sentence = refused("score", "fan", data_root / "fan", "--out", "scores.csv")
    assert sentence.startswith(f"{bad}: the clip is too short (0.006 s")
    assert (tmp_path / "scores.csv").read_text() == "mine"
    assert "all are listed in bad.csv" in refused("score", "fan", data_root / "fan", "--bad-clips", "bad.csv")
    assert (tmp_path / "bad.csv").read_text().count("\n") == 2
    (tmp_path / "bad.csv").unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "fan", "runs", "scores.csv"}


def test_mistakes_are_told_in_one_sentence(data_root, refused, invoke, write_spec, spec_data):
    data = ("--data", data_root, "--machine", "fan")
    spec = write_spec(spec_data)
    assert "give either --data" in refused("fit", "logmel_knn", "--out", "x")
    assert "give either --data" in refused("fit", "logmel_knn", *data, "--spec", spec, "--out", "x")
    assert "--all is for --data" in refused("fit", "knn", "--spec", spec, "--all", "--out", "x")
    assert "did you mean 'knn'" in refused("fit", "knnn", "--spec", spec, "--machine", "fan", "--out", "x")
    assert "did you mean 'logmel_knn'" in refused("fit", "logmel_kn", *data, "--out", "x")
    assert "there is no setting 'kk'" in refused("fit", "logmel_knn", *data, "--set", "kk=1", "--out", "x")
    assert "did you mean 'fan'" in refused("fit", "logmel_knn", "--data", data_root, "--machine", "fn", "--out", "x")
    several = refused("fit", "logmel_knn", "--data", data_root, "--out", "x")
    assert several.endswith("2 machines are found; name one with --machine: fan, pump")
    assert "quantile of the threshold is 2" in refused("fit", "logmel_knn", *data, "--quantile", 2, "--out", "x")
    assert "it holds other files" in refused("fit", "logmel_knn", *data, "--out", data_root)
    assert "no such folder" in refused("export", "absent", "--detector", "knn", "--out", "x")
    assert "no such folder, expected one that `asdbench fit`" in refused("score", "absent", data_root)
    assert "no fitted detector in it" in refused("score", data_root, data_root)
    invoke("fit", "logmel_knn", *data, "--out", "fan")
    assert "no such file or folder" in refused("score", "fan", "absent")
    assert "is a directory" in refused("score", "fan", data_root, "--out", data_root)

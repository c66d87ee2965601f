"""Whole runs on recordings as people have them: bad files, machines without normals, few normals, long files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

import asdbench
from asdbench import UserError


@pytest.fixture
def rig(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write recordings of one or more machines, and return a small spec on them."""

    def make(machines: tuple[str, ...] = ("rig",), normal: int = 8, anomaly: int = 6, seconds: float = 0.5) -> dict:
        for machine in machines:
            for condition, count in (("normal", normal), ("abnormal", anomaly)):
                folder = tmp_path / "data" / machine / condition
                folder.mkdir(parents=True, exist_ok=True)
                for index in range(count):
                    rng = np.random.default_rng([sum(map(ord, machine + condition)), index])
                    wave = 0.1 * rng.standard_normal(int(seconds * 16000)) * (1 + (condition == "abnormal"))
                    soundfile.write(folder / f"{index}.wav", wave, 16000)
        return {
            "name": "rig",
            "dataset": {"use": "folder", "root": str(tmp_path / "data")},
            "seeds": [0],
            "detectors": {"knn": {"use": "logmel_knn"}},
            "generators": {"effects": {"use": "effects"}},
            "embeddings": {},
            "statistics": {"resamples": 100},
        }

    return make


def run(spec: dict[str, Any], tmp_path: Path) -> asdbench.Results:
    return asdbench.run(spec, workers=0, runs=tmp_path / "runs")


def test_skipped_recordings_are_in_a_table_and_below_the_tables(rig, tmp_path, capsys) -> None:
    spec = rig()
    bad = [tmp_path / "data" / "rig" / name for name in ("abnormal/2.wav", "normal/7.wav")]
    for path in bad:
        path.write_bytes(path.read_bytes()[:44])
    with pytest.raises(UserError) as caught:
        run(spec, tmp_path)
    listed = pd.read_csv(tmp_path / "runs" / "rig" / "bad_clips.csv")
    assert listed["path"].tolist() == [str(path) for path in bad]
    assert set(listed["problem"]) == {"the file is truncated (16000 bytes are missing)"}
    assert str(caught.value).endswith(f"all are listed in {tmp_path / 'runs' / 'rig' / 'bad_clips.csv'}")
    assert "`on_bad_clip: skip` in the dataset leaves such files out" in str(caught.value)
    spec["dataset"]["on_bad_clip"] = "skip"
    results = run(spec, tmp_path)
    assert not (tmp_path / "runs" / "rig" / "bad_clips.csv").exists()
    assert results.skipped["path"].tolist() == [str(path) for path in bad]
    assert set(results.skipped["machine"]) == {"rig"}
    assert len(results.scores[results.scores["source"] == "real"]) < 14
    text = str(results)
    assert "Skipped recordings (2 of rig; skipped_clips.csv): " in text and str(bad[0]) in text
    again = asdbench.load(results.folder)
    pd.testing.assert_frame_equal(again.skipped, results.skipped)
    assert str(again) == text


def test_a_run_without_bad_recordings_says_nothing_of_them(rig, tmp_path) -> None:
    results = run(rig(), tmp_path)
    assert results.skipped.empty and "Skipped" not in str(results)
    assert pd.read_csv(results.folder / "skipped_clips.csv").empty
    (results.folder / "skipped_clips.csv").unlink()  # as in runs of before
    assert asdbench.load(results.folder).skipped.empty


def test_a_machine_without_normals_is_a_row_with_its_reason(rig, tmp_path, capsys) -> None:
    spec = rig(("fan", "pump"))
    shutil.rmtree(tmp_path / "data" / "pump" / "normal")
    results = run(spec, tmp_path)
    gaps = results.gaps.set_index("machine")
    assert np.isfinite(gaps.loc["fan", "auc_original"])
    assert np.isnan(gaps.loc["pump", "auc_original"])
    reason = "machine 'pump' has no normal clip"
    assert all(reason in problem["reason"] for problem in results.problems)
    assert {(problem["machine"], problem["source"]) for problem in results.problems} >= {
        ("pump", "real"),
        ("pump", "effects"),
    }
    assert reason in " ".join(str(results).split())
    assert "the other machines are used" in capsys.readouterr().err
    assert json.loads((results.folder / "problems.json").read_text())


def test_controls_use_what_there_is(rig, tmp_path) -> None:
    """Three anomalies need three other normals; of six normals two are kept for generators."""
    spec = rig(normal=6, anomaly=10) | {"controls": "all"}
    results = run(spec, tmp_path)
    counts = results.generated.groupby(["generator", "condition"]).size()
    assert counts["normal_holdout", "anomaly"] == 2
    assert counts["real_holdout", "anomaly"] == 5
    assert not [problem for problem in results.problems if problem["source"] == "normal_holdout"]
    row = results.gaps.set_index("generator").loc["normal_holdout"]
    assert np.isfinite(row["auc_generated"])


def test_controls_without_any_clip_are_left_out_with_a_reason(rig, tmp_path) -> None:
    spec = rig(normal=6, anomaly=10) | {"controls": "all", "holdout": {"normal": 0, "train": 0.4, "anomaly": 0}}
    results = run(spec, tmp_path)
    (problem,) = [one for one in results.problems if one["source"] == "real_holdout"]
    assert "no anomaly clip of machine 'rig' is kept for generators" in problem["reason"]


def test_long_recordings_run_like_others(rig, tmp_path) -> None:
    spec = rig(normal=6, anomaly=4, seconds=3.2)
    spec["dataset"] |= {"clip_seconds": 0.5}
    spec["generators"]["real_holdout"] = {"use": "real_holdout"}
    results = run(spec, tmp_path)
    real = results.scores[results.scores["source"] == "real"]
    recording = real["clip_id"].str.partition("#")[0]
    assert (real.groupby(recording).size() == 6).all()
    assert set(real["clip_id"].str.rpartition(".")[2]) == {"wav"}
    hosts = {json.loads(text)["host"] for text in results.generated["provenance"]}
    assert hosts and all("#" in host for host in hosts)
    assert not {host.partition("#")[0] for host in hosts} & set(recording)
    assert not list((tmp_path / "data").rglob("*#*"))
    assert len(list((tmp_path / "data").rglob("*.wav"))) == 10


# --- commands ---------------------------------------------------------------------------------------------------------


def test_validate_opens_recordings_when_asked(rig, tmp_path, asdbench_command, refusal, write_spec) -> None:
    path = write_spec(yaml.safe_dump(rig()))
    done = asdbench_command("validate", path, "--audio")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "14 recordings of 1 machine can be used",
        f"{path}: valid: 1 machine, 1 detector, 1 generator, 1 seed",
    ]
    for index in range(2):
        (tmp_path / "data" / "rig" / "normal" / f"{index}.wav").write_bytes(b"")
    assert "valid" in asdbench_command("validate", path).stdout
    assert "2 recordings cannot be used" in refusal("validate", path, "--audio")
    listed = asdbench_command("validate", path, "--audio").stdout.splitlines()
    assert listed == [f"{tmp_path}/data/rig/normal/{index}.wav: the file is empty (0 bytes)" for index in range(2)]
    done = asdbench_command("validate", path, "--audio", "--set", "dataset.on_bad_clip=skip")
    assert done.stdout.splitlines()[0] == "12 recordings of 1 machine can be used, 2 are skipped"
    assert not (tmp_path / "runs").exists()

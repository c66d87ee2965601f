"""Groups of the data set reach the score table, and from there every table of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import asdbench
from asdbench import audio

CUTS = 2


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A manifest of 40 normal and 16 anomalous recordings of one machine, each cut in two clips."""
    root = tmp_path / "recordings"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for recording in range(56):
        anomalous = recording >= 40
        tone = np.sin(2 * np.pi * (300 + 60 * anomalous + 5 * rng.normal()) * np.arange(8000) / 16000)
        for cut in range(CUTS):
            path = f"recording{recording:02d}_{cut}.wav"
            audio.write(root / path, (0.1 * tone + 0.05 * rng.normal(size=8000)).astype(np.float32), 16000)
            rows.append((path, "anomaly" if anomalous else "normal", "fan", f"recording{recording:02d}"))
    frame = pd.DataFrame(rows, columns=["path", "condition", "machine", "group"])
    frame.to_csv(root / "manifest.csv", index=False)
    return root


def spec_of(root: Path) -> dict[str, Any]:
    return {
        "name": "recordings",
        "dataset": {"use": "folder", "root": str(root), "manifest": "manifest.csv"},
        "seeds": [0],
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"effects": {"use": "effects"}, "real_holdout": {"use": "real_holdout"}},
        "statistics": {"resamples": 100},
    }


def test_a_run_counts_recordings(recordings: Path, tmp_path: Path) -> None:
    results = asdbench.run(spec_of(recordings), workers=0, runs=tmp_path / "runs")
    scores = results.scores
    given = pd.read_csv(recordings / "manifest.csv").set_index("path")["group"]
    real = scores[scores["source"] == "real"]
    assert list(real["group"]) == list(given[real["clip_id"]])
    made = scores[scores["source"] != "real"].set_index(["source", "clip_id"])["group"]
    hosts = {
        (row.generator, row.clip_id): given[json.loads(row.provenance)["host"]]
        for row in results.generated.itertuples()
    }
    assert dict(made) == hosts
    pooled = set(made) & set(real.loc[real["split"] == "test", "group"])
    assert not pooled, "no recording is a test recording and a host"

    tested = real[real["split"] == "test"].groupby("condition")
    row = results.gaps.set_index("generator").loc["real_holdout"]
    assert row["n_anomaly_original"] == len(tested.get_group("anomaly"))
    assert row["n_anomaly_original_groups"] == tested["group"].nunique()["anomaly"]
    assert row["n_normal_groups"] == tested["group"].nunique()["normal"] < row["n_normal"]
    assert row["n_anomaly_generated_groups"] == made["real_holdout"].nunique()
    assert row["auc_original_high"] - row["auc_original_low"] > 0
    text = str(results)
    assert f"{row['n_normal']} ({row['n_normal_groups']})/" in text
    assert "groups (recordings)" in text
    again = asdbench.load(results.folder)
    assert str(again) == text
    # Real clips that were held out are a bound and no generator under test.
    assert results.gaps.set_index("generator")["is_control"].to_dict() == {"effects": False, "real_holdout": True}
    assert (results.gaps["n_comparisons"] == 1).all()
    pd.testing.assert_frame_equal(again.gaps, results.gaps)


def test_data_without_groups_have_no_such_column(spec_data: dict[str, Any], tmp_path: Path) -> None:
    results = asdbench.run(
        spec_data | {"generators": {"effects": {"use": "effects"}}}, workers=0, runs=tmp_path / "runs"
    )
    assert "group" not in results.scores.columns
    assert "groups (recordings)" not in str(results)
    assert (results.gaps["n_anomaly_generated_groups"] == results.gaps["n_anomaly_generated"]).all()

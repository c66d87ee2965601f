"""No recording is on two sides of any division, whatever data set it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import asdbench
from asdbench import audio
from asdbench.audio import inspect_all
from asdbench.clips import GROUP
from asdbench.detectors.shared.grouping import folds, groups_of, held_out_groups
from asdbench.execute.job import load_clips
from asdbench.progress import Progress
from asdbench.roles import assign_roles
from asdbench.runner import plan_run
from asdbench.sound_clips import sound_clips
from asdbench.spec import load_spec
from asdbench.store import Store


def dcase(tmp_path: Path, write_machine: Callable[..., None]) -> dict[str, Any]:
    """Two pairs of test clips are a recording and its stereo twin."""
    root = tmp_path / "dcase"
    write_machine(root, "fan")
    for condition in ("normal", "anomaly"):
        first = root / "fan" / "test" / f"section_00_source_test_{condition}_0000_vel_0.wav"
        wave, rate = soundfile.read(first, dtype="int16")
        twin = first.with_name(f"section_00_source_test_{condition}_0090_vel_0.wav")
        soundfile.write(twin, np.stack([wave, wave[::-1]], axis=1), rate)
    return {"use": "dcase", "root": str(root)}


def simulated(tmp_path: Path, write_machine: Callable[..., None]) -> dict[str, Any]:
    counts = {"train_source": 6, "train_target": 2, "test_normal": 4, "test_anomaly": 4}
    return {"use": "simulated", "duration": 1, **counts}


def manifest(tmp_path: Path, write_machine: Callable[..., None]) -> dict[str, Any]:
    """20 recordings of three cuts each."""
    root, rows = tmp_path / "manifest", []
    root.mkdir()
    rng = np.random.default_rng(0)
    for recording in range(20):
        for cut in range(3):
            path = f"{recording:02d}_{cut}.wav"
            audio.write(root / path, rng.normal(0, 0.1, 8000).astype(np.float32), 16000)
            rows.append((path, "anomaly" if recording >= 14 else "normal", "fan", f"recording {recording}"))
    pd.DataFrame(rows, columns=["path", "condition", "machine", "group"]).to_csv(root / "clips.csv", index=False)
    return {"use": "folder", "root": str(root), "manifest": "clips.csv"}


def cut(tmp_path: Path, write_machine: Callable[..., None]) -> dict[str, Any]:
    """Long recordings, cut as they are read."""
    root = tmp_path / "long"
    rng = np.random.default_rng(1)
    for condition, count in (("normal", 12), ("abnormal", 6)):
        for index in range(count):
            path = root / "fan" / condition / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, rng.normal(0, 0.1, 32000).astype(np.float32), 16000)
    return {"use": "folder", "root": str(root), "clip_seconds": 0.5}


def spec_of(dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "groups",
        "dataset": dataset,
        "seeds": [0],
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"effects": {"use": "effects"}, "real_holdout": {"use": "real_holdout"}},
        "embeddings": {},
        "statistics": {"resamples": 100},
    }


def refuse_divided_groups(dataset: dict[str, Any], tmp_path: Path) -> pd.DataFrame:
    """Check every division of a data set; return the clips."""
    loaded, store = load_spec(spec_of(dataset)), Store(tmp_path / "store")
    if loaded.dataset.makes_audio:
        made = sound_clips(["fan"], loaded.dataset, inspect_all, tmp_path / "made", Progress(quiet=True))
        sets = list(made.sets.values())
    else:
        plan = plan_run(loaded, store, tmp_path / "runs", Progress(quiet=True))
        sets = [load_clips(store, key) for key in plan.clips.values()]
    frames = []
    for clips in sets:
        frames.append(clips.frame)
        roles = assign_roles(clips, loaded.spec.holdout)
        assert not roles.notes
        sides = [set(part.frame[GROUP]) for part in (roles.fit, roles.test, roles.pool)]
        assert all(sides)
        assert len(set.union(*sides)) == sum(map(len, sides))
        groups = groups_of(roles.fit.frame)
        if groups is not None:
            number = int(groups.max()) + 1
            held = held_out_groups(np.ones(len(groups)), groups, 0.2, np.arange(number))
            fold = folds(len(groups), 5, groups, 2, np.random.default_rng(0))
            for side in (held, fold):
                assert all(len(set(side[groups == group])) == 1 for group in range(number))
    return pd.concat(frames)


@pytest.mark.parametrize("make", [dcase, simulated, manifest, cut], ids=lambda make: make.__name__)
def test_no_recording_is_on_two_sides(make: Any, tmp_path: Path, write_machine: Callable[..., None]) -> None:
    frame = refuse_divided_groups(make(tmp_path, write_machine), tmp_path)
    shared = frame[GROUP].duplicated(keep=False).sum()
    assert shared == {"dcase": 4, "simulated": 0}.get(make.__name__, len(frame))


def test_no_fan_recording_is_on_two_sides(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "fan_recordings"
    manifests = sorted(root.glob("*.csv"))
    if not manifests:
        pytest.skip(f"no manifest in {root}")
    dataset = {"use": "folder", "root": str(root), "manifest": manifests[0].name}
    frame = refuse_divided_groups(dataset, tmp_path)
    assert frame[GROUP].nunique() < len(frame)


def test_hosts_of_generated_clips_are_of_recordings_of_their_own(
    tmp_path: Path, write_machine: Callable[..., None]
) -> None:
    results = asdbench.run(spec_of(manifest(tmp_path, write_machine)), workers=0, runs=tmp_path / "runs")
    given = pd.read_csv(tmp_path / "manifest" / "clips.csv").set_index("path")["group"]
    real = results.scores[results.scores["source"] == "real"]
    hosts = {given[json.loads(text)["host"]] for text in results.generated["provenance"]}
    assert hosts and not hosts & set(real["group"])

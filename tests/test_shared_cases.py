"""Inputs on which runs failed or were unclear: each is built as people met it, and does what its README calls right."""

from __future__ import annotations

import json
import subprocess
import sys
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
from asdbench.execute.job import load_clips
from asdbench.plan import Plan
from asdbench.progress import Progress
from asdbench.roles import assign_roles
from asdbench.runner import plan_run
from asdbench.spec import LoadedSpec, load_spec
from asdbench.store import Store

CASES = Path(__file__).parents[2] / "shared" / "cases"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A folder a case, with data and spec."""
    if not (CASES / "make_cases.py").is_file():
        pytest.skip(f"no script of cases at {CASES}")
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, CASES / "make_cases.py", folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def case(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Go to a case and return its spec, laid over by settings of the dataset; runs are written elsewhere."""

    def load(name: str, **dataset: Any) -> dict[str, Any]:
        monkeypatch.chdir(cases / name)
        spec = yaml.safe_load(Path("spec.yaml").read_text())
        spec["dataset"] |= dataset
        return spec | {"embeddings": {}}  # what is compared here is not the sound

    return load


def planned(spec: dict[str, Any], tmp_path: Path) -> tuple[LoadedSpec, Plan, Store]:
    store = Store(tmp_path / "store")
    loaded = load_spec(spec)
    return loaded, plan_run(loaded, store, tmp_path / "runs", Progress(quiet=True)), store


def frame_of(spec: dict[str, Any], tmp_path: Path) -> pd.DataFrame:
    _, plan, store = planned(spec, tmp_path)
    (key,) = plan.clips.values()
    return load_clips(store, key).frame


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


@pytest.mark.parametrize("name", ["sox-pipe-length", "length-16-bytes-too-long", "length-zero-recorder-killed"])
def test_lengths_that_lie_are_read_to_the_end_with_one_note(name, case, tmp_path, capsys, shared_data) -> None:
    frame = frame_of(case(name), tmp_path)
    assert len(frame) == 20 and set(frame["num_samples"]) == {160000}
    (note,) = warnings(capsys)
    assert "20 files have a wrong length in the header and are read to the end" in note
    for row in frame.itertuples():
        folder = shared_data / "mimii_fan" / ("normal" if row.condition == "normal" else "abnormal")
        original = sorted(folder.glob("*.wav"))[int(Path(row.path).stem)]
        heard = asdbench.audio.read(row.path)
        np.testing.assert_array_equal(heard, soundfile.read(original, dtype="float32")[0])


def test_bad_files_among_good_are_named_at_once(case, tmp_path) -> None:
    with pytest.raises(UserError, match=r"4 recordings cannot be used: .*header-only-0.*header-only-3") as caught:
        planned(case("bad-files-among-good"), tmp_path)
    listed = tmp_path / "runs" / "bad-files-among-good" / "bad_clips.csv"
    assert str(listed) in str(caught.value)
    assert [Path(path).name for path in pd.read_csv(listed)["path"]] == [f"header-only-{i}.wav" for i in range(4)]


def test_bad_files_among_good_are_skipped_with_a_list_in_the_run(case, tmp_path) -> None:
    spec = case("bad-files-among-good", on_bad_clip="skip") | {"statistics": {"resamples": 100}}
    results = asdbench.run(spec, workers=0, runs=tmp_path / "runs")
    assert results.problems == []
    listed = pd.read_csv(results.folder / "skipped_clips.csv")
    assert [Path(path).name for path in listed["path"]] == [f"header-only-{i}.wav" for i in range(4)]
    assert "Skipped recordings (4 of data; skipped_clips.csv)" in str(results)


def test_one_hertz_is_refused_when_planned_with_both_rates(case, tmp_path) -> None:
    message = r"normal/long\.wav: .* 1 Hz and cannot be read at 16000 Hz; expected 1000 to 768000 Hz"
    with pytest.raises(UserError, match=message):
        planned(case("one-hertz"), tmp_path)


def test_mixed_mp3_is_read(case, tmp_path, capsys) -> None:
    frame = frame_of(case("mixed-mp3"), tmp_path)
    endings = frame["path"].map(lambda path: Path(path).suffix).value_counts().to_dict()
    assert endings == {".wav": 20, ".mp3": 10, ".opus": 10}
    assert frame[frame["path"].str.endswith(".mp3")]["condition"].eq("anomaly").all()
    notes = warnings(capsys)
    assert not [note for note in notes if "left out" in note]


def test_the_same_clip_in_both_classes_is_refused_with_the_pair(case, tmp_path) -> None:
    with pytest.raises(UserError, match=r"labelled normal and anomalous: \S*00000003\.wav and \S*abnormal/copy\.wav;"):
        planned(case("same-clip-in-both-classes"), tmp_path)


def test_duplicates_within_normal_stay_on_one_side(case, tmp_path, capsys) -> None:
    spec = case("duplicates-within-normal")
    frame = frame_of(spec, tmp_path)
    copies = frame[frame["content_hash"].duplicated(keep=False)]
    assert len(copies) == 7 and copies["split"].nunique() == 1 and copies["group"].nunique() == 1
    (note,) = warnings(capsys)
    assert "7 clips are copies of each other" in note and "copy5.wav" in note


def test_good_and_broken_are_told_apart_by_names_and_globs(case, tmp_path) -> None:
    with pytest.raises(UserError, match=r"settings 'normal' and 'anomaly' \(folders found: broken, good\)"):
        planned(case("good-and-broken"), tmp_path)
    spec = case("good-and-broken", normal=["good", "ON_*"], anomaly=["broken"])
    frame = frame_of(spec, tmp_path)
    assert frame["condition"].value_counts().to_dict() == {"normal": 10, "anomaly": 10}
    assert frame["path"].str.contains("/good/").eq(frame["condition"] == "normal").all()


def test_few_normals_get_controls_of_what_there_is(case, tmp_path) -> None:
    spec = case("few-normals") | {"statistics": {"resamples": 100}}
    results = asdbench.run(spec, workers=0, runs=tmp_path / "runs")
    counts = results.generated[results.generated["condition"] == "anomaly"].groupby("generator").size()
    assert counts["normal_holdout"] == 2 and counts["real_holdout"] == 5
    assert json.loads((results.folder / "problems.json").read_text()) == []


def test_mixed_rates_are_told_with_the_files_that_lack_the_upper_band(case, tmp_path, capsys) -> None:
    frame = frame_of(case("mixed-rates"), tmp_path)
    assert set(frame["sample_rate"]) == {2000, 4000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000}
    (note,) = warnings(capsys)
    assert "4 of 20 files have lower sample rates" in note and "sound up to 8000 Hz" in note
    for rate in (2000, 4000, 8000, 11025):
        assert f"({rate} Hz)" in note
    assert "(22050 Hz)" not in note  # read at 16000 Hz it lacks nothing


# --- recordings of one fan --------------------------------------------------------------------------------------------


def test_no_recording_of_the_fan_is_on_two_sides_of_a_division(shared_data, tmp_path, capsys) -> None:
    dataset = {"use": "folder", "root": str(shared_data / "fan_recordings"), "manifest": "manifest.csv"}
    spec = {"name": "fan", "dataset": dataset, "detectors": {"knn": {"use": "logmel_knn"}}, "generators": {}}
    spec |= {"test_sets": {"original": {"normal": "real", "anomaly": "real"}}, "embeddings": {}}
    loaded, plan, store = planned(spec, tmp_path)
    roles = assign_roles(load_clips(store, plan.clips["fan"]), loaded.spec.holdout)
    fit, test, pool = (set(part.frame["group"]) for part in (roles.fit, roles.test, roles.pool))
    assert not fit & test and not fit & pool and not test & pool
    assert len(fit | test | pool) == 20 and min(map(len, (fit, test, pool))) >= 3
    assert sum(map(len, (roles.fit, roles.test, roles.pool))) == 530
    assert warnings(capsys) == []


def test_mixed_rates_are_not_called_equivalent(case, tmp_path) -> None:
    spec = case("mixed-rates") | {"statistics": {"resamples": 100}}
    results = asdbench.run(spec, workers=0, runs=tmp_path / "runs")
    gaps = results.gaps.dropna(subset=["gap_low"])
    inside = (gaps["gap_low"] > -0.05) & (gaps["gap_high"] < 0.05)
    assert (gaps.loc[~inside, "verdict"] != "equivalent").all()
    assert not results.gaps.empty and (results.gaps["verdict"] == "too few").all()

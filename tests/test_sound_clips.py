"""From listed to sound clips: what is refused, skipped, kept together and said, on the way into a plan."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asdbench import UserError
from asdbench.execute.job import load_clips
from asdbench.inspection import BadClipsError
from asdbench.plan import Plan, make_plan
from asdbench.progress import Progress
from asdbench.roles import Roles, assign_roles
from asdbench.spec import load_spec
from asdbench.store import Store


def noise(seed: int, count: int = 8000) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(count)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write recordings below a root, each with noise of its own."""

    def write(*names: str, rate: int = 16000, **how: Any) -> Path:
        for name in names:
            path = tmp_path / "rig" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise(sum(map(ord, name)) * 1000 + len(name), rate // 2), rate, **how)
        return tmp_path / "rig"

    return write


NORMAL = tuple(f"normal/{index}.wav" for index in range(8))
ABNORMAL = tuple(f"abnormal/{index}.wav" for index in range(4))


def planned(root: Path, **dataset: Any) -> tuple[Plan, Store]:
    spec = {"name": "x", "dataset": {"use": "folder", "root": str(root), **dataset}, "embeddings": {}}
    spec |= {"detectors": {"knn": {"use": "logmel_knn"}}, "generators": {}, "seeds": [0]}
    spec |= {"test_sets": {"original": {"normal": "real", "anomaly": "real"}}}
    store = Store(root.parent / "store")
    return make_plan(load_spec(spec), store, Progress(quiet=True)), store


def roles(root: Path, machine: str = "rig", **dataset: Any) -> Roles:
    plan, store = planned(root, **dataset)
    return assign_roles(load_clips(store, plan.clips[machine]), load_spec(_holdout()).spec.holdout)


def _holdout() -> dict[str, Any]:
    return {"name": "x", "dataset": {"use": "simulated"}, "detectors": {"knn": {"use": "logmel_knn"}}}


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


# --- bad files --------------------------------------------------------------------------------------------------------


def test_bad_files_of_all_machines_are_named_at_once(write) -> None:
    root = write(*(f"{machine}/{name}" for machine in ("fan", "pump") for name in (*NORMAL, *ABNORMAL)))
    for name in ("fan/normal/1.wav", "fan/abnormal/2.wav", "pump/normal/3.wav"):
        (root / name).write_bytes((root / name).read_bytes()[:44])
    with pytest.raises(BadClipsError, match=r"dataset\.root: 3 recordings cannot be used: ") as caught:
        planned(root)
    assert [one.path for one in caught.value.bad] == [
        str(root / name) for name in ("fan/abnormal/2.wav", "fan/normal/1.wav", "pump/normal/3.wav")
    ]
    assert all(one.path in str(caught.value) for one in caught.value.bad)


def test_bad_files_are_left_out_where_the_dataset_says_so(write, capsys) -> None:
    root = write(*NORMAL, *ABNORMAL)
    for name in ("normal/1.wav", "abnormal/2.wav"):
        (root / name).write_bytes(b"")
    plan, store = planned(root, on_bad_clip="skip")
    (note,) = warnings(capsys)
    assert "skipped, since 2 recordings cannot be used: " in note
    assert [(one.path, one.problem) for one in plan.skipped["rig"]] == [
        (str(root / "abnormal/2.wav"), "the file is empty (0 bytes)"),
        (str(root / "normal/1.wav"), "the file is empty (0 bytes)"),
    ]
    kept = load_clips(store, plan.clips["rig"]).frame
    assert set(kept["clip_id"]) == {*NORMAL, *ABNORMAL} - {"normal/1.wav", "abnormal/2.wav"}
    assert (kept["split"][kept["condition"] == "normal"] == "test").sum() == 4  # half of the seven that are left


def test_a_machine_of_bad_files_only_is_left_out(write, capsys) -> None:
    root = write(*(f"{machine}/{name}" for machine in ("fan", "pump") for name in (*NORMAL, *ABNORMAL)))
    for path in (root / "fan").rglob("*.wav"):
        path.write_bytes(b"")
    plan, _ = planned(root, on_bad_clip="skip")
    assert list(plan.clips) == ["pump"]
    assert plan.left_out == {"fan": "none of the 12 recordings of machine 'fan' can be used"}
    assert plan.machines == ["fan", "pump"]
    shutil.rmtree(root / "pump")
    with pytest.raises(UserError, match="none of the 12 recordings of machine 'fan' can be used"):
        planned(root, on_bad_clip="skip")


def test_a_sensor_log_is_refused_with_both_rates(write) -> None:
    root = write(*NORMAL, *ABNORMAL)
    soundfile.write(root / "normal" / "log.wav", noise(0, 50000), 1)
    with pytest.raises(UserError, match=r"log\.wav: .* rate of 1 Hz and cannot be read at 16000 Hz; expected 1000 to"):
        planned(root)


# --- machines without normal clips ------------------------------------------------------------------------------------


def test_a_machine_without_normal_clips_is_left_out_and_the_others_run(write, capsys) -> None:
    root = write(*(f"fan/{name}" for name in (*NORMAL, *ABNORMAL)), *(f"pump/{name}" for name in ABNORMAL))
    plan, _ = planned(root)
    assert list(plan.clips) == ["fan"]
    assert "machine 'pump' has no normal clip" in plan.left_out["pump"]
    (note,) = warnings(capsys)
    assert "machine 'pump' has no normal clip" in note and "the other machines are used" in note
    assert {use.machine for use in plan.scores} == {"fan"}


def test_no_machine_with_normal_clips_is_an_error(write) -> None:
    with pytest.raises(UserError, match="machine 'rig' has no normal clip"):
        planned(write(*ABNORMAL))


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_in_both_classes_are_all_named(write) -> None:
    root = write(*NORMAL, *ABNORMAL)
    for index in range(3):
        shutil.copy(root / f"normal/{index}.wav", root / f"abnormal/copy{index}.wav")
    with pytest.raises(UserError, match="labelled normal and anomalous: ") as caught:
        planned(root)
    for index in range(3):
        assert f"{root}/normal/{index}.wav and {root}/abnormal/copy{index}.wav" in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_copies_within_a_class_have_one_role(write, capsys, seed: int) -> None:
    root = write(*NORMAL, *ABNORMAL)
    for index in range(5):
        shutil.copy(root / "normal/3.wav", root / f"normal/copy{index}.wav")
    soundfile.write(root / "normal/copy5.flac", soundfile.read(root / "normal/3.wav")[0], 16000)
    for index in range(2):
        shutil.copy(root / "abnormal/1.wav", root / f"abnormal/copy{index}.wav")
    found = roles(root, split_seed=seed)
    for copied, count in (("normal/3.wav", 7), ("abnormal/1.wav", 3)):
        holders = []
        for part in (found.fit, found.test, found.pool):
            names = set(part.frame["clip_id"])
            mine = {name for name in names if name == copied or name.startswith(copied.split("/")[0] + "/copy")}
            holders += [len(mine)] if mine else []
        assert holders == [count]
    (note,) = warnings(capsys)
    assert "10 clips are copies of each other" in note
    assert all(len(part) for part in (found.fit, found.test, found.pool))


def test_copies_that_a_given_split_separates_are_all_named(write) -> None:
    root = write("normal/train/a.wav", "normal/train/b.wav", "normal/train/c.wav", "normal/test/d.wav", *ABNORMAL)
    for name in "ab":
        shutil.copy(root / f"normal/train/{name}.wav", root / f"normal/test/{name}2.wav")
    with pytest.raises(UserError, match="the same audio is given to training and to test: ") as caught:
        planned(root)
    assert f"{root}/normal/train/a.wav and {root}/normal/test/a2.wav; {root}/normal/train/b.wav and" in str(
        caught.value
    )


# --- formats and rates ------------------------------------------------------------------------------------------------


def test_compressed_files_are_read_and_others_counted(write, capsys) -> None:
    root = write(*NORMAL, *ABNORMAL, "abnormal/b.mp3")
    soundfile.write(root / "normal" / "b.opus", noise(5), 16000, format="OGG", subtype="OPUS")
    for name in ("normal/c.m4a", "abnormal/d.M4A", "normal/e.wma"):
        (root / name).write_bytes(b"\0\0\0 ftypM4A ")
    plan, store = planned(root)
    names = set(load_clips(store, plan.clips["rig"]).frame["clip_id"])
    assert names == {*NORMAL, *ABNORMAL, "abnormal/b.mp3", "normal/b.opus"}
    (note,) = warnings(capsys)
    assert "3 recordings are left out" in note and ".m4a, .wma" in note


def test_mixed_rates_are_told_once_with_the_files(write, capsys) -> None:
    root = write(*NORMAL, *ABNORMAL)
    write("normal/0.wav", rate=8000)
    write("normal/1.wav", rate=44100)
    planned(root)
    (note,) = warnings(capsys)
    assert "1 of 12 files" in note and note.endswith(f"{root}/normal/0.wav (8000 Hz)")


# --- long recordings --------------------------------------------------------------------------------------------------


def test_long_recordings_are_cut_as_they_are_read(write, tmp_path) -> None:
    root = tmp_path / "rig"
    for condition, names in (("normal", "abcd"), ("abnormal", "efg")):
        (root / condition).mkdir(parents=True)
        for seed, name in enumerate(names):
            soundfile.write(root / condition / f"{name}.wav", noise(ord(name), 16000 * (3 + seed)), 16000)
    before = sorted(path for path in root.rglob("*"))
    plan, store = planned(root, clip_seconds=0.5)
    clips = load_clips(store, plan.clips["rig"])
    assert len(clips) == 6 + 8 + 10 + 12 + 6 + 8 + 10
    assert set(clips.frame["num_samples"]) == {8000}
    assert sorted(path for path in root.rglob("*")) == before
    whole = soundfile.read(root / "normal" / "c.wav", dtype="float32")[0]
    mine = clips.where(group="normal/c.wav")
    assert list(mine.frame["clip_id"])[:2] == ["normal/c#0.5s.wav", "normal/c#0s.wav"]
    for index, name in enumerate(mine.frame["clip_id"]):
        start = int(float(name.partition("#")[2].removesuffix("s.wav")) * 16000)
        np.testing.assert_array_equal(mine.waveform(index), whole[start : start + 8000])
    sides = clips.frame.groupby("group")["split"].nunique()
    assert (sides == 1).all() and len(sides) == 7
    assert plan.left_out == {} and plan.skipped == {}


def test_an_hour_is_360_clips_and_takes_no_more_memory_than_ten_minutes(tmp_path) -> None:
    rate, peaks = 1000, {}
    for minutes in (10, 60):
        root = tmp_path / str(minutes)
        for condition, length in (("normal", minutes), ("abnormal", 1)):
            (root / condition).mkdir(parents=True)
            soundfile.write(root / condition / "long.wav", noise(len(condition), rate * 60 * length), rate)
        tracemalloc.start()
        plan, store = planned(root, clip_seconds=10, machine="rig")
        peaks[minutes] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        clips = load_clips(store, plan.clips["rig"]).frame
        assert clips["condition"].value_counts().to_dict() == {"normal": 6 * minutes, "anomaly": 6}
    assert peaks[60] < peaks[10] + rate * 60 * 10 * 4  # less than the samples of ten other minutes


def test_a_single_recording_is_divided_with_a_sentence_but_never_within_a_clip(tmp_path, capsys) -> None:
    for seed, condition in enumerate(("normal", "abnormal")):
        (tmp_path / "rig" / condition).mkdir(parents=True)
        soundfile.write(tmp_path / "rig" / condition / "long.wav", noise(seed, 16000 * 12), 16000)
    found = roles(tmp_path / "rig", clip_seconds=0.5)
    assert [len(part) for part in (found.fit, found.test, found.pool)] == [12, 18, 18]
    assert "'normal/long.wav', which is divided between training and test" in warnings(capsys)[0]
    with pytest.raises(UserError, match=r"clips of a recording that overlap would have two roles: .*#t=.* and .*#t="):
        planned(tmp_path / "rig", clip_seconds=0.5, hop_seconds=0.25)


def test_a_recording_shorter_than_a_clip_is_named(write) -> None:
    root = write(*NORMAL, *ABNORMAL)
    soundfile.write(root / "normal" / "long.wav", noise(9, 32000), 16000)
    with pytest.raises(BadClipsError, match=r"12 recordings cannot be used: .*the recording ends after 0\.500 s"):
        planned(root, clip_seconds=1)


def test_a_long_recording_that_cannot_be_read_is_named_once(write) -> None:
    root = write(*NORMAL, *ABNORMAL)
    log, broken = root / "normal" / "log.wav", root / "normal" / "truncated.wav"
    soundfile.write(log, noise(0, 50000), 1)
    soundfile.write(broken, noise(1, 160000), 16000)
    broken.write_bytes(broken.read_bytes()[:100000])
    with pytest.raises(BadClipsError) as caught:
        planned(root, clip_seconds=0.25)
    assert [(one.path.partition("#")[0], one.problem) for one in caught.value.bad] == [
        (str(log), "the file has a sample rate of 1 Hz and cannot be read at 16000 Hz; expected 1000 to 768000 Hz"),
        (str(broken), "the file is truncated (220044 bytes are missing)"),
    ]


def test_a_file_that_is_cut_is_noticed_when_it_changes(write, tmp_path) -> None:
    root = write(*NORMAL, *ABNORMAL)
    first = planned(root, clip_seconds=0.25)[0].clips["rig"]
    assert planned(root, clip_seconds=0.25)[0].clips["rig"] == first
    soundfile.write(root / NORMAL[0], noise(77), 16000)
    assert planned(root, clip_seconds=0.25)[0].clips["rig"] != first


def test_hop_without_length_is_refused(write) -> None:
    with pytest.raises(UserError, match=r"hop_seconds is 1\.0, but no clip_seconds is given"):
        planned(write(*NORMAL, *ABNORMAL), hop_seconds=1)

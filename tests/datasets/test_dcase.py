"""The dcase dataset: trees and naming schemes of every year, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic
import pytest
import soundfile

from asdbench import ClipSet, UserError
from asdbench.clips import LABELS
from asdbench.datasets.dcase.dataset import DcaseDataset

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "dcase2023_sample"


@pytest.fixture
def make(tmp_path: Path, wav: bytes):
    def make(*names: str) -> Path:
        root = tmp_path / "data"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav)
        return root

    return make


def listed(root: Path, machine: str, **settings: object) -> pd.DataFrame:
    return DcaseDataset(root=str(root), **settings).clips(machine, Path("unused"))


def labels(frame: pd.DataFrame) -> dict[str, tuple]:
    return {
        row.clip_id: (row.section, row.domain, row.split, row.condition, row.attributes)
        for row in frame.itertuples(index=False)
    }


S = "section_00_source_"
T = "section_00_target_"

TREES = {
    "2020 development": (
        {
            "fan/train/normal_id_00_00000000.wav": ("00", "none", "train", "normal", {}),
            "fan/test/normal_id_00_00000000.wav": ("00", "none", "test", "normal", {}),
            "fan/test/anomaly_id_02_00000001.wav": ("02", "none", "test", "anomaly", {}),
        },
        ["fan"],
    ),
    "2020 development and evaluation": (
        {
            "dev_data/ToyConveyor/train/normal_id_01_00000000.wav": ("01", "none", "train", "normal", {}),
            "dev_data/ToyConveyor/test/anomaly_id_01_00000000.wav": ("01", "none", "test", "anomaly", {}),
            "eval_data/ToyConveyor/train/normal_id_04_00000000.wav": ("04", "none", "train", "normal", {}),
            "eval_data/ToyConveyor/test/id_04_00000000.wav": ("04", "none", "test", "unknown", {}),
        },
        ["ToyConveyor"],
    ),
    "2021": (
        {
            "dev_data/fan/train/" + S + "train_normal_0000_strength_1_ambient.wav": (
                "00",
                "source",
                "train",
                "normal",
                {"raw": "strength_1_ambient"},
            ),
            "dev_data/fan/source_test/" + S + "test_normal_0000.wav": ("00", "source", "test", "normal", {}),
            "dev_data/fan/target_test/" + T + "test_anomaly_0000.wav": ("00", "target", "test", "anomaly", {}),
            "eval_data/fan/target_test/section_03_target_test_0000.wav": ("03", "target", "test", "unknown", {}),
            "eval_data/fan/source_test/section_03_0000.wav": ("03", "source", "test", "unknown", {}),
        },
        ["fan"],
    ),
    "2022 and MIMII DG: several sections": (
        {
            "fan/train/" + S + "train_normal_0000_m-n_W.wav": ("00", "source", "train", "normal", {"m-n": "W"}),
            "fan/train/section_01_target_train_normal_0000_f-n_A.wav": (
                "01",
                "target",
                "train",
                "normal",
                {"f-n": "A"},
            ),
            "fan/test/section_02_source_test_anomaly_0000_n-lv_L1.wav": (
                "02",
                "source",
                "test",
                "anomaly",
                {"n-lv": "L1"},
            ),
            "fan/test/section_03_test_0000.wav": ("03", "unknown", "test", "unknown", {}),
        },
        ["fan"],
    ),
    "2023, the baseline's tree": (
        {
            "dcase2023t2/dev_data/raw/slider/train/" + S + "train_normal_0853_vel_500_ac_0.30.wav": (
                "00",
                "source",
                "train",
                "normal",
                {"vel": "500", "ac": "0.30"},
            ),
            "dcase2023t2/dev_data/raw/slider/test/" + T + "test_anomaly_0000_vel_500_ac_0.30.wav": (
                "00",
                "target",
                "test",
                "anomaly",
                {"vel": "500", "ac": "0.30"},
            ),
            "dcase2023t2/eval_data/raw/Vacuum/test/section_00_0000.wav": ("00", "unknown", "test", "unknown", {}),
        },
        ["Vacuum", "slider"],
    ),
    "2024: archives unpacked side by side, second releases, names without the split": (
        {
            "eval_data_RoboticArm_train_r2/RoboticArm/train/" + S + "normal_0000_noAttribute.wav": (
                "00",
                "source",
                "train",
                "normal",
                {},
            ),
            "eval_data_RoboticArm_test/RoboticArm/test/" + S + "anomaly_0000.wav": (
                "00",
                "source",
                "test",
                "anomaly",
                {},
            ),
            "3DPrinter_train_r2/train/" + S + "train_normal_0000.wav": ("00", "source", "train", "normal", {}),
            "eval_data_3DPrinter_test/test/section_00_0000.wav": ("00", "unknown", "test", "unknown", {}),
        },
        ["3DPrinter", "RoboticArm"],
    ),
    "2025: supplemental sounds are no clips of the task": (
        {
            "dev_bearing/bearing/train/" + S + "train_normal_0000_vel_4.wav": (
                "00",
                "source",
                "train",
                "normal",
                {"vel": "4"},
            ),
            "dev_bearing/bearing/supplemental/section_00_noise_supplemental_normal_0000.wav": None,
            "dev_bearing/bearing/supplemental/" + S + "train_normal_0001.wav": None,
        },
        ["bearing"],
    ),
    "2026": (
        {
            "dev_ToyCar_r2/train/" + S + "train_normal_0000_car_A1.wav": (
                "00",
                "source",
                "train",
                "normal",
                {"car": "A1"},
            ),
            "ToyCarEmu/train/" + S + "train_normal_0000_car_A1.wav": ("00", "source", "train", "normal", {"car": "A1"}),
        },
        ["ToyCar", "ToyCarEmu"],
    ),
    "renamed evaluation clips stand for the anonymous ones": (
        {
            "eval_data/raw/grinder/test/section_00_0000.wav": None,
            "eval_data/raw/grinder/test/section_00_0001.wav": None,
            "eval_data/raw/grinder/test_rename/" + S + "test_normal_0000_grindstone_1.wav": (
                "00",
                "source",
                "test",
                "normal",
                {"grindstone": "1"},
            ),
            "eval_data/raw/grinder/test_rename/" + T + "test_anomaly_0000_grindstone_2.wav": (
                "00",
                "target",
                "test",
                "anomaly",
                {"grindstone": "2"},
            ),
        },
        ["grinder"],
    ),
    "renamed evaluation clips of 2020": (
        {
            "fan/test/id_01_00000000.wav": None,
            "fan/test_rename/anomaly_id_01_00000000.wav": ("01", "none", "test", "anomaly", {}),
        },
        ["fan"],
    ),
    "one folder a machine, no folders for the split": (
        {
            "valve/" + S + "train_normal_0000_pat_00.wav": ("00", "source", "train", "normal", {"pat": "00"}),
            "valve/section_00_0000.wav": ("00", "unknown", "test", "unknown", {}),
        },
        ["valve"],
    ),
    "upper case, FLAC and files of the system": (
        {
            "fan/Train/" + S + "train_normal_0000.WAV": ("00", "source", "train", "normal", {}),
            "fan/Test/" + S + "test_normal_0000_m-n_0.5.flac": ("00", "source", "test", "normal", {"m-n": "0.5"}),
            "fan/Test/._" + S + "test_normal_0000_m-n_0.5.flac": None,
            "__MACOSX/fan/Test/" + S + "test_normal_0000_m-n_0.5.flac": None,
        },
        ["fan"],
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_trees(make, tree: str) -> None:
    files, machines = TREES[tree]
    root = make(*files)
    data = DcaseDataset(root=str(root))
    assert data.machines() == machines
    frames = [data.clips(machine, Path("unused")) for machine in machines]
    for machine, frame in zip(machines, frames, strict=True):
        assert list(frame.columns) == list(LABELS)
        assert list(frame["clip_id"]) == sorted(frame["clip_id"])
        assert set(frame["machine"]) == {machine}
        assert all(Path(path) == root / name for path, name in zip(frame["path"], frame["clip_id"], strict=True))
    assert labels(pd.concat(frames)) == {name: label for name, label in files.items() if label is not None}


@pytest.mark.parametrize("below", ["", "dev_data", "dev_data/raw", "dev_data/raw/fan", "dev_data/raw/fan/train"])
def test_the_root_may_be_at_any_depth(make, below: str) -> None:
    root = make("dev_data/raw/fan/train/" + S + "train_normal_0000_m-n_W.wav") / below
    frame = listed(root, "fan")
    assert list(frame["attributes"]) == [{"m-n": "W"}]
    assert root / frame["clip_id"][0] == Path(frame["path"][0])


def test_relative_root(make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make("fan/train/" + S + "train_normal_0000.wav")
    monkeypatch.chdir(root / "fan")
    frame = DcaseDataset(root=".").clips("fan", Path("unused"))
    assert list(frame["clip_id"]) == ["train/" + S + "train_normal_0000.wav"]
    assert os.path.isabs(frame["path"][0])


def test_links_are_followed_and_loops_end(make) -> None:
    root = make("disk/fan/train/" + S + "train_normal_0000.wav")
    (root / "disk/fan/again").symlink_to(root / "disk")
    (root / "disk/fan/up").symlink_to(root.parent)
    (root / "links").mkdir()
    (root / "links/pump").symlink_to(root / "disk/fan")
    assert DcaseDataset(root=str(root)).machines() == ["fan"]
    assert DcaseDataset(root=str(root / "links")).machines() == ["pump"]


def test_the_root_is_walked_once(make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make("fan/train/" + S + "train_normal_0000.wav", "pump/train/" + S + "train_normal_0000.wav")
    calls = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(str(path)) or scandir(path))
    data = DcaseDataset(root=str(root))
    for machine in data.machines():
        data.clips(machine, Path("unused"))
    assert len(calls) == len(set(calls)) == 5


def test_clips_can_be_read_with_other_rates_lengths_and_channels(make, tmp_path: Path) -> None:
    root = make("fan/train/" + S + "train_normal_0000.wav")
    rng = np.random.default_rng(1)
    soundfile.write(root / f"fan/train/{S}train_normal_0001.wav", rng.normal(0, 0.1, (9600, 2)), 32000)
    soundfile.write(root / f"fan/train/{S}train_normal_0002.flac", rng.normal(0, 0.1, 22050), 44100)
    clips = ClipSet.from_files(listed(root, "fan"))
    assert list(clips.frame["sample_rate"]) == [16000, 32000, 44100]
    assert list(clips.frame["channels"]) == [1, 2, 1]
    assert [len(waveform) for waveform in clips.waveforms()] == [4000, 4800, 8000]


@pytest.mark.parametrize(
    ("tests", "count"),
    [
        ([], 0),
        (["source_test_anomaly_0000", "source_test_normal_0000"], 1),
        (["source_test_normal_0000", "target_test_normal_0000", "source_test_anomaly_0000"], 1),
    ],
    ids=["no anomaly", "one anomaly", "no anomaly of a domain"],
)
def test_machines_with_few_anomalies_are_listed_as_they_are(make, tests: list[str], count: int) -> None:
    root = make("fan/train/" + S + "train_normal_0000.wav", *[f"fan/test/section_00_{name}.wav" for name in tests])
    frame = listed(root, "fan")
    assert len(frame) == 1 + len(tests)
    assert (frame["condition"] == "anomaly").sum() == count
    assert not ((frame["condition"] == "anomaly") & (frame["domain"] == "target")).any()


# --- years ------------------------------------------------------------------------------------------------------------


def test_year_chooses_among_trees(make) -> None:
    root = make(
        "dcase2022/fan/train/" + S + "train_normal_0000_m-n_W.wav",
        "dcase2023t2/dev_data/raw/fan/train/" + S + "train_normal_0000_m-n_X.wav",
    )
    assert list(listed(root, "fan", year=2022)["attributes"]) == [{"m-n": "W"}]
    assert list(listed(root, "fan", year=2023)["attributes"]) == [{"m-n": "X"}]
    with pytest.raises(UserError, match=r"'fan' stands in data of several years.*2022.*2023.*'year'"):
        listed(root, "fan")
    with pytest.raises(UserError, match=r"year 2024 was asked for, but data root .* holds data of 2022, 2023"):
        DcaseDataset(root=str(root), year=2024).machines()


@pytest.mark.parametrize(
    ("year", "name", "message"),
    [
        (2020, "fan/train/" + S + "train_normal_0000.wav", "year 2020 was asked for, but this is a name of 2021"),
        (2023, "fan/train/normal_id_00_00000000.wav", "year 2023 was asked for, but this is a name of 2020"),
        (2022, "fan/source_test/" + S + "test_normal_0000.wav", "such folders are of 2021"),
        (2022, "grinder/train/" + S + "train_normal_0000.wav", "'grinder', which DCASE 2022 Task 2 does not have"),
        (2026, "bearing/train/" + S + "train_normal_0000.wav", "did you mean 'bearingEmu'?"),
    ],
)
def test_a_wrong_year(make, year: int, name: str, message: str) -> None:
    root = make(name)
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        DcaseDataset(root=str(root), year=year).machines()


@pytest.mark.parametrize("year", [2019, 2027])
def test_years_without_the_task(tmp_path: Path, year: int) -> None:
    with pytest.raises(pydantic.ValidationError, match="year"):
        DcaseDataset(root=str(tmp_path), year=year)


def test_the_right_year(make) -> None:
    root = make("SewingMachine/train/" + S + "train_normal_0000_noAttribute.wav")
    assert DcaseDataset(root=str(root), year=2026).machines() == ["SewingMachine"]


# --- refused ----------------------------------------------------------------------------------------------------------


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data root .*nowhere does not exist; expected a folder"):
        DcaseDataset(root=str(tmp_path / "nowhere")).machines()


def test_root_is_a_file(make) -> None:
    root = make("fan/train/" + S + "train_normal_0000.wav")
    with pytest.raises(UserError, match=r"\.wav is a file; expected a folder"):
        DcaseDataset(root=str(root / "fan/train" / (S + "train_normal_0000.wav"))).machines()


def test_root_without_audio(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"holds no audio; expected files that end in \.wav"):
        DcaseDataset(root=str(tmp_path)).machines()


def test_root_with_other_audio(make) -> None:
    root = make("fan/normal/00000000.wav", "fan/normal/00000001.wav")
    with pytest.raises(UserError) as error:
        DcaseDataset(root=str(root)).machines()
    message = str(error.value)
    assert "holds 2 audio files" in message
    assert "00000000.wav" in message
    assert "normal_id_00_00000000.wav" in message
    assert "'folder'" in message


def test_unknown_machine(make) -> None:
    root = make("gearbox/train/" + S + "train_normal_0000.wav")
    with pytest.raises(UserError, match=r"no machine named 'gearbx'; did you mean 'gearbox'\?"):
        listed(root, "gearbx")


def test_the_same_clip_in_two_trees(make) -> None:
    root = make(
        "dev_data/fan/train/" + S + "train_normal_0000.wav", "copy/dev_data/fan/train/" + S + "train_normal_0000.wav"
    )
    with pytest.raises(UserError, match=r"data/copy/dev_data/fan/train/.* and .*data/dev_data/fan/train/.* same name"):
        listed(root, "fan")


def test_a_stray_name_among_clips(make) -> None:
    root = make(
        "fan/train/" + S + "train_normal_0000.wav", "fan/train/noise.wav", "pump/train/normal_id_00_00000000.wav"
    )
    with pytest.raises(UserError, match=r"noise\.wav: not a clip's name of DCASE Task 2"):
        listed(root, "fan")
    assert len(listed(root, "pump")) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fan/train/" + S + "test_normal_0000.wav", "the split is 'test' in the name but 'train' in the folder"),
        (
            "fan/target_test/" + S + "test_normal_0000.wav",
            "the domain is 'source' in the name but 'target' in the folder",
        ),
        ("fan/normal_id_00_00000000.wav", "neither name nor folder says whether this clip is for training or test"),
        ("fan/train/anomaly_id_00_00000000.wav", "expected a normal clip for training"),
        ("fan/train/section_00_0000.wav", "expected a normal clip for training"),
    ],
)
def test_contradictions(make, name: str, message: str) -> None:
    root = make(name)
    with pytest.raises(UserError, match=message):
        listed(root, "fan")


def test_a_half_renamed_section(make) -> None:
    root = make(
        "fan/test/section_00_0000.wav",
        "fan/test/section_00_0001.wav",
        "fan/test_rename/" + S + "test_normal_0000.wav",
    )
    with pytest.raises(UserError, match=r"section 00: .*test_rename holds 1 clips .* holds 2 anonymous ones"):
        listed(root, "fan")


# --- attributes_*.csv -------------------------------------------------------------------------------------------------


def test_attribute_tables_add_to_names(make) -> None:
    root = make(
        "fan/train/" + S + "train_normal_0000.wav",
        "fan/train/" + S + "train_normal_0001_vel_03.wav",
        "fan/train/" + S + "train_normal_0002_strength_1_ambient.wav",
        "pump/train/" + S + "train_normal_0000.wav",
    )
    (root / "fan/attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        f"fan/train/{S}train_normal_0000.wav,vel,6,loc,A\n"
        f"fan/train/{S}train_normal_0001_vel_03.wav,vel,3,,\n"
        f"fan/train/{S}train_normal_0002_strength_1_ambient.wav,strength,1,,\n"
        f"fan/test/{S}test_normal_0000.wav,vel,6,loc,A\n"  # not downloaded
    )
    assert list(listed(root, "fan")["attributes"]) == [{"vel": "6", "loc": "A"}, {"vel": "03"}, {"strength": "1"}]
    assert list(listed(root, "pump")["attributes"]) == [{}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "file_name,d1p,d1v\nx/section_00_source_train_normal_0000_vel_4.wav,vel,5\n",
            r"row 2: the attribute 'vel' is '5'",
        ),
        ("name,d1p,d1v\n", "no column 'file_name'"),
        ("file_name,d1p\n", "no column 'd1v'"),
        (
            "file_name,d1p,d1v\nsection_00_source_train_normal_0000_vel_4.wav,loc,\n",
            "row 2: the attribute 'loc' has no value",
        ),
        ("file_name,d1p,d1v\nx.wav,loc\n", "row 2: 2 cells, but the file has 3 columns"),
        ("", "the file is empty"),
    ],
)
def test_wrong_attribute_tables(make, table: str, message: str) -> None:
    root = make("fan/train/" + S + "train_normal_0000_vel_4.wav")
    (root / "fan/attributes_00.csv").write_text(table)
    with pytest.raises(UserError, match=rf"attributes_00\.csv.*{message}"):
        listed(root, "fan")


# --- real clips -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the sample of DCASE 2023 beside the project")
def test_real_sample_of_2023() -> None:
    data = DcaseDataset(root=str(SAMPLE), year=2023)
    assert data.machines() == ["ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"]
    frames = {machine: data.clips(machine, Path("unused")) for machine in data.machines()}
    assert {machine: len(frame) for machine, frame in frames.items()} == dict.fromkeys(data.machines(), 4)
    anomalies = {machine: int((frame["condition"] == "anomaly").sum()) for machine, frame in frames.items()}
    assert anomalies == {"ToyCar": 0, "ToyTrain": 1, "bearing": 1, "fan": 1, "gearbox": 1, "slider": 0, "valve": 1}
    keys = {machine: {tuple(attributes) for attributes in frame["attributes"]} for machine, frame in frames.items()}
    assert keys == {
        "ToyCar": {("car", "spd", "mic")},
        "ToyTrain": {("car", "spd", "mic")},
        "bearing": {("vel", "loc")},
        "fan": {("m-n",)},
        "gearbox": {("volt", "wt")},
        "slider": {("vel", "ac")},
        "valve": {("pat",)},
    }
    clips = ClipSet.from_files(frames["fan"])
    assert list(clips.frame["num_samples"]) == [160000] * 4

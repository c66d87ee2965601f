"""The dataset `simulated` on disk: DCASE layout and names, tables, atomic writing, settings."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pydantic
import pytest
import soundfile

from asdbench import ClipSet, UserError
from asdbench.clips import LABELS
from asdbench.datasets.simulated import Index, SimulatedDataset, write_dataset
from asdbench.datasets.simulated.machine import get_machine
from asdbench.plugins import datasets

NAME = re.compile(
    r"section_(\d\d)_(source|target)_(train|test)_(normal|anomaly)_(\d{4})((?:_[a-z-]+_[A-Za-z0-9.]+)*)\.wav"
)
SMALL = {"train_source": 4, "train_target": 2, "test_normal": 2, "test_anomaly": 3, "duration": 1.0}
RANGES = {"vel": (6, 1300), "volt": (0.6, 3.3), "wt": (0, 250), "ac": (0.01, 0.30), "pat": (0, 5)}


def small(**settings) -> SimulatedDataset:
    return SimulatedDataset(**{**SMALL, **settings})


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_registered() -> None:
    assert datasets.get("simulated") is SimulatedDataset
    assert SimulatedDataset.makes_audio
    assert SimulatedDataset().machines() == ["bearing", "fan", "gearbox", "slider", "valve"]
    assert SimulatedDataset.summary().startswith("Physically modelled")


def test_defaults_are_the_counts_of_dcase() -> None:
    groups: dict[tuple[str, str, str], int] = {}
    for index in SimulatedDataset().indices():
        place = (index.domain, index.split, index.condition)
        groups[place] = groups.get(place, 0) + 1
    assert groups == {
        ("source", "train", "normal"): 990,
        ("target", "train", "normal"): 10,
        ("source", "test", "normal"): 50,
        ("source", "test", "anomaly"): 50,
        ("target", "test", "normal"): 50,
        ("target", "test", "anomaly"): 50,
    }


@pytest.mark.parametrize("machine", ["bearing", "fan", "gearbox", "slider", "valve"])
def test_layout_names_and_tables(machine: str, tmp_path: Path) -> None:
    table = small().clips(machine, tmp_path)
    assert set(LABELS) <= set(table.columns)
    assert len(table) == 4 + 2 + 2 * (2 + 3)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.wav")}
    assert files == set(table["clip_id"])
    others = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".wav"}
    assert others == {"attributes_00.csv", "faults_00.csv"}

    mechanisms = get_machine(machine).faults
    for row in table.itertuples():
        folder, split, name = row.clip_id.split("/")
        match = NAME.fullmatch(name)
        assert match, name
        assert (folder, split) == (machine, match[3])
        assert (row.machine, row.section, row.domain, row.split, row.condition) == (machine, *match.groups()[:4])
        words = match[6].split("_")[1:]
        assert dict(zip(words[::2], words[1::2], strict=True)) == row.attributes
        for attribute, value in row.attributes.items():
            if attribute in RANGES:
                low, high = RANGES[attribute]
                assert low <= float(value) <= high
        assert not any(mechanism in row.clip_id for mechanism in mechanisms)
        info = soundfile.info(row.path)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (16000, 1, "PCM_16", "WAV")
        assert info.frames == 16000
        if row.condition == "anomaly":
            assert row.provenance["fault"] in mechanisms
            assert row.provenance["severity"] > 0
        else:
            assert row.provenance["fault"] == ""
            assert row.provenance["severity"] == 0

    listed = read_csv(tmp_path / machine / "attributes_00.csv")
    assert [line["file_name"] for line in listed] == list(table["clip_id"])
    for line, attributes in zip(listed, table["attributes"], strict=True):
        pairs = {line[f"d{k}p"]: line[f"d{k}v"] for k in range(1, len(attributes) + 1)}
        assert pairs == attributes
    faulty = table[table["condition"] == "anomaly"]
    truth = read_csv(tmp_path / machine / "faults_00.csv")
    assert [line["file_name"] for line in truth] == list(faulty["clip_id"])
    assert [line["fault"] for line in truth] == [origin["fault"] for origin in faulty["provenance"]]


def test_the_table_makes_a_clip_set(tmp_path: Path) -> None:
    dataset = small()
    clips = ClipSet.from_files(dataset.clips("fan", tmp_path), dataset.sample_rate, dataset.channel)
    assert len(clips) == 16
    assert clips.frame["content_hash"].is_unique
    assert clips.frame["provenance"].iat[-1]["fault"] in get_machine("fan").faults
    exact = dataset.simulate("fan", Index("source", "train", "normal", 0)).waveform
    np.testing.assert_allclose(clips.waveform(0), exact, atol=1 / 32768)  # rounded to 16 bits, not clipped


def test_a_clip_does_not_depend_on_what_is_made_beside_it(tmp_path: Path) -> None:
    few = ClipSet.from_files(small().clips("gearbox", tmp_path / "few"))
    more = small(train_source=6, train_target=1, test_normal=4, test_anomaly=4)
    many = ClipSet.from_files(more.clips("gearbox", tmp_path / "many"))
    shared = few.frame.merge(many.frame, on="clip_id")
    assert len(shared) == 4 + 1 + 2 * (2 + 3)
    assert (shared["content_hash_x"] == shared["content_hash_y"]).all()


def test_another_seed_gives_another_data_set(tmp_path: Path) -> None:
    first = ClipSet.from_files(small().clips("valve", tmp_path / "0"))
    second = ClipSet.from_files(small(data_seed=1).clips("valve", tmp_path / "1"))
    assert not set(first.frame["content_hash"]) & set(second.frame["content_hash"])


def test_the_seed_of_a_run_does_not_change_the_data() -> None:
    dataset, index = small(), Index("source", "test", "anomaly", 1)
    before = dataset.simulate("fan", index).waveform
    dataset.seed = 5
    np.testing.assert_array_equal(dataset.simulate("fan", index).waveform, before)


def test_severity_scales_the_faults() -> None:
    index = Index("source", "test", "anomaly", 0)
    normal, double = small(severity=0).simulate("slider", index), small(severity=2).simulate("slider", index)
    typical = small().simulate("slider", index)
    assert normal.fault.severity == 0
    assert double.fault.severity == pytest.approx(2 * typical.fault.severity)
    assert typical.fault.mechanism == normal.fault.mechanism == double.fault.mechanism
    assert not np.array_equal(normal.waveform, typical.waveform)


def test_faults_can_be_restricted() -> None:
    dataset = small(faults={"fan": ["clogging"]})
    for number in range(6):
        index = Index("source", "test", "anomaly", number)
        assert dataset.simulate("fan", index).fault.mechanism == "clogging"
    others = {dataset.simulate("valve", Index("source", "test", "anomaly", k)).fault.mechanism for k in range(12)}
    assert len(others) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"faults": {"fan": ["unbalanc"]}}, "fan has no fault 'unbalanc'; did you mean 'unbalance'"),
        ({"faults": {"fann": ["unbalance"]}}, "no simulated machine 'fann'; did you mean 'fan'"),
        ({"faults": {"fan": []}}, "no fault is allowed for fan; expected at least one of unbalance"),
        ({"sample_rate": 2000}, "sample_rate: machines are simulated at 4000 Hz or more, got 2000"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SimulatedDataset(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"severity": -0.1},
        {"duration": 0.5},
        {"train_source": -1},
        {"test_anomaly": 10001},
        {"data_seed": -1},
        {"snr": 3},
        {"snr_db": "loud"},
    ],
)
def test_bad_values_are_refused(settings: dict) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(settings))):
        SimulatedDataset(**settings)


def test_an_unknown_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no simulated machine 'gearbx'; did you mean 'gearbox'"):
        small().clips("gearbx", tmp_path)
    assert not any(tmp_path.iterdir())


def test_write_dataset_writes_whole_machines(tmp_path: Path) -> None:
    root, counts = tmp_path / "data", []
    (root / "valve").mkdir(parents=True)  # an empty folder is no obstacle
    write_dataset(root, ["fan", "valve", "fan"], small(), counts.append)
    assert sum(counts) == 2 * 16
    assert sorted(path.name for path in root.iterdir()) == ["fan", "valve"]
    assert len(list((root / "fan" / "train").glob("*.wav"))) == 6
    assert len(list((root / "fan" / "test").glob("*.wav"))) == 10
    direct = small().clips("fan", tmp_path / "direct")
    for clip_id in direct["clip_id"]:
        assert (root / clip_id).read_bytes() == (tmp_path / "direct" / clip_id).read_bytes()


def test_write_dataset_writes_all_machines_by_default(tmp_path: Path) -> None:
    tiny = small(train_source=1, train_target=0, test_normal=0, test_anomaly=1)
    write_dataset(tmp_path, None, tiny)
    assert sorted(path.name for path in tmp_path.iterdir()) == tiny.machines()


def test_write_dataset_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "valve").mkdir()
    (tmp_path / "valve" / "mine.wav").write_bytes(b"precious")
    with pytest.raises(UserError, match="valve: expected no folder or an empty one"):
        write_dataset(tmp_path, ["fan", "valve"], small())
    assert [path.name for path in tmp_path.iterdir()] == ["valve"]
    assert (tmp_path / "valve" / "mine.wav").read_bytes() == b"precious"


def test_write_dataset_refuses_unknown_machines(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no simulated machine 'bering'; did you mean 'bearing'"):
        write_dataset(tmp_path / "new", ["fan", "bering"], small())
    assert not (tmp_path / "new").exists()


def test_write_dataset_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, ["fan"], small(), interrupt)
    assert not any(tmp_path.iterdir())

"""The folder dataset: trees, manifests, the split, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from asdbench import ClipSet, UserError
from asdbench.clips import LABELS
from asdbench.datasets.folder.dataset import FolderDataset
from asdbench.spec import load_spec

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def make(tmp_path: Path, wav: bytes):
    def make(*names: str, manifest: str | None = None) -> Path:
        root = tmp_path / "rig"
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav)
        if manifest is not None:
            (root / "clips.csv").write_text(manifest)
        return root

    return make


def listed(root: Path, asked: str = "rig", **settings: object) -> pd.DataFrame:
    return FolderDataset(root=str(root), **settings).clips(asked, Path("unused"))


def by_manifest(root: Path, asked: str = "rig", **settings: object) -> pd.DataFrame:
    return listed(root, asked, manifest="clips.csv", **settings)


def sides(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["clip_id"], frame["split"], strict=True))


NORMAL = [f"normal/{i:03d}.wav" for i in range(20)]

# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["abnormal", "anomaly", "anomalous", "Abnormal", "ANOMALY"])
def test_condition_folders(make, word: str) -> None:
    root = make("Normal/a.wav", "Normal/day 2/b.wav", f"{word}/c.wav", f"{word}/deep/er/d.flac")
    frame = listed(root)
    assert list(frame.columns) == list(LABELS)
    assert list(frame["clip_id"]) == sorted(
        ["Normal/a.wav", "Normal/day 2/b.wav", f"{word}/c.wav", f"{word}/deep/er/d.flac"]
    )
    normal = frame[frame["clip_id"].str.startswith("Normal")]
    assert set(normal["condition"]) == {"normal"}
    assert sorted(normal["split"]) == ["test", "train"]
    others = frame[~frame["clip_id"].str.startswith("Normal")]
    assert set(others["condition"]) == {"anomaly"}
    assert set(others["split"]) == {"test"}
    assert set(frame["section"]) == {"00"}
    assert set(frame["domain"]) == {"none"}
    assert all(attributes == {} for attributes in frame["attributes"])
    assert all(Path(path) == root / name for path, name in zip(frame["path"], frame["clip_id"], strict=True))


def test_one_folder_a_machine(make) -> None:
    root = make("fan/normal/a.wav", "fan/normal/b.wav", "pump/normal/a.wav", "pump/normal/b.wav", "pump/abnormal/c.wav")
    data = FolderDataset(root=str(root))
    assert data.machines() == ["fan", "pump"]
    assert [len(data.clips(machine, Path("unused"))) for machine in ("fan", "pump")] == [2, 3]


def test_tree_of_mimii(make) -> None:
    root = make(
        *[f"fan/id_{i:02d}/{kind}/0000000{n}.wav" for i in (0, 2) for kind in ("normal", "abnormal") for n in (0, 1)]
    )
    frame = listed(root, "fan")
    assert list(frame["section"]) == ["00"] * 4 + ["02"] * 4
    for _, section in frame[frame["condition"] == "normal"].groupby("section"):
        assert sorted(section["split"]) == ["test", "train"]


@pytest.mark.parametrize(
    "names",
    [
        ["train/normal/a.wav", "test/normal/a.wav", "test/anomaly/a.wav"],
        ["normal/train/a.wav", "normal/test/a.wav", "anomaly/test/a.wav"],
        ["Train/normal/a.wav", "Test/normal/a.wav", "anomaly/a.wav"],
    ],
)
def test_split_folders_are_kept(make, names: list[str]) -> None:
    for fraction in (0.1, 0.9):
        frame = listed(make(*names), test_fraction=fraction)
        assert [sides(frame)[name] for name in names] == ["train", "test", "test"]


def test_name_of_the_machine(make) -> None:
    root = make(*NORMAL)
    assert FolderDataset(root=str(root)).machines() == ["rig"]
    assert FolderDataset(root=str(root), machine="crane").machines() == ["crane"]
    assert set(listed(root, "crane", machine="crane")["machine"]) == {"crane"}


# --- the split --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "tests"), [(0.5, 10), (0.25, 5), (0.01, 1), (0.99, 19), (0.12, 2), (0.13, 3)])
def test_fraction_of_normal_clips(make, fraction: float, tests: int) -> None:
    frame = listed(make(*NORMAL, "abnormal/a.wav"), test_fraction=fraction)
    normal = frame[frame["condition"] == "normal"]
    assert (normal["split"] == "test").sum() == tests


def test_split_depends_on_names_and_seed_only(make, tmp_path: Path) -> None:
    root = make(*NORMAL, "abnormal/a.wav")
    first = sides(listed(root))
    shutil.copytree(root, tmp_path / "elsewhere" / "rig")
    assert sides(listed(tmp_path / "elsewhere" / "rig")) == first
    assert sides(listed(root, "crane", machine="crane")) == first
    assert sides(listed(root, split_seed=1)) != first
    rows = ["path,condition", *[f"{name},normal" for name in reversed(NORMAL)], "abnormal/a.wav,1"]
    (root / "clips.csv").write_text("\n".join(rows))
    assert sides(by_manifest(root)) == first


def test_drawing_order(make) -> None:
    """Recomputed from first principles: another order would silently change every split that somebody has published."""
    drawn = sides(listed(make(*NORMAL), test_fraction=0.3, split_seed=5))

    def rank(name: str) -> bytes:
        text = json.dumps(["folder split", 5, f"clip {name}"], separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    assert {name for name, side in drawn.items() if side == "test"} == set(sorted(NORMAL, key=rank)[:6])


def test_each_section_and_domain_is_split(make) -> None:
    rows = [f"{name},normal,{i % 2:02d},{'source' if i < 10 else 'target'}" for i, name in enumerate(NORMAL)]
    root = make(*NORMAL, manifest="\n".join(["path,condition,section,domain", *rows]))
    frame = by_manifest(root, test_fraction=0.4)
    for _, part in frame.groupby(["section", "domain"]):
        assert (part["split"] == "test").sum() == 2
        assert (part["split"] == "train").sum() == 3


def grouped(sizes: list[int], anomalies: list[int]) -> tuple[list[str], str]:
    names, rows = [], ["path,condition,recording"]
    for group, size in enumerate(sizes):
        for i in range(size):
            names.append(f"{group}_{i}.wav")
            rows.append(f"{names[-1]},normal,rec{group}")
        for i in range(anomalies[group]):
            names.append(f"{group}_bad{i}.wav")
            rows.append(f"{names[-1]},anomaly,rec{group}")
    return names, "\n".join(rows)


@pytest.mark.parametrize("seed", range(8))
def test_no_group_straddles_the_split(make, seed: int) -> None:
    sizes = [int(n) for n in np.random.default_rng(seed).integers(1, 6, size=9)]
    names, manifest = grouped(sizes, [2, 0, 0, 1, 0, 0, 0, 0, 0])
    frame = by_manifest(make(*names, manifest=manifest), group="recording", split_seed=seed, test_fraction=0.5)
    groups = defaultdict(set)
    for attributes, split in zip(frame["attributes"], frame["split"], strict=True):
        groups[attributes["recording"]].add(split)
    assert all(len(found) == 1 for found in groups.values())
    assert groups["rec0"] == groups["rec3"] == {"test"}
    normal = frame[frame["condition"] == "normal"]
    forced = sizes[0] + sizes[3]
    tests = (normal["split"] == "test").sum()
    target = max(forced, len(normal) / 2)
    assert abs(tests - target) <= max(sizes) / 2 + 0.5  # as near as whole groups allow
    assert "train" in set(normal["split"])


def test_column_named_group_is_used_unasked(make) -> None:
    names = [f"{i}.wav" for i in range(8)]
    rows = [f"{name},normal,g{i % 2}" for i, name in enumerate(names)]
    frame = by_manifest(make(*names, manifest="\n".join(["path,condition,group", *rows])))
    found = sides(frame)
    assert len({found[f"{i}.wav"] for i in (0, 2, 4, 6)}) == 1
    assert len({found[f"{i}.wav"] for i in (1, 3, 5, 7)}) == 1
    assert set(found.values()) == {"train", "test"}
    assert frame["attributes"][0] == {}
    assert list(frame["group"]) == [f"g{int(name[0]) % 2}" for name in frame["clip_id"]]


@pytest.mark.parametrize("with_manifest", [False, True])
def test_group_by_parent_folder(make, with_manifest: bool) -> None:
    names = [f"normal/rec{i}/{n}.wav" for i in range(6) for n in range(3)]
    manifest = "\n".join(["path,condition", *[f"{name},normal" for name in names]]) if with_manifest else None
    root = make(*names, "abnormal/rec0/0.wav", manifest=manifest)
    frame = listed(root, group="parent", manifest="clips.csv" if with_manifest else None)
    found = sides(frame[frame["condition"] == "normal"])
    per_folder = [{found[f"normal/rec{i}/{n}.wav"] for n in range(3)} for i in range(6)]
    assert sorted(map(str, per_folder)) == ["{'test'}"] * 3 + ["{'train'}"] * 3


def test_groups_larger_than_the_fraction_still_reach_both_sides(make) -> None:
    names, manifest = grouped([5, 4, 6], [0, 0, 0])
    frame = by_manifest(make(*names, manifest=manifest), group="recording", test_fraction=0.1)
    assert {a["recording"] for a, s in zip(frame["attributes"], frame["split"], strict=True) if s == "test"} == {"rec1"}


def test_a_given_split_holds_for_the_whole_group(make) -> None:
    names = ["a.wav", "b.wav", "c.wav", "d.wav"]
    manifest = "path,condition,group,split\na.wav,0,x,train\nb.wav,0,x,\nc.wav,0,y,test\nd.wav,0,y,\n"
    assert sides(by_manifest(make(*names, manifest=manifest))) == {
        "a.wav": "train",
        "b.wav": "train",
        "c.wav": "test",
        "d.wav": "test",
    }


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (
            "path,condition,group,split\na.wav,0,x,test\nb.wav,0,x,\nc.wav,1,x,\n",
            r"2 normal clips but none is left for training: all of them, or their groups, were given to the test side",
        ),
        ("path,condition,split\na.wav,0,test\nb.wav,0,test\n", r"none is left for training"),
        ("path,condition\na.wav,1\nb.wav,1\n", r"machine 'rig' has no normal clip"),
        (
            "path,condition,split\na.wav,0,train\nb.wav,1,train\n",
            r"clips\.csv, row 3: an anomalous clip is given to tr",
        ),
        ("path,condition,group,split\na.wav,0,x,train\nb.wav,0,x,test\n", r"row 3: the group 'x' straddles .*row 2"),
        ("path,condition,group,split\na.wav,0,x,train\nb.wav,1,x,\n", r"row 3: the group 'x' straddles .*row 2"),
    ],
)
def test_splits_that_cannot_be(make, manifest: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        by_manifest(make("a.wav", "b.wav", "c.wav", manifest=manifest))


def divided(root: Path, **settings: object) -> tuple[dict[str, str], pd.DataFrame]:
    """Sides by clip once the audio is known, and the clips; no two are copies."""
    reader = FolderDataset(root=str(root), manifest="clips.csv", **settings)
    frame = reader.clips("rig", root)
    frame = frame.assign(content_hash=frame["clip_id"])
    if "group" not in frame:
        frame["group"] = frame["clip_id"]
    return dict(zip(frame["clip_id"], reader.divide("rig", frame), strict=True)), frame


def test_a_single_group_is_divided_with_a_sentence(make, capsys) -> None:
    names = [f"{i}.wav" for i in range(6)]
    rows = [f"{name},normal,monday" for name in names]
    found, frame = divided(make(*names, manifest="\n".join(["path,condition,group", *rows])))
    assert sorted(found.values()) == ["test"] * 3 + ["train"] * 3
    assert set(frame["group"]) == {"monday"}
    (note,) = warnings(capsys)
    assert "machine 'rig': all 6 normal clips are of the group 'monday', which is divided between training and" in note


def test_groups_that_all_hold_anomalies_are_divided_with_a_sentence(make, capsys) -> None:
    names, manifest = grouped([3, 3, 3, 3], [1, 2, 1, 1])
    found, frame = divided(make(*names, manifest=manifest), group="recording")
    normal = frame[frame["condition"] == "normal"]
    by_group = normal.assign(side=normal["clip_id"].map(found)).groupby("group")["side"].unique()
    assert sorted(map(list, by_group)) == [["test"], ["test"], ["train"], ["train"]]  # normal clips have one side
    assert {found[name] for name in names if "bad" in name} == {"test"}
    (note,) = warnings(capsys)
    assert "every group of normal clips holds anomalous clips" in note


def test_one_group_of_both_conditions_is_divided_with_a_sentence(make, capsys) -> None:
    manifest = "path,condition,group\na.wav,0,x\nb.wav,0,x\nc.wav,1,x\n"
    found, _ = divided(make("a.wav", "b.wav", "c.wav", manifest=manifest))
    assert sorted([found["a.wav"], found["b.wav"]]) == ["test", "train"] and found["c.wav"] == "test"
    note = warnings(capsys)[-1]
    assert "every group of normal clips holds anomalous clips" in note and "of the group 'x', which is divided" in note


@pytest.mark.parametrize(
    ("names", "anomalies"),
    [(NORMAL[:4], 0), ([*NORMAL[:4], "abnormal/a.wav"], 1)],
    ids=["no anomaly", "one anomaly"],
)
def test_machines_with_few_anomalies_are_listed_as_they_are(make, names: list[str], anomalies: int) -> None:
    frame = listed(make(*names))
    assert (frame["condition"] == "anomaly").sum() == anomalies
    assert len(frame) == len(names)


def test_no_anomaly_of_a_domain(make) -> None:
    manifest = "path,condition,domain\na.wav,0,source\nb.wav,0,source\nc.wav,0,target\nd.wav,0,target\ne.wav,1,source\n"
    frame = by_manifest(make("a.wav", "b.wav", "c.wav", "d.wav", "e.wav", manifest=manifest))
    assert list(frame[frame["condition"] == "anomaly"]["domain"]) == ["source"]


# --- manifests --------------------------------------------------------------------------------------------------------


def test_columns_of_a_manifest(make) -> None:
    root = make(
        "x/a.wav",
        "b.wav",
        "c.wav",
        manifest="Load,path,condition,machine,section,domain,speed,split\n"
        "high,x/a.wav,Normal,fan,03,source,6,train\n"
        ",b.wav,ANOMALOUS,fan,,,4.5,\n"
        "low,./x/../c.wav,0,,,unknown,,train\n",
    )
    data = FolderDataset(root=str(root), manifest="clips.csv", machine="rest")
    assert data.machines() == ["fan", "rest"]
    first, second = data.clips("fan", Path("unused")).sort_values("clip_id", ascending=False).to_dict("records")
    assert {key: first[key] for key in LABELS if key != "path"} == {
        "clip_id": "x/a.wav",
        "machine": "fan",
        "section": "03",
        "domain": "source",
        "split": "train",
        "condition": "normal",
        "attributes": {"Load": "high", "speed": "6"},
    }
    assert (second["section"], second["domain"], second["split"], second["condition"], second["attributes"]) == (
        "00",
        "none",
        "test",
        "anomaly",
        {"speed": "4.5"},
    )
    rest = data.clips("rest", Path("unused"))
    assert list(rest["clip_id"]) == ["c.wav"]
    assert list(rest["domain"]) == ["unknown"]


@pytest.mark.parametrize("word", ["anomaly", "abnormal", "anomalous", "1", "Anomaly"])
def test_words_for_anomalies(make, word: str) -> None:
    frame = by_manifest(make("a.wav", "b.wav", manifest=f"path,condition,split\na.wav,normal,train\nb.wav,{word},\n"))
    assert list(frame["condition"]) == ["normal", "anomaly"]


def test_absolute_paths_below_the_root_are_fine(make) -> None:
    root = make("a.wav", "b.wav")
    (root / "clips.csv").write_text(f"path,condition\n{root}/a.wav,0\nb.wav,0\n")
    assert list(by_manifest(root)["clip_id"]) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("file,condition\na.wav,0\n", r"there is no column 'path'; known: condition, file"),
        ("path,conditon\na.wav,0\n", r"there is no column 'condition'; did you mean 'conditon'\?"),
        ("path,condition,path\na.wav,0,b.wav\n", r"row 1: the column 'path' stands there twice"),
        ("path,condition\na.wav,odd\n", r"row 2: the condition is 'odd'; expected one of normal, anomaly, abnormal"),
        ("path,condition\na.wav,\n", r"row 2: the condition is ''"),
        ("path,condition\na.wav,0\nz.wav,0\n", r"row 3: there is no file 'z\.wav'"),
        ("path,condition\n,0\n", r"row 2: the column 'path' is empty"),
        ("path,condition\nsub,0\n", r"row 2: there is no file 'sub'"),
        ("path,condition\na.wav,0\nb.wav,0\nsub/../a.wav,1\n", r"row 4: the file .* second time \(first in .*row 2\)"),
        ("path,condition\na.wav,0,1\n", r"row 2: 3 cells, but the file has 2 columns"),
        ("path,condition,domain\na.wav,0,here\n", r"row 2: the domain is 'here'; expected one of source, target"),
        ("path,condition,split\na.wav,0,dev\n", r"row 2: the split is 'dev'; expected one of train, test"),
        ("path,condition,group\na.wav,0,\n", r"row 2: the column 'group' is empty"),
        ("path,condition,machine\na.wav,0,../../evil\n", r"row 2: '\.\./\.\./evil' cannot name a machine"),
        ("path,condition,machine\na.wav,0,..\n", r"row 2: '\.\.' cannot name a machine"),
        ('path,condition\n"a.wav,0\n', r"not a row of a CSV file"),
        ("path,condition\n", r"the manifest lists no recording"),
        ("", r"the file is empty"),
    ],
)
def test_wrong_manifests(make, manifest: str, message: str) -> None:
    root = make("a.wav", "b.wav", "sub/c.wav", manifest=manifest)
    with pytest.raises(UserError, match=message) as error:
        by_manifest(root)
    assert "clips.csv" in str(error.value)
    assert sorted(path.name for path in root.iterdir()) == ["a.wav", "b.wav", "clips.csv", "sub"]  # nothing written


@pytest.mark.parametrize(
    "path", ["../outside.wav", "sub/../../outside.wav", "{parent}/outside.wav", "link.wav", "linked/outside.wav"]
)
def test_paths_that_leave_the_root(make, tmp_path: Path, wav: bytes, path: str) -> None:
    root = make("a.wav", "sub/c.wav")
    (tmp_path / "outside.wav").write_bytes(wav)
    (root / "link.wav").symlink_to(tmp_path / "outside.wav")
    (root / "linked").symlink_to(tmp_path)
    cell = path.format(parent=tmp_path)
    (root / "clips.csv").write_text(f"path,condition\na.wav,0\n{cell},0\n")
    with pytest.raises(UserError, match=rf"clips\.csv, row 3: the path '{cell}' leaves the data root"):
        by_manifest(root)


def test_links_within_the_root_are_fine(make, tmp_path: Path) -> None:
    root = make("a.wav", "sub/c.wav", manifest="path,condition\na.wav,0\nlink.wav,0\n")
    (root / "link.wav").symlink_to(root / "sub/c.wav")
    (tmp_path / "alias").symlink_to(root)
    assert list(by_manifest(root)["clip_id"]) == ["a.wav", "link.wav"]
    assert list(by_manifest(tmp_path / "alias")["clip_id"]) == ["a.wav", "link.wav"]


def test_a_manifest_in_another_encoding(make) -> None:
    root = make("a.wav")
    (root / "clips.csv").write_bytes("path,condition,Ort\na.wav,0,Köln\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"clips\.csv: byte \d+ is not UTF-8 text"):
        by_manifest(root)


def test_a_missing_manifest(make) -> None:
    with pytest.raises(UserError, match=r"manifest .*clips\.csv does not exist"):
        by_manifest(make("a.wav"))


def test_a_missing_group_column(make) -> None:
    root = make("a.wav", manifest="path,condition,recording\na.wav,0,r\n")
    with pytest.raises(UserError, match=r"no column 'record' to group by; did you mean 'recording'\?"):
        by_manifest(root, group="record")
    with pytest.raises(UserError, match=r"group 'recording' names a column, but no manifest is given"):
        listed(root, group="recording")


# --- other input that is refused --------------------------------------------------------------------------------------


def test_missing_and_empty_roots(make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        FolderDataset(root=str(tmp_path / "nowhere")).machines()
    with pytest.raises(UserError, match="holds no audio"):
        FolderDataset(root=str(make())).machines()


def test_audio_outside_condition_folders(make) -> None:
    with pytest.raises(UserError, match=r"2 of 2 audio files, such as .*a\.wav, lie in no folder that says"):
        FolderDataset(root=str(make("a.wav", "broken/b.wav"))).machines()
    with pytest.raises(UserError, match=r"2 of 3 audio files"):
        FolderDataset(root=str(make("normal/c.wav"))).machines()


def test_two_folders_that_could_be_the_machine(make) -> None:
    with pytest.raises(UserError, match=r"both of 6dB/fan could be the machine"):
        FolderDataset(root=str(make("6dB/fan/id_00/normal/a.wav"))).machines()


def test_unknown_machine(make) -> None:
    root = make("gearbox/normal/a.wav", "gearbox/normal/b.wav")
    with pytest.raises(UserError, match=r"no machine named 'gearbx'; did you mean 'gearbox'\?"):
        listed(root, "gearbx")


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("empty", r"bad\.wav: the file is empty"),
        ("unreadable", r"bad\.wav: the file cannot be read as audio"),
        ("truncated", r"bad\.wav: the file is truncated \(4000 bytes are missing\)"),
        ("silent", r"bad\.wav: the clip is silent"),
        ("nan", r"bad\.wav: the clip holds NaN"),
        ("short", r"bad\.wav: the clip is too short"),
    ],
)
def test_bad_clips_are_named(make, wav: bytes, flaw: str, message: str) -> None:
    root = make(*NORMAL[:4])
    bad = root / "abnormal" / "bad.wav"
    bad.parent.mkdir()
    if flaw == "empty":
        bad.touch()
    elif flaw == "unreadable":
        bad.write_bytes(b"not audio at all, whatever the name says")
    elif flaw == "truncated":
        bad.write_bytes(wav[:-4000])
    elif flaw == "silent":
        soundfile.write(bad, np.zeros(8000), 16000)
    elif flaw == "nan":
        soundfile.write(bad, np.full(8000, np.nan), 16000, subtype="FLOAT")
    else:
        soundfile.write(bad, np.random.default_rng(0).normal(0, 0.1, 1000), 16000)
    with pytest.raises(UserError, match=message):
        ClipSet.from_files(listed(root))


# --- real recordings --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (SHARED / "mimii_fan").is_dir(), reason="needs the MIMII fan clips beside the project")
def test_real_fan_clips() -> None:
    frame = listed(SHARED / "mimii_fan", "fan", machine="fan")
    assert frame.groupby(["condition", "split"]).size().to_dict() == {
        ("anomaly", "test"): 10,
        ("normal", "test"): 5,
        ("normal", "train"): 5,
    }
    assert set(ClipSet.from_files(frame).frame["num_samples"]) == {160000}


@pytest.mark.skipif(not (SHARED / "mimii_8ch").is_dir(), reason="needs the MIMII valve clips beside the project")
def test_real_clips_of_eight_channels(tmp_path: Path) -> None:
    root = tmp_path / "valve"
    shutil.copytree(SHARED / "mimii_8ch", root)
    (root / "clips.csv").write_text(
        "path,condition,split\nvalve_normal.wav,normal,train\nvalve_abnormal.wav,abnormal,\n"
    )
    frame = by_manifest(root, "valve")
    assert list(frame["split"]) == ["test", "train"]
    first = ClipSet.from_files(frame, channel=0)
    last = ClipSet.from_files(frame, channel=7)
    assert set(first.frame["channels"]) == {8}
    whole, _ = soundfile.read(root / "valve_abnormal.wav", dtype="float32")
    np.testing.assert_array_equal(first.waveform(0), whole[:, 0])
    np.testing.assert_array_equal(last.waveform(0), whole[:, 7])


# --- manifests as spreadsheets write them -----------------------------------------------------------------------------


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.removeprefix("asdbench: warning: ") for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_separators_and_encodings(make, capsys, mark: str, name: str, encoding: str) -> None:
    root = make("a.wav", "b.wav", "c.wav")
    text = "path,condition,Ort\r\na.wav,0,Köln\r\nb.wav,0,Köln\r\nc.wav,1,\r\n".replace(",", mark)
    (root / "clips.csv").write_bytes(text.encode(encoding))
    frame = by_manifest(root)
    assert list(frame["condition"]) == ["normal", "normal", "anomaly"]
    assert frame["attributes"][0] == {"Ort": "Köln"}
    (note,) = warnings(capsys)
    assert note.startswith(f"{root / 'clips.csv'}: ") and f"columns are separated by {name}" in note
    assert ("UTF-16" in note) == encoding.startswith("utf-16")


def test_an_ordinary_manifest_needs_no_note(make, capsys) -> None:
    by_manifest(make("a.wav", "b.wav", manifest="path,condition\na.wav,normal\nb.wav,Abnormal\n"))
    assert warnings(capsys) == []


@pytest.mark.parametrize(
    ("normal", "anomaly"),
    [
        ("ok", "ng"),
        ("OK", "NG"),
        ("healthy", "faulty"),
        ("good", "broken"),
        ("pass", "fail"),
        ("i.O.", "n.i.O."),
        ("0", "1"),
    ],
)
def test_usual_words_are_read_with_one_note(make, capsys, normal: str, anomaly: str) -> None:
    rows = f"path,condition\na.wav,{normal}\nb.wav,{normal}\nc.wav,{anomaly}\n"
    assert list(by_manifest(make("a.wav", "b.wav", "c.wav", manifest=rows))["condition"]) == [
        "normal",
        "normal",
        "anomaly",
    ]
    (note,) = warnings(capsys)
    assert note.endswith(f"'{normal}' is read as normal (2 rows); '{anomaly}' is read as anomaly (1 row)")


def test_words_of_the_user_replace_the_usual_ones(make, capsys) -> None:
    manifest = "path,condition\na.wav,ON_1\nb.wav,on_2\nc.wav,normal\n"
    frame = by_manifest(make("a.wav", "b.wav", "c.wav", manifest=manifest), normal="ON_*", anomaly=["normal"])
    assert list(frame["condition"]) == ["normal", "normal", "anomaly"]
    assert warnings(capsys) == []
    with pytest.raises(UserError, match=r"row 4: the condition is 'normal'; expected one of ON_\*, x"):
        by_manifest(make(), normal="ON_*", anomaly="x")
    with pytest.raises(UserError, match="row 2: 'ON_1' is named by both 'normal' and 'anomaly'"):
        by_manifest(make(), normal="ON_*", anomaly="*")


def test_backslashes_are_slashes_where_no_file_has_such_a_name(make, capsys) -> None:
    manifest = "path,condition\nsub\\a.wav,normal\nsub\\deep\\b.wav,normal\nc\\d.wav,normal\n"
    frame = by_manifest(make("sub/a.wav", "sub/deep/b.wav", "c\\d.wav", manifest=manifest))
    assert list(frame["clip_id"]) == ["c\\d.wav", "sub/a.wav", "sub/deep/b.wav"]
    (note,) = warnings(capsys)
    assert note.endswith("backslashes are read as slashes (2 rows)")
    (make() / "clips.csv").write_text("path,condition\n..\\x.wav,0\n")
    with pytest.raises(UserError, match=r"row 2: the path '\.\./x\.wav' leaves the data root"):
        by_manifest(make())


def test_machines_by_another_column_or_by_folder(make) -> None:
    names = ["plant/fan_1/a.wav", "plant/fan_1/b.wav", "plant/fan_2/c.wav"]
    root = make(*names, manifest="path,condition,asset\n" + "".join(f"{name},0,X{i}\n" for i, name in enumerate(names)))
    assert FolderDataset(root=str(root), manifest="clips.csv", machine="asset").machines() == ["X0", "X1", "X2"]
    assert by_manifest(root, "X0", machine="asset")["attributes"].tolist() == [{}]
    assert FolderDataset(root=str(root), manifest="clips.csv", machine="fan_*").machines() == ["fan_1", "fan_2"]
    assert FolderDataset(root=str(root), manifest="clips.csv", machine="any").machines() == ["any"]
    with pytest.raises(UserError, match=r"row 2: no folder on the way to it fits the setting machine: 'pump_\*'"):
        FolderDataset(root=str(root), manifest="clips.csv", machine="pump_*").machines()
    (root / "clips.csv").write_text(f"path,condition,asset\n{names[0]},0,\n")
    with pytest.raises(UserError, match="row 2: the column 'asset' is empty; expected the machine"):
        FolderDataset(root=str(root), manifest="clips.csv", machine="asset").machines()


# --- folders of any name ----------------------------------------------------------------------------------------------


def test_names_and_globs_of_folders(make, capsys) -> None:
    root = make("good/a.wav", "ON_1/b.wav", "on_2/deep/c.wav", "Propeller/d.wav", "broken blade/e.wav")
    frame = listed(root, normal=["good", "ON_*"], anomaly=["propeller", "broken*"])
    conditions = dict(zip(frame["clip_id"], frame["condition"], strict=True))
    assert conditions == {
        "good/a.wav": "normal",
        "ON_1/b.wav": "normal",
        "on_2/deep/c.wav": "normal",
        "Propeller/d.wav": "anomaly",
        "broken blade/e.wav": "anomaly",
    }
    assert warnings(capsys) == []


def test_folders_that_neither_setting_names_are_told(make, capsys) -> None:
    root = make("good/a.wav", "good/b.wav", "bad/c.wav", "unsure/d.wav", "unsure/e.wav")
    assert len(listed(root, normal="good", anomaly="bad")) == 3
    (note,) = warnings(capsys)
    assert "2 audio files are left out" in note and "(unsure)" in note
    with pytest.raises(UserError, match=r"3 of 5 audio files.*settings 'normal' and 'anomaly'.*found: bad, unsure"):
        listed(root, normal="good")  # what is anomalous was not said
    with pytest.raises(UserError, match=r"5 of 5 audio files"):
        listed(root, normal="fine", anomaly="bd")


def test_a_folder_cannot_be_both(make) -> None:
    with pytest.raises(UserError, match="'good' is named by both 'normal' and 'anomaly'"):
        listed(make("good/a.wav"), normal="good", anomaly="g*")


def test_one_setting_leaves_the_usual_words_of_the_other(make) -> None:
    frame = listed(make("good/a.wav", "good/b.wav", "abnormal/c.wav"), normal="good")
    assert sorted(frame["condition"]) == ["anomaly", "normal", "normal"]


@pytest.mark.parametrize("name", ["normal", "anomaly"])
@pytest.mark.parametrize("value", [[], "", [""], 3])
def test_patterns_that_are_none(make, name: str, value: object) -> None:
    data = {"use": "folder", "root": str(make("normal/a.wav")), name: value}
    with pytest.raises(UserError, match=rf"dataset\.{name}: .*expected a name or glob, or a list of them"):
        load_spec({"name": "x", "dataset": data, "detectors": {"knn": {"use": "logmel_knn"}}})


def test_machines_by_a_glob(make) -> None:
    root = make("site/fan_1/2023/normal/a.wav", "site/fan_1/2024/normal/b.wav", "site/normal/fan_2/c.wav")
    assert FolderDataset(root=str(root), machine="fan_*").machines() == ["fan_1", "fan_2"]
    with pytest.raises(UserError, match=r"both of site/fan_1/2023 could be the machine.*machine: 'fan_\*'"):
        FolderDataset(root=str(root)).machines()
    with pytest.raises(UserError, match="site and fan_1 fit the setting machine"):
        FolderDataset(root=str(root), machine="[sf]*").machines()


def test_examples_of_the_docs_are_settings_of_the_dataset(make) -> None:
    """Each is built; globs and words are those of other tests here."""
    text = (Path(__file__).parents[2] / "docs" / "own-recordings.md").read_text()
    examples = [yaml.safe_load(block)["dataset"] for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(examples) == 3
    for example in examples:
        assert example.pop("use") == "folder"
    names = [f"fan_{i}/{folder}/{n}.wav" for i in (1, 2) for folder in ("good", "ON_1", "broken") for n in range(2)]
    root = make(*names, manifest="path;condition;station\nfan_1/good/0.wav;released;A\nfan_1/broken/0.wav;rework 2;A\n")
    (root / "clips.csv").rename(root / "inspection.csv")
    by_folder, by_manifest, cut = (FolderDataset(**example | {"root": str(root)}) for example in examples)
    assert by_folder.machines() == ["fan_1", "fan_2"]
    assert by_folder.clips("fan_1", root)["condition"].value_counts().to_dict() == {"normal": 4, "anomaly": 2}
    assert by_manifest.machines() == ["A"]
    assert (cut.clip_seconds, cut.hop_seconds) == (10, 5)

"""The catalogue: every collection is complete, consistent and says how it is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from asdbench import UserError, plugins
from asdbench.downloads.catalogue import collection, collections

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
YEARS = [f"dcase{year}" for year in range(2020, 2027)]


def test_all_years_mimii_and_mimii_dg_are_there():
    assert list(collections()) == [*YEARS, "mimii_dg", "mimii"]
    for name in YEARS:
        assert collection(name).parts == ["dev", "eval_train", "eval_test"]


@pytest.mark.parametrize("name", [*YEARS, "mimii_dg", "mimii"])
def test_names_and_places_of_archives_are_their_own(name):
    archives = collection(name).archives
    assert len({archive.file for archive in archives}) == len(archives)
    folders = [archive.folder.split("/") for archive in archives]
    for one in folders:
        assert all(re.fullmatch(r"[\w-]+", step) for step in one)
        assert not any(other != one and other[: len(one)] == one for other in folders), "one folder is inside another"
        assert folders.count(one) == 1
    for archive in archives:
        assert re.fullmatch(r"-?\w+\.zip", archive.file)
        assert archive.machine in archive.file
        assert re.fullmatch(r"([0-9a-f]{32})?", archive.md5)
    sums = [archive.md5 for archive in archives if archive.md5]
    assert len(set(sums)) == len(sums)


def test_checksums_are_known_for_2020_development_and_all_of_2023():
    assert all(archive.md5 for archive in collection("dcase2020").of_part("dev"))
    assert all(archive.md5 for archive in collection("dcase2023").archives)
    assert {archive.machine: archive.md5 for archive in collection("dcase2023").archives}["fan"] == (
        "9348591e96fb0ad499a1e33b082562fc"
    )


@pytest.mark.parametrize(
    ("name", "part", "machine", "record", "file"),
    [
        ("dcase2020", "eval_test", "fan", 3841772, "eval_data_test_fan.zip"),
        ("dcase2021", "dev", "ToyCar", 4562016, "dev_data_ToyCar.zip"),
        ("dcase2023", "dev", "fan", 7882613, "dev_fan.zip"),
        ("dcase2024", "eval_train", "3DPrinter", 11259435, "eval_data_3DPrinter_train_r2.zip"),
        ("dcase2024", "eval_test", "3DPrinter", 11363076, "eval_data_3DPrinter_test.zip"),
        ("dcase2026", "dev", "ToyCar", 19336329, "dev_ToyCar_r2.zip"),
        ("dcase2026", "dev", "fan", 19336329, "dev_fan.zip"),
        ("mimii_dg", "all", "slider", 6529888, "slider.zip"),
        ("mimii", "-6_dB", "pump", 3384388, "-6_dB_pump.zip"),
    ],
)
def test_records_and_names(name, part, machine, record, file):
    (archive,) = collection(name).choose([machine], [part])
    assert (archive.record, archive.file) == (record, file)


@pytest.mark.parametrize("name", [*YEARS, "mimii_dg", "mimii"])
def test_the_spec_line_builds_the_dataset(name):
    chosen = collection(name)
    for line in chosen.spec_lines(f"data/{name}", chosen.parts):
        entry = yaml.safe_load(line)["dataset"]
        assert entry["root"].startswith(f"data/{name}")
        plugins.datasets.get(entry.pop("use"))(**entry)
    assert len(chosen.spec_lines("data", chosen.parts)) == (3 if name == "mimii" else 1)


@pytest.mark.parametrize("name", [*YEARS, "mimii_dg", "mimii"])
def test_the_documentation_says_the_same(name):
    rows = [line.split("|") for line in DOCUMENTATION.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    _, _, records, parts, line, _ = rows[0]
    chosen = collection(name)
    assert [int(record) for record in records.split(",")] == list(dict.fromkeys(a.record for a in chosen.archives))
    assert parts.strip() == "same" or re.findall(r"`([^`]+)`", parts) == chosen.parts
    (entry,) = re.findall(r"`([^`]+)`", line)
    assert f"dataset: {entry}" == chosen.spec_lines(f"data/{name}", chosen.parts)[0]


def test_the_first_part_and_all_its_machines_are_chosen_where_nothing_is_named():
    chosen = collection("dcase2023").choose(None, None)
    assert {archive.part for archive in chosen} == {"dev"}
    assert len(chosen) == 7
    assert [a.file for a in collection("dcase2023").choose(["Vacuum", "fan"], ["dev", "eval_test"])] == [
        "dev_fan.zip",
        "eval_data_Vacuum_test.zip",
    ]


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match="no data set 'dcase2032'; did you mean 'dcase202"):
        collection("dcase2032")
    with pytest.raises(UserError, match="dcase2023 has no part 'evaltest'; did you mean 'eval_test'"):
        collection("dcase2023").choose(None, ["evaltest"])
    with pytest.raises(UserError, match="dcase2023 has no machine 'vlave'; did you mean 'valve'"):
        collection("dcase2023").choose(["vlave"], None)
    with pytest.raises(UserError, match=r"'Vacuum' is not in dev but in eval_train and eval_test; name it with --part"):
        collection("dcase2023").choose(["Vacuum"], None)


def test_spec_lines_are_yaml_whatever_the_root():
    root = "my, {data}: #1"
    (line,) = collection("dcase2024").spec_lines(root, ["dev"])
    assert yaml.safe_load(line) == {"dataset": {"use": "dcase", "root": root, "year": 2024}}

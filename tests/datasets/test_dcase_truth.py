"""Truth files of anonymous evaluation clips."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asdbench import UserError
from asdbench.datasets.dcase.dataset import DcaseDataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two anonymous clips of a machine in section 00; the audio is not read here, so files may be empty."""
    root = tmp_path / "data"
    touch(root, "fan/train/section_00_source_train_normal_0000.wav")
    touch(root, "fan/test/section_00_0000.wav", "fan/test/section_00_0001.wav")
    return root


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root / name


def labels_of_tests(root: Path, machine: str = "fan", **settings: object) -> list[tuple[str, str, dict[str, str]]]:
    frame: pd.DataFrame = DcaseDataset(root=str(root), **settings).clips(machine, Path("unused"))
    chosen = frame[frame["split"] == "test"]
    return list(zip(chosen["condition"], chosen["domain"], chosen["attributes"], strict=True))


DATA = "ground_truth_data/ground_truth_fan_section_00_test.csv"
DOMAIN = "ground_truth_domain/ground_truth_fan_section_00_test.csv"
ATTRIBUTES = "ground_truth_attributes/ground_truth_fan_section_00_test.csv"


def test_without_truth_labels_are_unknown(root: Path) -> None:
    assert labels_of_tests(root) == [("unknown", "unknown", {})] * 2


def test_condition_domain_and_attributes(root: Path) -> None:
    write(root, DATA, "section_00_0000.wav,0\nsection_00_0001.wav,1\n")
    write(root, DOMAIN, "section_00_0001.wav,1\nsection_00_0000.wav,0\n")
    write(root, ATTRIBUTES, "section_00_0000.wav,vel,6\nsection_00_0001.wav,vel,4\n")
    assert labels_of_tests(root) == [("normal", "source", {"vel": "6"}), ("anomaly", "target", {"vel": "4"})]


def test_words_and_a_byte_order_mark(root: Path) -> None:
    write(root, DATA, "\ufeffsection_00_0000.wav,normal\r\nsection_00_0001.wav,anomaly\r\n")
    write(root, DOMAIN, "section_00_0000.wav,source\nsection_00_0001.wav,target\n")
    assert labels_of_tests(root) == [("normal", "source", {}), ("anomaly", "target", {})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("section_00_0000.wav,vel_6_loc_A\nsection_00_0001.wav,noAttribute\n", [{"vel": "6", "loc": "A"}, {}]),
        (
            "section_00_0000.wav,section_00_source_test_normal_0007_vel_6.wav\n"
            "section_00_0001.wav,section_00_target_test_anomaly_0001_vel_4.wav\n",
            [{"vel": "6"}, {"vel": "4"}],
        ),
        ("file_name,attributes\nsection_00_0000.wav,vel_6\n", [{"vel": "6"}, {}]),
    ],
    ids=["text", "full names", "header, one clip"],
)
def test_forms_of_attributes(root: Path, text: str, expected: list[dict[str, str]]) -> None:
    write(root, ATTRIBUTES, text)
    assert [attributes for _, _, attributes in labels_of_tests(root)] == expected


def test_attribute_tables_of_2022(root: Path) -> None:
    write(
        root,
        "evaluator/ground_truth_attributes/fan/attributes_00.csv",
        "file_name,d1p,d1v,file_name_with_attributes\n"
        "fan/test/section_00_0000.wav,car,G2,fan/test/section_00_target_test_anomaly_0011_car_G2_spd_34V.wav\n"
        "fan/test/section_00_0001.wav,car,G1,fan/test/section_00_target_test_normal_0030_car_G1_spd_34V.wav\n",
    )
    assert [attributes for _, _, attributes in labels_of_tests(root)] == [
        {"car": "G2", "spd": "34V"},
        {"car": "G1", "spd": "34V"},
    ]


def test_files_of_2021_are_by_domain(tmp_path: Path) -> None:
    root = tmp_path / "data"
    touch(root, "fan/source_test/section_03_source_test_0000.wav", "fan/target_test/section_03_target_test_0000.wav")
    write(root, "ground_truth_data/ground_truth_fan_section_03_source_test.csv", "section_03_source_test_0000.wav,1\n")
    assert labels_of_tests(root) == [("anomaly", "source", {}), ("unknown", "target", {})]


def test_list_of_2020(tmp_path: Path) -> None:
    root = tmp_path / "data"
    touch(root, "eval_data/fan/test/id_01_00000000.wav", "eval_data/pump/test/id_01_00000000.wav")
    write(
        root,
        "eval_data_list.csv",
        "fan\nid_01_00000000.wav,anomaly_id_01_00000000.wav,1\npump\nid_01_00000000.wav,normal_id_01_00000000.wav,0\n",
    )
    assert labels_of_tests(root) == [("anomaly", "none", {})]
    assert labels_of_tests(root, "pump") == [("normal", "none", {})]


def test_list_of_full_names(root: Path) -> None:
    write(
        root,
        "eval_data_list_2023.csv",
        "fan\nsection_00_0000.wav,section_00_source_test_normal_0000_vel_6.wav\n"
        "section_00_0001.wav,section_00_target_test_anomaly_0000_vel_4.wav\n",
    )
    assert labels_of_tests(root) == [("normal", "source", {"vel": "6"}), ("anomaly", "target", {"vel": "4"})]


def test_truth_folder_elsewhere_is_used_alone(root: Path, tmp_path: Path) -> None:
    write(root, DATA, "section_00_0000.wav,0\nsection_00_0001.wav,0\n")
    write(tmp_path / "evaluator", DATA, "section_00_0000.wav,1\nsection_00_0001.wav,1\n")
    assert [condition for condition, _, _ in labels_of_tests(root, truth=str(tmp_path / "evaluator"))] == [
        "anomaly"
    ] * 2


def test_truth_of_flac_copies(root: Path) -> None:
    for name in ("section_00_0000", "section_00_0001"):
        (root / f"fan/test/{name}.wav").rename(root / f"fan/test/{name}.flac")
    write(root, DATA, "section_00_0000.wav,0\nsection_00_0001.wav,1\n")
    assert [condition for condition, _, _ in labels_of_tests(root)] == ["normal", "anomaly"]


def test_truth_of_absent_machines_and_sections_is_left_alone(root: Path) -> None:
    write(root, "ground_truth_data/ground_truth_pump_section_00_test.csv", "section_00_0000.wav,0\n")
    write(root, "ground_truth_data/ground_truth_fan_section_01_test.csv", "section_01_0000.wav,0\n")
    assert labels_of_tests(root) == [("unknown", "unknown", {})] * 2


def test_renamed_clips_need_no_truth(root: Path) -> None:
    touch(root, "fan/test_rename/section_00_source_test_normal_0000.wav")
    touch(root, "fan/test_rename/section_00_target_test_anomaly_0000.wav")
    write(root, DATA, "section_00_0000.wav,0\nsection_00_0001.wav,1\n")
    assert labels_of_tests(root) == [("normal", "source", {}), ("anomaly", "target", {})]


def test_another_years_truth_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "data"
    touch(root, "dcase2022/fan/test/section_03_0000.wav")
    write(root, "dcase2021/ground_truth_data/ground_truth_fan_section_03_test.csv", "section_03_0000.wav,1\n")
    assert labels_of_tests(root, year=2022) == [("unknown", "unknown", {})]
    assert labels_of_tests(root) == [("anomaly", "unknown", {})]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (DATA, "section_00_0000.wav,0\nsection_00_0001.wav,2\n", r"row 2: '2' is neither 0 nor 1"),
        (DATA, "section_00_0000.wav,0\nsection_00_0001.wav\n", r"row 2: 1 cells, but 2 are expected"),
        (DATA, "section_00_0000.wav,0,1\nsection_00_0001.wav,0\n", r"row 1: 3 cells, but 2 are expected"),
        (DATA, "section_00_0000.wav,0\n\nclip7.wav,0\n", r"row 3: 'clip7.wav' is not the name of a clip"),
        (DATA, "section_00_0000.wav,0\nsection_00_0000.wav,0\n", r"row 2: .* stands there a second time"),
        (DATA, "section_00_0000.wav,0\n", r"no row for the test clip .*section_00_0001\.wav"),
        (
            DATA,
            "section_00_0000.wav,0\nsection_00_0001.wav,0\nsection_00_0002.wav,1\n",
            r"row 3: there is no test clip 'section_00_0002'",
        ),
        (DOMAIN, "section_00_0000.wav,sorce\nsection_00_0001.wav,0\n", r"row 1: 'sorce' .*did you mean 'source'\?"),
        (DOMAIN, "section_00_0000.wav,0\n", r"no row for the test clip"),
        (ATTRIBUTES, "section_00_0000.wav,vel,6,loc\n", r"row 1: attributes come as names and values"),
        (ATTRIBUTES, "section_00_0002.wav,vel,6\n", r"row 1: there is no test clip 'section_00_0002'"),
        ("truth/ground_truth_fan_section_00_test.csv", "section_00_0000.wav,0\n", r"expected it in a folder named"),
        ("eval_data_list.csv", "section_00_0000.wav,normal_id_00_00000000.wav,0\n", r"row 1: a clip stands before"),
        ("eval_data_list.csv", "fan\nsection_00_0000.wav,what.wav,0\n", r"row 2: expected a clip's name and its full"),
        (
            "eval_data_list.csv",
            "fan\nsection_00_0000.wav,section_00_source_test_normal_0000.wav,1\n",
            r"row 2: the clip's condition is 'normal' here but 'anomaly'",
        ),
    ],
)
def test_wrong_truth(root: Path, name: str, text: str, message: str) -> None:
    write(root, name, text)
    with pytest.raises(UserError, match=message) as error:
        labels_of_tests(root)
    assert Path(name).name in str(error.value)


def test_truth_that_is_not_text(root: Path) -> None:
    write(root, DATA, "").write_bytes(b"section_00_0000.wav,\xff\n")
    with pytest.raises(UserError, match=r"ground_truth_fan_section_00_test\.csv: byte 20 is not UTF-8"):
        labels_of_tests(root)


def test_truth_files_that_contradict_each_other(root: Path) -> None:
    write(root, DATA, "section_00_0000.wav,0\nsection_00_0001.wav,1\n")
    write(root, f"again/{DATA}", "section_00_0000.wav,0\nsection_00_0001.wav,0\n")
    with pytest.raises(UserError, match=r"row 2: the clip's condition is '\w+' here but '\w+' in .*row 2"):
        labels_of_tests(root)


def test_truth_that_contradicts_a_name(tmp_path: Path) -> None:
    root = tmp_path / "data"
    touch(root, "fan/test/section_00_source_test_normal_0000.wav")
    write(root, DATA, "section_00_source_test_normal_0000.wav,1\n")
    with pytest.raises(UserError, match=r"row 1: the condition of .* is 'anomaly' here but 'normal' in its name"):
        labels_of_tests(root)


def test_truth_folder_without_truth(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"truth folder .*empty holds no file named ground_truth_"):
        labels_of_tests(root, truth=str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"truth folder .*missing does not exist"):
        labels_of_tests(root, truth=str(tmp_path / "missing"))

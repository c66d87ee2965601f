"""Names of DCASE Task 2 clips, read by pattern."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asdbench.datasets.dcase.names import ClipName, parse_attributes, parse_name, stem

NAMES = {
    # 2022 and later, MIMII DG
    "section_00_source_train_normal_0046_vel_21_loc_A": ("00", "source", "train", "normal", {"vel": "21", "loc": "A"}),
    "section_00_source_test_anomaly_0022_m-n_W": ("00", "source", "test", "anomaly", {"m-n": "W"}),
    "section_01_target_test_normal_0026_volt_1.5_wt_150": (
        "01",
        "target",
        "test",
        "normal",
        {"volt": "1.5", "wt": "150"},
    ),
    "section_00_source_test_normal_0027_vel_730_ac_0.11": (
        "00",
        "source",
        "test",
        "normal",
        {"vel": "730", "ac": "0.11"},
    ),
    "section_00_source_train_normal_0362_car_C2_spd_34V_mic_1": (
        "00",
        "source",
        "train",
        "normal",
        {"car": "C2", "spd": "34V", "mic": "1"},
    ),
    "section_04_source_test_normal_0000_pat_04_panel_bs-c": (
        "04",
        "source",
        "test",
        "normal",
        {"pat": "04", "panel": "bs-c"},
    ),
    # machines without attributes
    "section_00_source_train_normal_0046": ("00", "source", "train", "normal", {}),
    "section_00_target_train_normal_0000_noAttribute": ("00", "target", "train", "normal", {}),
    # 2024: names without the split
    "section_00_source_normal_0003": ("00", "source", "", "normal", {}),
    "section_00_target_anomaly_0003_noAttribute": ("00", "target", "", "anomaly", {}),
    "section_00_source_train_normal_0001_v1pat_A_v2pat_none": (
        "00",
        "source",
        "train",
        "normal",
        {"v1pat": "A", "v2pat": "none"},
    ),
    # 2021: attributes that do not pair up, a bare underscore, evaluation clips that say their domain
    "section_00_source_train_normal_0000_strength_1_ambient": (
        "00",
        "source",
        "train",
        "normal",
        {"raw": "strength_1_ambient"},
    ),
    "section_00_source_train_normal_0000_0_g_25_mm_2000_mV_none": (
        "00",
        "source",
        "train",
        "normal",
        {"raw": "0_g_25_mm_2000_mV_none"},
    ),
    "section_00_target_train_normal_0001_A1Spd6Mic1": ("00", "target", "train", "normal", {"raw": "A1Spd6Mic1"}),
    "section_00_source_train_normal_0000_": ("00", "source", "train", "normal", {}),
    "section_00_source_test_normal_0000": ("00", "source", "test", "normal", {}),
    "section_03_target_test_0199": ("03", "target", "test", "", {}),
    # anonymous evaluation clips
    "section_00_0000": ("00", "", "", "", {}),
    "section_03_test_0000": ("03", "", "test", "", {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_section_names(name: str) -> None:
    section, domain, split, condition, attributes = NAMES[name]
    assert parse_name(name) == ClipName(False, section, domain, split, condition, attributes)


@pytest.mark.parametrize(
    ("name", "section", "condition"),
    [
        ("normal_id_00_00000000", "00", "normal"),
        ("anomaly_id_06_00000123", "06", "anomaly"),
        ("id_01_00000000", "01", ""),
    ],
)
def test_names_of_2020(name: str, section: str, condition: str) -> None:
    assert parse_name(name) == ClipName(True, section, condition=condition)


@pytest.mark.parametrize(
    "name",
    [
        "00000000",  # MIMII
        "section_00",
        "section_0_source_train_normal_0000",
        "section_00_both_train_normal_0000",
        "section_00_noise_supplemental_normal_0000",  # 2025: noise alone
        "section_00_source_supplemental_machine_0000",
        "abnormal_id_00_00000000",
        "my_section_00_0000",
        "",
    ],
)
def test_other_names_are_not_taken_for_clips(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("section_00_0000.wav", "section_00_0000"),
        ("a_ac_0.11.WAV", "a_ac_0.11"),
        ("a_ac_0.11", "a_ac_0.11"),
        ("fan/test/section_00_0000.flac", "section_00_0000"),
        ("fan\\test\\section_00_0000.wav", "section_00_0000"),
    ],
)
def test_stem_keeps_dots_of_values(file_name: str, expected: str) -> None:
    assert stem(file_name) == expected


_NAME = st.text(string.ascii_letters + "-", min_size=1, max_size=6).filter(lambda text: text[0].isalpha())
_VALUE = st.text(string.ascii_letters + string.digits + ".-", min_size=1, max_size=6)


@given(
    attributes=st.dictionaries(_NAME, _VALUE, min_size=1, max_size=4),
    section=st.integers(0, 99),
    domain=st.sampled_from(["source", "target"]),
    split=st.sampled_from(["train", "test"]),
    condition=st.sampled_from(["normal", "anomaly"]),
    index=st.integers(0, 9999),
)
def test_a_name_that_is_put_together_is_read_back(
    attributes: dict[str, str], section: int, domain: str, split: str, condition: str, index: int
) -> None:
    text = "_".join(f"{name}_{value}" for name, value in attributes.items())
    if text.lower() == "noattribute":
        return
    name = f"section_{section:02d}_{domain}_{split}_{condition}_{index:04d}_{text}"
    assert parse_name(name) == ClipName(False, f"{section:02d}", domain, split, condition, attributes)


@given(st.text(string.ascii_letters + string.digits + "._-", max_size=30))
def test_no_attribute_text_is_lost(text: str) -> None:
    attributes = parse_attributes(text)
    kept = text.strip("_")
    spelled_out = "_".join(f"{name}_{value}" for name, value in attributes.items())
    if kept.lower() in ("", "noattribute"):
        assert attributes == {}
    else:
        assert kept in (attributes.get("raw"), spelled_out)


def test_a_repeated_attribute_is_not_overwritten() -> None:
    assert parse_attributes("vel_1_vel_2") == {"raw": "vel_1_vel_2"}

"""Names of score files: what each year's naming says, and names that contradict themselves."""

from __future__ import annotations

import pytest

from asdbench import UserError
from asdbench.challenge.file_names import format_file_name, parse_file_name


@pytest.mark.parametrize(
    ("name", "years", "machine", "section"),
    [
        ("anomaly_score_fan_id_02.csv", [2020], "fan", "02"),
        ("anomaly_score_fan_section_03_source_test.csv", [2021], "fan", "03"),
        ("decision_result_3DPrinter_section_00_test.csv", [2022, 2023, 2024, 2025, 2026], "3DPrinter", "00"),
        ("anomaly_score_DCASE2023T2ToyCar_section_00_test_seed13711_id(0_).csv", [2023], "ToyCar", "00"),
    ],
)
def test_a_name_says_machine_section_and_the_years_that_name_files_so(name, years, machine, section):
    found = parse_file_name(name)
    assert (list(found.years), found.machine, found.section) == (years, machine, section)
    if not found.seed:
        assert format_file_name(found) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anomaly_score_DCASE2027T2fan_section_00_test_seed1_id(0_).csv", "found the year 2027.*in 2022 to 2026"),
        ("anomaly_score_DCASE0000T2fan_section_00_test.csv", "found the year 0.*in 2022 to 2026"),
        ("anomaly_score_DCASE2020T2fan_section_00_test.csv", "found the year 2020.*in 2022 to 2026"),
        ("anomaly_score_DCASE2023T2fan_id_00.csv", "found the year 2023, but files are named so in 2020"),
        ("anomaly_score_fan.csv", "not the name of a score or decision file"),
    ],
)
def test_a_name_that_follows_no_scheme_or_another_years_is_refused(name, words):
    with pytest.raises(UserError, match=words):
        parse_file_name(name)


def test_other_files_are_none():
    assert parse_file_name("results.csv") is None

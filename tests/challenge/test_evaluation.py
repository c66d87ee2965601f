"""Evaluating folders of score files: what is read, how systems are told apart, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from asdbench import UserError
from asdbench.challenge.evaluation import Evaluation, evaluate
from asdbench.challenge.sizes import notes_on_size
from asdbench.cli.dcase import evaluate as evaluate_command
from asdbench.metrics.official import harmonic_mean

FAN = "anomaly_score_fan_section_00_test.csv"
FAN_DECISIONS = "decision_result_fan_section_00_test.csv"


def value(found: Evaluation, column: str, machine: str = "fan", section: str = "00", system: str = "") -> float:
    numbers = found.tables()[0].numbers
    rows = numbers[(numbers["machine"] == machine) & (numbers["section"] == section)]
    rows = rows[rows["system"] == system] if system else rows
    assert len(rows) == 1
    return float(rows.iloc[0][column])


def frame(rows: list[tuple[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["name", "score"])
    table["anomaly"] = table["name"].str.contains("anomaly")
    table["domain"] = np.where(table["name"].str.contains("target"), "target", "source")
    return table


def edit(path: Path, change) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


# --- what is computed


def test_areas_decisions_and_official_score_against_scikit_learn(write_system, tmp_path) -> None:
    written = write_system(tmp_path)
    found = evaluate(tmp_path, year=2023)
    official = []
    for machine, rows in written.items():
        clips = frame(rows)
        expected = {"pAUC": roc_auc_score(clips["anomaly"], clips["score"], max_fpr=0.1)}
        for domain in ("source", "target"):
            mine = clips[clips["anomaly"] | (clips["domain"] == domain)]
            expected[f"AUC ({domain})"] = roc_auc_score(mine["anomaly"], mine["score"])
        official += expected.values()
        for domain in ("source", "target"):
            own = clips[clips["domain"] == domain]
            expected[f"pAUC ({domain})"] = roc_auc_score(own["anomaly"], own["score"], max_fpr=0.1)
            figures = precision_recall_fscore_support(
                own["anomaly"], own["score"] > 0.5, average="binary", zero_division=0
            )
            expected |= {
                f"{n} ({domain})": v for n, v in zip(("precision", "recall", "F1 score"), figures[:3], strict=True)
            }
        for column, number in expected.items():
            assert value(found, column, machine) == pytest.approx(number, abs=1e-12), column
    (system,) = found.systems.values()
    assert system.total == pytest.approx(harmonic_mean(official), abs=1e-12)
    assert system.interval[0] < system.total < system.interval[1]


def test_the_order_of_rows_means_nothing(write_system, tmp_path) -> None:
    write_system(tmp_path)
    before = evaluate(tmp_path, year=2023)
    for path in tmp_path.glob("*.csv"):
        edit(path, lambda lines: lines[7:] + lines[:7][::-1])
    pd.testing.assert_frame_equal(before.tables()[0].numbers, evaluate(tmp_path, year=2023).tables()[0].numbers)


@pytest.mark.parametrize("encode", [lambda t: b"\xef\xbb\xbf" + t.encode(), lambda t: t.replace("\n", "\r\n").encode()])
def test_byte_order_marks_and_windows_line_ends_are_read(write_system, tmp_path, encode) -> None:
    write_system(tmp_path)
    before = value(evaluate(tmp_path, year=2023), "pAUC")
    (tmp_path / FAN).write_bytes(encode((tmp_path / FAN).read_text()))
    assert value(evaluate(tmp_path, year=2023), "pAUC") == before


def test_2020_has_ids_and_no_domains(tmp_path) -> None:
    rng = np.random.default_rng(1)
    by_machine = []
    for machine, ids in {"fan": ("00", "02"), "valve": ("04",)}.items():
        of_ids = []
        for number in ids:
            rows = [
                (f"{condition}_id_{number}_{index:08d}.wav", float(rng.normal() + (condition == "anomaly")))
                for condition in ("normal", "anomaly")
                for index in range(12)
            ]
            lines = "".join(f"{name},{score}\n" for name, score in rows)
            (tmp_path / f"anomaly_score_{machine}_id_{number}.csv").write_text(lines)
            clips = frame(rows)
            of_ids.append([roc_auc_score(clips["anomaly"], clips["score"], max_fpr=fpr) for fpr in (None, 0.1)])
        by_machine.append(np.mean(of_ids))
    found = evaluate(tmp_path)
    assert found.year == 2020
    (system,) = found.systems.values()
    assert system.total == pytest.approx(np.mean(by_machine), abs=1e-12)
    assert system.interval[0] < system.total < system.interval[1]


def test_2021_has_a_file_for_each_domain_and_areas_within_it(write_system, tmp_path) -> None:
    rows = frame(write_system(tmp_path / "made", ("fan",))["fan"])
    expected = []
    for domain, own in rows.groupby("domain"):
        path = tmp_path / "a" / f"anomaly_score_fan_section_00_{domain}_test.csv"
        path.parent.mkdir(exist_ok=True)
        own[["name", "score"]].to_csv(path, header=False, index=False)
        expected += [roc_auc_score(own["anomaly"], own["score"], max_fpr=fpr) for fpr in (None, 0.1)]
    found = evaluate(tmp_path / "a")
    assert found.year == 2021
    (system,) = found.systems.values()
    assert system.total == pytest.approx(harmonic_mean(expected), abs=1e-12)


def test_a_machine_without_anomalies_has_no_value_and_says_why(write_system, tmp_path) -> None:
    write_system(tmp_path, decisions=False)
    edit(tmp_path / FAN, lambda lines: [line for line in lines if "anomaly" not in line])
    found = evaluate(tmp_path, year=2023)
    (system,) = found.systems.values()
    assert math.isnan(system.total)
    assert "fan: no anomalous test clip" in system.reason
    assert system.scored == ("valve",)
    assert not math.isnan(value(found, "pAUC", "valve"))


# --- systems


def test_folders_and_seeds_are_systems_of_their_own(write_system, tmp_path) -> None:
    for folder, seed in (("team_a", 1), ("team_b/second", 2)):
        write_system(tmp_path / folder, seed=seed)
    for seed in (3, 4):
        rows = write_system(tmp_path / "rows", ("fan",), seed)["fan"]
        text = "".join(f"{name},{score}\n" for name, score in rows)
        path = tmp_path / "baseline" / f"anomaly_score_DCASE2023T2fan_section_00_test_seed{seed}_id(0_).csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for path in (tmp_path / "rows").iterdir():
        path.unlink()
    found = evaluate(tmp_path, machines=["fan"])
    assert found.year == 2023
    assert list(found.systems) == ["baseline, seed 3", "baseline, seed 4", "team_a", "team_b/second"]
    for name in found.systems:
        alone = evaluate(tmp_path / name.partition(",")[0], year=2023, machines=["fan"])
        totals = {system.total for system in alone.systems.values()}
        assert found.systems[name].total in totals
    assert len({system.total for system in found.systems.values()}) == 4


def test_a_folder_in_a_folder_of_its_name_is_another_system(write_system, tmp_path) -> None:
    write_system(tmp_path / "a", seed=1)
    write_system(tmp_path / "a" / "a", seed=2)
    assert list(evaluate(tmp_path / "a", year=2023).systems) == [".", "a"]


def test_a_system_without_a_machine_has_no_official_score(write_system, tmp_path) -> None:
    write_system(tmp_path / "a")
    write_system(tmp_path / "b", ("fan",))
    found = evaluate(tmp_path, year=2024)
    assert not math.isnan(found.systems["a"].total)
    assert math.isnan(found.systems["b"].total)
    assert "valve" in found.systems["b"].reason


# --- truth


def anonymous(tmp_path: Path, write_system) -> dict[str, Path]:
    """Scores of anonymous clips, and the truth files of the same clips."""
    rows = write_system(tmp_path / "named", ("fan",), decisions=False)["fan"]
    (tmp_path / "named" / FAN).unlink()
    (tmp_path / "named").rmdir()
    paths = {"scores": tmp_path / "dir" / "system" / FAN}
    name = "ground_truth_fan_section_00_test.csv"
    paths |= {kind: tmp_path / "dir" / f"ground_truth_{kind}" / name for kind in ("data", "domain")}
    texts = dict.fromkeys(paths, "")
    for index, (clip, score) in enumerate(rows):
        own = f"section_00_{index:04d}.wav"
        texts["scores"] += f"{own},{score}\n"
        texts["data"] += f"{own},{int('anomaly' in clip)}\n"
        texts["domain"] += f"{own},{int('target' in clip)}\n"
    for kind, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[kind])
    return paths


def test_truth_files_give_what_the_names_do_not_say(write_system, tmp_path) -> None:
    write_system(tmp_path / "plain", ("fan",), decisions=False)
    expected = evaluate(tmp_path / "plain", year=2023)
    paths = anonymous(tmp_path, write_system)
    beside = evaluate(tmp_path / "dir", year=2023)
    given = evaluate(paths["scores"].parent, truth=tmp_path / "dir", year=2023)
    for found in (beside, given):
        assert value(found, "AUC (target)") == value(expected, "AUC (target)")


def test_the_list_of_2020_is_truth(tmp_path) -> None:
    rng = np.random.default_rng(0)
    scores, listed = "", "fan\n"
    labels, values = [], []
    for index in range(20):
        condition = ("normal", "anomaly")[index % 2]
        values.append(rng.normal() + index % 2)
        labels.append(index % 2)
        scores += f"id_01_{index:08d}.wav,{values[-1]}\n"
        listed += f"id_01_{index:08d}.wav,{condition}_id_01_{index:08d}.wav,{index % 2}\n"
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "anomaly_score_fan_id_01.csv").write_text(scores)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "eval_data_list.csv").write_text(listed)
    found = evaluate(tmp_path)
    assert value(found, "AUC", section="01") == pytest.approx(roc_auc_score(labels, values), abs=1e-12)


def test_truth_that_is_missing_is_asked_for(write_system, tmp_path) -> None:
    paths = anonymous(tmp_path, write_system)
    paths["domain"].unlink()
    with pytest.raises(
        UserError, match=r"section_00_test\.csv, row 1: .*'section_00_0000\.wav'.* its domain; give --truth"
    ):
        evaluate(tmp_path / "dir", year=2023)
    paths["data"].unlink()
    with pytest.raises(
        UserError, match=r"row 1: .* whether it is normal; give --truth a folder that holds ground_truth_data"
    ):
        evaluate(tmp_path / "dir", year=2023)
    with pytest.raises(UserError, match="there is no truth file"):
        evaluate(tmp_path / "dir", truth=paths["scores"].parent, year=2023)


def test_truth_lists_what_has_to_be_scored(write_system, tmp_path) -> None:
    paths = anonymous(tmp_path, write_system)
    edit(paths["scores"], lambda lines: lines[:3] + lines[5:])
    with pytest.raises(
        UserError,
        match=r"section_00_test\.csv: the clip 'section_00_0003', which is in .*data.*row 4, is missing \(and 1 more",
    ):
        evaluate(tmp_path / "dir", year=2023)


def test_a_clip_that_the_truth_does_not_know(write_system, tmp_path) -> None:
    paths = anonymous(tmp_path, write_system)
    edit(paths["scores"], lambda lines: [*lines, "section_00_source_test_normal_0000.wav,1.0\n"])
    with pytest.raises(
        UserError, match=r"row 25: the clip 'section_00_source_test_normal_0000\.wav' is not in the truth"
    ):
        evaluate(tmp_path / "dir", year=2023)


@pytest.mark.parametrize(("kind", "told"), [("data", "condition"), ("domain", "domain")])
def test_truth_that_contradicts_a_name(write_system, tmp_path, kind, told) -> None:
    rows = write_system(tmp_path, ("fan",))["fan"]
    path = tmp_path / f"ground_truth_{kind}" / "ground_truth_fan_section_00_test.csv"
    path.parent.mkdir()
    path.write_text("".join(f"{name},1\n" for name, _ in rows))
    with pytest.raises(
        UserError, match=rf"test\.csv, row 1: the {told} of 'section_00_source_test_normal_0000_vel_0\.wav' is"
    ):
        evaluate(tmp_path, year=2023)


# --- what is refused


BAD_ROWS = {
    "three cells": ("a,1,2\n", r"row 1: 3 cells; expected two, clip and score"),
    "one cell": ("section_00_source_test_normal_0000_vel_0.wav;1\n", r"row 1: 1 cell; expected two"),
    "text": ("section_00_source_test_normal_0000_vel_0.wav,high\n", r"row 1: the score is 'high'; expected a number"),
    "underscore": (
        "section_00_source_test_normal_0000_vel_0.wav,1_0\n",
        r"row 1: the score is '1_0'; expected a number",
    ),
    "nan": ("section_00_source_test_normal_0000_vel_0.wav,nan\n", r"row 1: the score is 'nan'; expected a finite"),
    "inf": ("section_00_source_test_normal_0000_vel_0.wav,-inf\n", r"row 1: the score is '-inf'; expected a finite"),
    "empty cell": ("section_00_source_test_normal_0000_vel_0.wav,\n", r"row 1: the score is ''; expected a number"),
    "no name": (",1\n", r"row 1: there is no clip's name"),
    "header": ("file_name,anomaly_score\n", r"row 1: 'file_name,anomaly_score' is a header; these files have none"),
    "quotes": ('"section_00,1\n', r"row 2[0-9]: not a row of a CSV file"),
    "training clip": ("section_00_source_train_normal_0000.wav,1\n", r"row 1: .* is a training clip"),
    "other section": (
        "section_01_source_test_normal_0000.wav,1\n",
        r"row 1: .* is of section 01; the file's name says 00",
    ),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_bad_row_is_named(write_system, tmp_path, what) -> None:
    line, message = BAD_ROWS[what]
    write_system(tmp_path, decisions=False)
    edit(tmp_path / FAN, lambda lines: [line, *lines[1:]])
    with pytest.raises(UserError, match=message) as caught:
        evaluate(tmp_path, year=2023)
    assert str(tmp_path / FAN) in str(caught.value)


def test_a_clip_that_stands_there_twice(write_system, tmp_path) -> None:
    write_system(tmp_path, decisions=False)
    edit(tmp_path / FAN, lambda lines: [*lines, lines[4]])
    with pytest.raises(UserError, match=r"row 25: the clip '.*' stands there a second time \(first in .*row 5\)"):
        evaluate(tmp_path, year=2023)


@pytest.mark.parametrize("file", [FAN, FAN_DECISIONS])
def test_a_file_without_rows(write_system, tmp_path, file) -> None:
    write_system(tmp_path)
    (tmp_path / file).write_text("\n")
    with pytest.raises(UserError, match=f"{file}: the file is empty"):
        evaluate(tmp_path, year=2023)


def test_a_file_in_another_encoding(write_system, tmp_path) -> None:
    write_system(tmp_path)
    (tmp_path / FAN).write_bytes((tmp_path / FAN).read_text().encode("utf-16"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        evaluate(tmp_path, year=2023)


def test_a_decision_that_is_none(write_system, tmp_path) -> None:
    write_system(tmp_path)
    edit(tmp_path / FAN_DECISIONS, lambda lines: [lines[0].split(",")[0] + ",2\n", *lines[1:]])
    with pytest.raises(
        UserError, match=r"decision_result_fan_section_00_test\.csv, row 1: the decision is 2; expected 0"
    ):
        evaluate(tmp_path, year=2023)


def test_decisions_of_other_clips(write_system, tmp_path) -> None:
    write_system(tmp_path)
    edit(tmp_path / FAN_DECISIONS, lambda lines: lines[:-1])
    with pytest.raises(
        UserError, match=r"decision_result_fan.*: the clip '.*_0005_vel_5.wav', which is in .*, is missing"
    ):
        evaluate(tmp_path, year=2023)
    edit(tmp_path / FAN, lambda lines: lines[:-2])
    with pytest.raises(UserError, match=r"decision_result_fan.*, row 23: the clip '.*' is not in .*anomaly_score_fan"):
        evaluate(tmp_path, year=2023)
    (tmp_path / FAN).unlink()
    with pytest.raises(UserError, match=r"decision_result_fan.*: there are decisions, but no score file"):
        evaluate(tmp_path, year=2023)


def test_a_system_that_lacks_clips_of_another(write_system, tmp_path) -> None:
    write_system(tmp_path / "a")
    write_system(tmp_path / "b", seed=1, decisions=False)
    edit(tmp_path / "b" / FAN, lambda lines: lines[1:])
    with pytest.raises(
        UserError, match=r"b/anomaly_score_fan.*: the clip 'section_00_source_test_normal_0000_vel_0\.wav'"
    ):
        evaluate(tmp_path, year=2023)


@pytest.mark.parametrize(
    "name",
    [
        "anomaly_scores_fan.csv",
        "anomaly_score_fan.csv",
        "anomaly_score_fan_section_00.csv",
        "Decision_Results_fan_section_00_test.csv",
    ],
)
def test_a_wrong_file_name(write_system, tmp_path, name) -> None:
    write_system(tmp_path)
    (tmp_path / name).write_text("a,1\n")
    with pytest.raises(UserError, match=f"{name}: not the name of a score or decision file; expected anomaly_score_"):
        evaluate(tmp_path, year=2023)


def test_other_csv_files_are_left_alone(write_system, tmp_path) -> None:
    write_system(tmp_path)
    for name in ("result_fan.csv", "decisions.csv"):
        (tmp_path / name).write_text("anything\n")
    assert evaluate(tmp_path, year=2023).machines == ("fan", "valve")


def test_files_of_several_years(write_system, tmp_path) -> None:
    write_system(tmp_path)
    (tmp_path / "anomaly_score_fan_id_00.csv").write_text("normal_id_00_00000000.wav,1\n")
    with pytest.raises(UserError, match=r"the name is of 2\d.*evaluate the years apart"):
        evaluate(tmp_path)
    (tmp_path / "anomaly_score_fan_id_00.csv").unlink()
    for year, machine in ((2023, "bearing"), (2024, "slider")):
        name = f"anomaly_score_DCASE{year}T2{machine}_section_00_test_seed1_id(0_).csv"
        (tmp_path / name).write_text("section_00_source_test_normal_0000.wav,1\n")
    with pytest.raises(UserError, match=r"the name is of 2024, that of .*2023.* of 2023; evaluate the years apart"):
        evaluate(tmp_path)


def test_the_same_machine_twice_in_one_folder(write_system, tmp_path) -> None:
    write_system(tmp_path)
    (tmp_path / "anomaly_score_DCASE2023T2fan_section_00_test.csv").write_text((tmp_path / FAN).read_text())
    with pytest.raises(UserError, match="beside it scores; give each system its own folder"):
        evaluate(tmp_path)


def test_clips_of_2020_in_a_file_of_later(write_system, tmp_path) -> None:
    write_system(tmp_path)
    (tmp_path / "anomaly_score_slider_section_00_test.csv").write_text("normal_id_00_00000000.wav,1\n")
    with pytest.raises(UserError, match=r"row 1: 'normal_id_00_00000000\.wav' is the name of a clip of 2020"):
        evaluate(tmp_path)
    (tmp_path / "anomaly_score_slider_section_00_test.csv").unlink()
    (tmp_path / "anomaly_score_slider_id_00.csv").write_text("section_00_source_test_normal_0000.wav,1\n")
    with pytest.raises(UserError, match=r"row 1: 'section_00.*' is a clip of a domain; the file's name is of 2020"):
        evaluate(tmp_path)


def test_the_year(write_system, tmp_path) -> None:
    write_system(tmp_path)
    with pytest.raises(UserError, match=r"do not say the year; give --year \(2022 to 2026\)"):
        evaluate(tmp_path)
    with pytest.raises(UserError, match="the year 2021 was asked for, but this is a name of 2022 to 2026"):
        evaluate(tmp_path, year=2021)


def test_a_folder_without_scores_and_a_machine_without(write_system, tmp_path) -> None:
    with pytest.raises(UserError, match="there is no score file; expected files named anomaly_score_<machine>"):
        evaluate(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        evaluate(tmp_path / "nothing")
    write_system(tmp_path)
    with pytest.raises(UserError, match="no scores of a machine 'fam'; did you mean 'fan'"):
        evaluate(tmp_path, year=2023, machines=["fam"])


# --- the command


def test_the_command_writes_its_tables(write_system, tmp_path) -> None:
    write_system(tmp_path / "mine", ("fan",))
    words = [str(tmp_path / "mine"), "--year", "2025", "--out", str(tmp_path / "tables")]
    done = CliRunner().invoke(evaluate_command, words)
    assert done.exit_code == 0, done.output
    assert "Official score of DCASE 2025 Task 2" in done.stdout
    assert {"results.csv", "results.md", "results.tex", "decisions.csv", "official.csv"} <= {
        path.name for path in (tmp_path / "tables").iterdir()
    }
    expected = evaluate(tmp_path / "mine", year=2025)
    assert (tmp_path / "tables" / "roc_fan.png").read_bytes().startswith(b"\x89PNG")
    curves = pd.read_csv(tmp_path / "tables" / "roc_long.csv")
    fan = curves[curves["domain"] == "target"]
    area = np.trapezoid(fan["tpr"], fan["fpr"])
    assert area == pytest.approx(value(expected, "AUC (target)"), abs=1e-12)
    written = pd.read_csv(tmp_path / "tables" / "official.csv")
    assert written["official_score"].iloc[0] == next(iter(expected.systems.values())).total


def test_the_command_refuses_in_one_sentence_and_writes_nothing(write_system, tmp_path, refusal) -> None:
    write_system(tmp_path / "mine")
    (tmp_path / "mine" / FAN).write_text("section_00_source_test_normal_0000.wav,nan\n")
    sentence = refusal("evaluate", "mine", "--year", "2025", "--out", "tables")
    assert "row 1: the score is 'nan'" in sentence
    assert not (tmp_path / "tables").exists()


def test_sections_with_fewer_clips_than_the_test_set_are_named(write_system, tmp_path, capsys) -> None:
    written = write_system(tmp_path)
    found = evaluate(tmp_path, year=2023)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    machine = sorted(written)[0]
    count = len(written[machine])
    assert f"have scores of fewer clips than the 200 of the test set of 2023, such as {machine}, section 00" in said
    assert f"with {count};" in said
    (row,) = found.tables()[-1].numbers.to_dict("records")
    assert row["n_clips"] == sum(map(len, written.values()))
    assert found.tables()[-1].rows[0][-1] == str(row["n_clips"])


def test_full_sections_and_years_of_other_sizes_have_no_note() -> None:
    full = pd.DataFrame({"machine": "fan", "section": "00"}, index=range(200))
    assert notes_on_size({"a": full}, 2024) == []
    assert len(notes_on_size({"a": full, "b": full[:-1]}, 2024)) == 1
    assert notes_on_size({"a": full[:5]}, 2020) == []

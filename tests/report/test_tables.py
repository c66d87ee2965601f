from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asdbench.compare import Comparison, compare
from asdbench.metrics import detection
from asdbench.report import formats, published, render, tables, write_tables

MACHINES = ["valve", "fan", "slider", "ToyCar"]
METRICS = {"auc": detection.auc, "auc_source": detection.auc_source, "pauc": detection.pauc}
PAPER = published.figures("mimii_gen")
PROBLEMS: list[Mapping[str, Any]] = [
    {"machine": "fan", "detector": None, "source": "effects", "seed": 1, "reason": "disk full"}
]


@pytest.fixture(scope="module")
def scores(make_scores: Any) -> pd.DataFrame:
    """ToyCar has no real anomalies; one generator failed on fan with seed 1."""
    table: pd.DataFrame = make_scores(machines=MACHINES, generators=("effects", "holdout", "model"))
    table = table[~((table["machine"] == "ToyCar") & (table["source"] == "real") & (table["condition"] == "anomaly"))]
    return table[~((table["machine"] == "fan") & (table["source"] == "effects") & (table["seed"] == 1))]


@pytest.fixture(scope="module")
def comparison(scores: pd.DataFrame, test_sets: Any) -> Comparison:
    years = (2020, 2023)
    return compare(scores, test_sets, MACHINES, PROBLEMS, METRICS, resamples=100, years=years, published="mimii_gen")


def row_of(table: tables.Table, *names: str) -> dict[str, str]:
    found = [row for row in table.rows if tuple(row[: len(names)]) == names]
    assert len(found) == 1
    return dict(zip(table.header, found[0], strict=True))


def test_table_iv_has_the_numbers_and_the_published_ones(comparison: Comparison) -> None:
    table = tables.table_iv(comparison)
    assert [tuple(row[:2]) for row in table.rows] == [(m, d) for m in MACHINES for d in ("ae", "knn")]
    row = row_of(table, "slider", "knn")
    gaps = comparison.gaps.set_index(["machine", "detector", "generator"])
    cell = gaps.loc[("slider", "knn", "holdout")]
    assert row["AUC original"] == f"{cell['auc_original']:.4f} ± {cell['auc_original_sd']:.4f}"
    assert row["AUC holdout"] == f"{cell['auc_generated']:.4f} ± {cell['auc_generated_sd']:.4f}"
    assert row["gap holdout (points)"] == f"{100 * cell['gap']:+.2f} ± {100 * cell['gap_sd']:.2f}"
    assert row["95 % interval (points) holdout"] == f"{100 * cell['gap_low']:+.2f} to {100 * cell['gap_high']:+.2f}"
    assert (row["n normal"], row["n anomaly"], row["n holdout"]) == ("20", "20", "20")
    assert row[f"AUC original, {PAPER.label}"] == "0.5588"
    assert row[f"AUC generated, {PAPER.label}"] == "0.6132"
    assert row[f"gap (points), {PAPER.label}"] == "+5.44"
    assert row_of(table, "ToyCar", "ae")[f"AUC original, {PAPER.label}"] == "–"
    numbers = table.numbers.set_index(["machine", "detector"]).loc[("slider", "knn")]
    assert numbers["holdout: gap"] == cell["gap"]
    assert numbers["published_auc_generated"] == 0.6132


def test_published_figures_are_in_no_table_that_did_not_ask_for_them(comparison: Comparison, tmp_path: Path) -> None:
    """A user's own "fan" is not that of a paper."""
    write_tables(comparison, tmp_path / "asked")
    write_tables(replace(comparison, published=None), tmp_path / "plain")
    for folder, found in (("asked", True), ("plain", False)):
        files = {path.name for path in (tmp_path / folder).iterdir() if "ublished" in path.read_text()}
        assert {name.partition(".")[0] for name in files} == ({"table_iv", "gaps", "summary"} if found else set())


def test_undefined_and_partial_cells_carry_footnotes(comparison: Comparison) -> None:
    table = tables.table_iv(comparison)
    notes = [note for note in table.notes if note.startswith("(")]
    assert notes == ["(1) generated: 2 of 3 seeds (seed 1: disk full)", "(2) original: no anomalous test clip"]
    partial = row_of(table, "fan", "ae")
    assert partial["AUC effects"].endswith(" (1)")
    assert partial["gap effects (points)"].endswith(" (1)")
    assert "(" not in partial["AUC original"] + partial["gap holdout (points)"]
    undefined = row_of(table, "ToyCar", "ae")
    assert undefined["AUC original"] == undefined["gap effects (points)"] == "– (2)"
    assert undefined["95 % interval (points) effects"] == "– (2)"
    assert "–" not in undefined["AUC effects"]


def test_no_dash_without_a_footnote(comparison: Comparison) -> None:
    for table in tables.tables(comparison):
        for row in table.rows:
            for name, cell in zip(table.header, row, strict=True):
                if "–" in cell and PAPER.label not in name:
                    number = cell.removeprefix("– ")
                    assert any(note.startswith(number) for note in table.notes), (table.name, name, cell)


def test_summary_says_how_many_machines(comparison: Comparison) -> None:
    table = tables.summary(comparison)
    row = row_of(table, "ae", "effects")
    assert row["machines"].startswith("2 of 4 (")
    note = next(note for note in table.notes if note.startswith(row["machines"][-3:]))
    assert "missing: fan (generated: 2 of 3 seeds (seed 1: disk full)); ToyCar (original: no anomalous" in note
    assert row["Pearson"].startswith("– (")
    paper = row_of(table, "[published]")
    assert (paper["machines"], paper["mean gap (points)"], paper["RMS gap (points)"]) == ("5", "+4.28", "4.64")
    assert (paper["mean relative gap (%)"], paper["Pearson"], paper["Spearman"]) == ("+7.0", "0.994", "1.000")
    assert table.numbers.iloc[-1]["detector"] == PAPER.label


def test_metrics_are_means_over_seeds(comparison: Comparison) -> None:
    table = tables.measures(comparison)
    own = comparison.metrics.query(
        "machine == 'valve' and section == 'all' and detector == 'ae' and source == 'model' and metric == 'pauc'"
    )["value"]
    row = row_of(table, "valve", "all", "ae", "model", "generated")
    assert row["pauc"] == f"{own.mean():.4f} ± {own.std(ddof=1):.4f}"
    partial = row_of(table, "fan", "all", "ae", "effects", "generated")
    number = partial["auc"].split()[-1]
    assert f"{number} mean over 2 of 3 seeds (seed 1: disk full)" in table.notes
    assert {row[1] for row in table.rows} == {"all"}  # one section: its rows would repeat these


def test_sections_have_rows_where_there_are_several(make_scores: Any, test_sets: Any) -> None:
    found = compare(make_scores(machines=("fan",), sections=("00", "01")), test_sets, ["fan"], resamples=10)
    assert {row[1] for row in tables.measures(found).rows} == {"all", "00", "01"}


def test_official_scores(comparison: Comparison) -> None:
    table = tables.official_scores(comparison)
    totals = comparison.official.query("year == 2023 and detector == 'ae' and row == 'total'")
    row = row_of(table, "2023", "ae", "model", "generated")
    own = totals.query("source == 'model'")["value"]
    assert row["official score"] == f"{own.mean():.4f} ± {own.std(ddof=1):.4f}"
    original = row_of(table, "2023", "ae", "real", "original")
    assert original["official score"].startswith("– (")
    assert f"{original['official score'][2:]} ToyCar: no anomalous test clip" in table.notes
    scored = comparison.official.query(
        "year == 2023 and detector == 'ae' and source == 'real' and row == 'total of scored machines'"
    )["value"]
    assert original["score of the scored machines"].startswith(f"{scored.mean():.4f} ± ")
    assert f"{original['score of the scored machines'][-3:]} 3 of 4 machines: valve, fan, slider" in table.notes
    # One seed lacks a machine: neither a mean over two seeds nor one over different machines.
    mixed = row_of(table, "2023", "ae", "effects", "generated")
    assert mixed["official score"].startswith("– (")
    assert mixed["score of the scored machines"].startswith("– (")
    assert mixed["seeds"] == "2 of 3"


def test_clips_say_where_audio_is_repeated(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",))
    scores.loc[scores["source"] == "effects", "content_hash"] = "one"
    table = tables.clips(compare(scores, test_sets, ["fan"], resamples=10))
    row = row_of(table, "fan", "effects")
    assert row["test anomaly"] == "20 (1)"
    note = "57 clips have the same audio as another clip; figures count each audio once"
    assert table.notes == [f"(1) {note}"]
    assert row_of(table, "fan", "real")["train normal"] == "30"


def test_terminal_text_fits_and_says_everything(comparison: Comparison) -> None:
    text = render(comparison)
    assert max(map(len, text.splitlines())) <= formats.WIDTH
    for words in (*MACHINES, "effects", "holdout", "model", "[published]", "disk full", "no anomalous test clip"):
        assert words in text
    assert PAPER.citation.split('"')[1][:40] in text


def test_terminal_text_fits_with_long_names_and_large_sets(make_scores: Any, test_sets: Any) -> None:
    names = ["a_generator_with_a_very_long_name", "another_generator_with_a_very_long_name", "third"]
    scores = make_scores(
        machines=("HoveringDroneXL",), generators=names, clips=120, detectors=("long_detector_name" * 2,)
    )
    text = render(compare(scores, test_sets, ["HoveringDroneXL"], resamples=20, years=(2020, 2023)))
    assert max(map(len, text.splitlines())) <= formats.WIDTH


def test_without_generators_the_metrics_are_shown(make_scores: Any, test_sets: Any) -> None:
    sets = {"original": test_sets["original"]}
    found = compare(make_scores(machines=("fan",), generators=()), sets, ["fan"], resamples=10)
    assert found.gaps.empty
    assert "Metrics, mean" in render(found)


def test_one_seed_has_no_deviation_and_says_so(make_scores: Any, test_sets: Any) -> None:
    found = compare(make_scores(machines=("fan",), seeds=(0,)), test_sets, ["fan"], resamples=20)
    text = render(found)
    assert "±" not in text
    assert "One seed: there is no standard deviation." in text


def test_files_are_the_same_whatever_the_order_of_the_scores(
    scores: pd.DataFrame, test_sets: Any, comparison: Comparison, tmp_path: Path
) -> None:
    shuffled = scores.sample(frac=1, random_state=2)
    settings: dict[str, Any] = {"resamples": 100, "years": (2020, 2023), "published": "mimii_gen"}
    again = compare(shuffled, test_sets, MACHINES, PROBLEMS, METRICS, **settings)
    first, second = write_tables(comparison, tmp_path / "a"), write_tables(again, tmp_path / "b")
    assert [path.name for path in first] == [path.name for path in second]
    assert {path.suffix for path in first} == {".csv", ".md", ".tex"}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_csv_files_read_back_to_the_numbers(comparison: Comparison, tmp_path: Path) -> None:
    write_tables(comparison, tmp_path)
    gaps = pd.read_csv(tmp_path / "gaps_long.csv", keep_default_na=False, na_values={"gap": "", "gap_low": ""})
    for name in ("gap", "gap_low"):
        pd.testing.assert_series_equal(gaps[name], comparison.gaps[name], check_exact=True)
    table_iv = pd.read_csv(tmp_path / "table_iv.csv")
    cell = comparison.gaps.query("machine == 'valve' and detector == 'ae' and generator == 'model'").iloc[0]
    assert table_iv.iloc[0]["model: gap"] == cell["gap"]


def test_several_generated_test_sets_are_told_apart(make_scores: Any, test_sets: Any) -> None:
    sets = test_sets | {"again": {"normal": "real", "anomaly": "generated"}}
    found = compare(make_scores(machines=("fan",)), sets, ["fan"], resamples=20)
    header = tables.table_iv(found).header
    assert "AUC effects [generated]" in header
    assert "AUC effects [again]" in header


def test_nan_is_never_printed(comparison: Comparison) -> None:
    text = render(comparison) + "".join(str(table.rows) for table in tables.tables(comparison))
    assert "nan" not in text.lower().replace("nanmean", "")
    assert math.isnan(comparison.gaps["gap"].min(skipna=False))


def test_floor_and_verdict_stand_beside_the_gap(comparison: Comparison) -> None:
    table = tables.gaps(comparison)
    floor, verdict, gap = (table.header.index(name) for name in ("floor", "verdict", "gap (points)"))
    cells = {(row.detector, row.machine, row.generator): row for row in comparison.gaps.itertuples()}
    seen = set()
    for row in table.rows:
        cell = cells.get((row[0], row[1], row[2]))
        if cell is None or row[gap].startswith("–"):
            continue
        assert row[floor] == f"{100 * cell.floor:.2f}"
        shown = f"too few: {int(cell.n_needed)}" if cell.verdict == "too few" else cell.verdict
        assert row[verdict] == shown
        seen.add(cell.verdict)
    assert seen


def test_agreement_is_a_row_a_measure(comparison: Comparison) -> None:
    table = tables.agreement(comparison)
    assert len(table.rows) == len(comparison.agreement) > 0
    for row, cell in zip(table.rows, comparison.agreement.itertuples(), strict=True):
        assert row[0] == cell.detector
        scale = 100 if cell.measure == "selection regret" else 1
        assert row[3].startswith("–") if cell.value != cell.value else row[3] == f"{scale * cell.value:.3f}"


def test_groups_stand_beside_clips(make_scores: Any, test_sets: Any) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), seeds=(0,), clips=20)
    number = scores["clip_id"].str.extract(r"_(\d+)\.wav$")[0].astype(int) // 10
    group = (scores["condition"] + " " + number.astype(str)).where(scores["source"] == "real", "")
    comparison = compare(scores.assign(group=group), test_sets, ["fan"], resamples=50)
    row = row_of(tables.table_iv(comparison), "fan", "ae")
    assert (row["n normal"], row["n anomaly"], row["n effects"]) == ("20 (2)", "20 (2)", "20")
    table = tables.gaps(comparison)
    cell = comparison.gaps.iloc[0]
    assert table.rows[0][-1] == "20 (2)/20 (2)/20"
    assert row_of(table, "ae", "fan", "effects")["verdict"].startswith(
        f"too few: {int(cell['n_needed'])} ({int(cell['n_needed_groups'])})"
    )
    text = " ".join(table.remarks)
    assert "groups (recordings)" in text and "over groups of clips" in text and "Fewer than 5 groups" in text
    assert tables.clips(comparison).rows[0][3:6] == ["30 (3)", "20 (2)", "20 (2)"]
    assert tables.measures(comparison).rows[0][5:7] == ["20 (2)", "20 (2)"]


def test_numbers_of_clips_without_groups_stand_alone(comparison: Comparison) -> None:
    for table in tables.tables(comparison):
        assert not any("groups" in remark for remark in table.remarks), table.name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p": 0.03, "p_holm": 0.4}, "not after Holm's correction"),
        ({"p": 0.08, "p_holm": 0.4}, "p is above 0.05"),
        ({"p": math.nan, "p_holm": math.nan}, "too few clips to test"),
        ({"p": 0.03, "p_holm": 0.4, "gap_low": -0.01}, ""),
        ({"p": 0.001, "p_holm": 0.01, "verdict": "different"}, ""),
    ],
)
def test_a_verdict_against_the_interval_has_a_footnote(
    make_scores: Any, test_sets: Any, changes: dict[str, Any], words: str
) -> None:
    comparison = compare(make_scores(machines=("fan",), detectors=("ae",)), test_sets, ["fan"], resamples=50)
    changes = {"gap": 0.1, "gap_low": 0.02, "gap_high": 0.2, "verdict": "too few", "reason": ""} | changes
    table = tables.gaps(replace(comparison, gaps=comparison.gaps.assign(**changes)))
    verdict = row_of(table, "ae", "fan", "effects")["verdict"]
    assert verdict.endswith(" (1)") == bool(words)
    assert len(table.notes) == bool(words) and words in "".join(table.notes)


@pytest.mark.parametrize("clips", [19, 20])
def test_a_floor_of_few_clips_is_not_printed(make_scores: Any, test_sets: Any, clips: int) -> None:
    scores = make_scores(machines=("fan",), detectors=("ae",), clips=clips)
    comparison = compare(scores, test_sets, ["fan"], resamples=20)
    floor = row_of(tables.gaps(comparison), "ae", "fan", "effects")["floor"]
    assert floor == ("– (1)" if clips < 20 else f"{100 * comparison.gaps.iloc[0]['floor']:.2f}")

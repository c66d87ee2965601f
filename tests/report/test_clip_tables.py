"""The tables of clips: counts, sound, copies and cost, against frames that were written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench.compare import Comparison, compare
from asdbench.compare.heard import COST_COLUMNS, QUALITY_COLUMNS, ROLE_COLUMNS, Heard, nothing_heard
from asdbench.compare.memorisation import GENERATED, HELD_OUT, NEAREST_COLUMNS
from asdbench.report import clip_tables, formats, published, render, tables
from asdbench.report.table import Table

PAPER = published.figures("mimii_gen")
MACHINES = ["fan", "slider", "robot"]
NAN = math.nan


def quality_row(**own: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("value", "low", "high", "floor", "floor_high", "value_at_floor_n"), NAN)
    row |= dict.fromkeys(("n_real", "n_generated", "vectors_real", "vectors_generated", "dim", "floor_n"), 0)
    row |= {"generator": "model", "seed": 0, "machine": "pooled", "condition": "anomaly", "embedding_name": "toy"}
    return row | {"metric": "fad", "embedding": "toy#1", "remark": ""} | own


QUALITY = [
    quality_row(
        value=2.0, low=1.5, high=2.5, floor=0.4, floor_high=0.6, value_at_floor_n=2.2, n_real=60, n_generated=50
    ),
    quality_row(seed=1, value=4.0, low=3.5, high=4.5, floor=0.8, floor_high=1.0, value_at_floor_n=4.2, n_real=60),
    quality_row(metric="kad", value=10.0, floor=1.0, n_real=60, n_generated=50),
    quality_row(metric="kad", seed=1, value=NAN, n_real=60, n_generated=50, remark="the disk was full"),
    quality_row(metric="fad_infinity", value=1.0),
    quality_row(metric="fad_infinity", seed=1, value=1.0),
    quality_row(condition="normal", value=1.0),
    quality_row(condition="normal", seed=1, value=1.5),
    quality_row(embedding_name="vggish", value=7.0, floor=0.5, value_at_floor_n=9.0),
    quality_row(embedding_name="vggish", seed=1, value=8.0, floor=0.5, value_at_floor_n=9.0),
    quality_row(machine="fan", value=100.0),
    quality_row(machine="fan", seed=1, value=300.0),
    quality_row(generator="other", value=3.0),
]
NEAREST = [
    {"machine": machine, "generator": "model", "seed": 0, "set": which, "condition": "anomaly", "n_training": 40}
    | {"clip_id": f"{which} {n}", "nearest": f"training {n}", "cosine": base + 0.01 * n, "reason": ""}
    for machine, made in (("fan", 0.9), ("slider", 0.2))
    for which, base in ((GENERATED, made), (HELD_OUT, 0.205))
    for n in range(12)
]
COSTS = [
    {"machine": "fan", "generator": "model", "seed": 0, "n_clips": 10, "seconds": 4.0}
    | {"training_seconds": 100.0, "parameters": 2_500_000.0},
    {"machine": "slider", "generator": "model", "seed": 0, "n_clips": 30, "seconds": 8.0}
    | {"training_seconds": 120.0, "parameters": 2_500_000.0},
    {"machine": "fan", "generator": "effects", "seed": 0, "n_clips": 20, "seconds": 1.0}
    | {"training_seconds": NAN, "parameters": NAN},
]
ROLES = [
    {"machine": machine, "role": role, "condition": condition, "n_clips": count}
    for machine, counts in (
        ("fan", (900, 41, 42, 43, 44)),
        ("slider", (800, 31, 32, 33, 34)),
        ("robot", (7, 1, 0, 2, 3)),
    )
    for (role, condition), count in zip(
        [("fit", "normal"), ("pool", "normal"), ("pool", "anomaly"), ("test", "normal"), ("test", "anomaly")],
        counts,
        strict=True,
    )
    if count
]


def heard(
    quality: Sequence[dict[str, Any]] = (),
    nearest: Sequence[dict[str, Any]] = (),
    costs: Sequence[dict[str, Any]] = (),
    roles: Sequence[dict[str, Any]] = (),
) -> Heard:
    return Heard(
        quality=pd.DataFrame(list(quality), columns=list(QUALITY_COLUMNS)),
        nearest=pd.DataFrame(list(nearest), columns=list(NEAREST_COLUMNS)),
        costs=pd.DataFrame(list(costs), columns=list(COST_COLUMNS)),
        roles=pd.DataFrame(list(roles), columns=list(ROLE_COLUMNS)),
    )


@pytest.fixture(scope="module")
def silent(make_scores: Any, test_sets: Any) -> Comparison:
    scores = make_scores(machines=MACHINES, generators=("model", "other"), detectors=("knn",), seeds=(0, 1))
    return compare(scores, test_sets, MACHINES, resamples=20)


@pytest.fixture(scope="module")
def comparison(make_scores: Any, test_sets: Any) -> Comparison:
    scores = make_scores(machines=MACHINES, generators=("model", "other"), detectors=("knn",), seeds=(0, 1))
    known = heard(QUALITY, NEAREST, COSTS, ROLES)
    return compare(scores, test_sets, MACHINES, resamples=20, heard=known, published="mimii_gen")


def row_of(table: Table, *names: str) -> dict[str, str]:
    found = [row for row in table.rows if tuple(row[: len(names)]) == names]
    assert len(found) == 1, (names, table.rows)
    return dict(zip(table.header, found[0], strict=True))


def test_table_ii_counts_clips_beside_those_of_the_paper(comparison: Comparison) -> None:
    table = clip_tables.table_ii(comparison)
    assert [row[0] for row in table.rows] == MACHINES
    names = ("training normal", "training anomalous", "validation normal", "validation anomalous")
    fan = row_of(table, "fan")
    assert [fan[name] for name in names] == ["41", "42", "43", "44"]
    assert fan["detector training"] == "900"
    assert [fan[f"{name}, published"] for name in names] == ["5961", "850", "1458", "202"]
    slider = row_of(table, "slider")  # the paper's slide rail
    assert [slider[f"{name}, published"] for name in names] == ["5983", "1036", "1536", "286"]
    robot = row_of(table, "robot")
    assert [robot[name] for name in names] == ["1", "0", "2", "3"]
    assert [robot[f"{name}, published"] for name in names] == ["–"] * 4
    numbers = table.numbers.set_index("machine")
    assert numbers.loc["fan", "training_anomaly"] == 42 and numbers.loc["fan", "published_validation_normal"] == 1458
    assert math.isnan(numbers.loc["robot", "published_training_normal"])
    assert any("Table II" in remark and "no such machine" in remark for remark in table.remarks)


def test_table_ii_of_other_machines_has_no_published_columns(comparison: Comparison) -> None:
    own = heard(roles=[row for row in ROLES if row["machine"] == "robot"])
    table = clip_tables.table_ii(replace(comparison, heard=own, machines=("robot",)))
    assert not [name for name in table.header if "published" in name]
    assert not any("published" in remark for remark in table.remarks)
    assert table.rows == [["robot", "1", "0", "2", "3", "7"]]


def test_the_papers_table_ii() -> None:
    """The paper's text (section IV-B) has the sums: 35,146 clips for training, 8,787 for evaluation."""
    columns = np.array(list(PAPER.counts.values())).sum(axis=0)
    assert (columns[:2].sum(), columns[2:].sum()) == (35146, 8787)
    assert PAPER.counts_of("Slide_Rail") == PAPER.counts_of("slider") == (5983, 1036, 1536, 286)
    assert PAPER.counts_of("robot") is None


def test_table_iii_has_means_over_seeds_of_all_machines(comparison: Comparison) -> None:
    table = clip_tables.table_iii(comparison)
    row = row_of(table, "model", "anomaly")
    assert row["fad (toy)"] == "3 (3.2/0.6)"
    assert row["fad (vggish)"] == "7.5 (9/0.5)"
    assert row["clips"] == "60/50"
    assert row_of(table, "model", "normal")["fad (toy)"] == "1.25"
    assert row_of(table, "other", "anomaly")["fad (toy)"] == "3"
    numbers = table.numbers[~table.numbers["published"]].set_index(["generator", "condition"])
    assert numbers.loc[("model", "anomaly"), "fad (toy): value"] == 3.0
    assert numbers.loc[("model", "anomaly"), "fad (toy): sd"] == pytest.approx(math.sqrt(2))
    assert numbers.loc[("model", "anomaly"), "fad (toy): floor"] == pytest.approx(0.6)
    assert "fad_infinity (toy)" not in table.header


def test_table_iii_dashes_a_mean_that_lacks_a_seed_and_says_why(comparison: Comparison) -> None:
    table = clip_tables.table_iii(comparison)
    assert row_of(table, "model", "anomaly")["kad (toy)"] == "– (1)"
    assert table.notes[0] == "(1) the disk was full"


def test_table_iii_ends_with_the_published_rows(comparison: Comparison) -> None:
    table = clip_tables.table_iii(comparison)
    assert [tuple(row[:2]) for row in table.rows[-2:]] == [("[published]", "Tango"), ("[published]", "MIMII-Gen")]
    tango, paper = row_of(table, "[published]", "Tango"), row_of(table, "[published]", "MIMII-Gen")
    names = ("fad (vggish)", "kl (passt)", "is (passt)", "clap_real", "clap_generated")
    assert [tango[name] for name in names] == ["6.88", "1.74", "2.57", "0.15", "0.10"]
    assert [paper[name] for name in names] == ["5.43", "1.22", "3.72", "0.15", "0.14"]
    assert tango["fad (toy)"] == paper["kad (toy)"] == ""
    marked = table.numbers[table.numbers["published"]]
    assert list(marked["generator"]) == ["Tango", "MIMII-Gen"]
    assert list(marked["fad (vggish): value"]) == [6.88, 5.43]
    assert any("Table III" in remark for remark in table.remarks)


def test_published_clap_scores_stand_in_the_column_of_the_runs_own(comparison: Comparison) -> None:
    rows = [quality_row(metric="clap_generated", embedding_name="clap", value=0.2)]
    table = clip_tables.table_iii(replace(comparison, heard=heard(rows)))
    assert row_of(table, "[published]", "MIMII-Gen")["clap_generated (clap)"] == "0.14"
    assert "clap_generated" not in table.header


def test_with_one_machine_its_rows_are_the_table(comparison: Comparison) -> None:
    rows = [quality_row(machine="fan", value=100.0), quality_row(machine="fan", seed=1, value=300.0)]
    table = clip_tables.table_iii(replace(comparison, heard=heard(rows), machines=("fan",)))
    assert row_of(table, "model", "anomaly")["fad (toy)"] == "200"


def test_quality_has_a_row_a_figure(comparison: Comparison) -> None:
    table = clip_tables.quality(comparison)
    row = row_of(table, "pooled", "model", "anomaly", "toy", "fad")
    assert (row["value"], row["95 % interval"]) == ("3", "2.5 to 3.5")
    assert (row["floor"], row["floor, 95th percentile"], row["value at the floor's clips"]) == ("0.6", "0.8", "3.2")
    assert row_of(table, "fan", "model", "anomaly", "toy", "fad")["value"] == "200"
    assert row_of(table, "pooled", "model", "anomaly", "toy", "kad")["value"] == "– (1)"
    assert len(table.rows) == len(comparison.heard.quality.groupby(["machine", "generator", "condition",
                                                                    "embedding_name", "metric"]))  # fmt: skip


def test_memorisation_says_who_copies(comparison: Comparison) -> None:
    table = clip_tables.memorisation(comparison)
    assert [row[0] for row in table.rows] == ["fan", "slider"]
    fan, slider = row_of(table, "fan", "model"), row_of(table, "slider", "model")
    assert (fan["nearer"], fan["verdict"], fan["largest"], fan["clips"]) == ("1.000", "copies", "1.01", "40/12/12")
    assert slider["verdict"] == "no sign of copies"
    value = comparison.memorisation.set_index("machine").loc["slider"]
    assert slider["nearer"] == f"{value['nearer']:.3f}" and 0.4 < value["nearer"] < 0.5
    assert slider["95 % interval"] == f"{value['nearer_low']:.3f} to {value['nearer_high']:.3f}"
    assert slider["cosine, generated / held-out"] == f"{0.255:.2f} / {0.26:.2f}"


def test_an_unknown_interval_is_no_verdict(make_scores: Any, test_sets: Any) -> None:
    """One clip of each kind has no interval: nobody can say that there are no copies."""
    few = [row for row in NEAREST if row["machine"] == "fan" and row["clip_id"].endswith(" 0")]
    scores = make_scores(machines=["fan"], generators=("model",), detectors=("knn",), seeds=(0,))
    found = compare(scores, test_sets, ["fan"], resamples=20, heard=heard(nearest=few))
    row = row_of(clip_tables.memorisation(found), "fan", "model")
    assert row["nearer"] == "1.000"
    assert found.memorisation["copies"].iloc[0] is None or math.isnan(found.memorisation["nearer_low"].iloc[0])
    assert (row["verdict"] == "copies") == (found.memorisation["copies"].iloc[0] is True)
    if row["95 % interval"].startswith("–"):
        assert row["verdict"] != "no sign of copies"


def test_memorisation_that_is_not_known_says_why(make_scores: Any, test_sets: Any) -> None:
    rows = [row for row in NEAREST if row["machine"] == "fan"]
    rows.append(
        {"machine": "slider", "generator": "model", "seed": 0, "set": "", "n_training": 0, "reason": "no model"}
    )
    scores = make_scores(machines=MACHINES, generators=("model",), detectors=("knn",), seeds=(0,))
    found = compare(scores, test_sets, MACHINES, resamples=20, heard=heard(nearest=rows))
    table = clip_tables.memorisation(found)
    assert row_of(table, "slider", "model")["nearer"] == "– (1)"
    assert table.notes == ["(1) no model"]


def test_costs_are_sums_over_machines(comparison: Comparison) -> None:
    table = clip_tables.costs(comparison)
    assert table.rows == [["model", "0.3", "120", "2.50"], ["effects", "0.05", "", ""]]
    assert table.numbers["seconds_per_clip"].tolist() == [12 / 40, 1 / 20]
    assert clip_tables.cost_of(comparison.heard.costs.iloc[:0])["seconds_per_clip"] != 0  # NaN: there is none


def test_runs_of_before_have_none_of_these_tables(silent: Comparison) -> None:
    for make in (clip_tables.table_ii, clip_tables.table_iii, clip_tables.quality, clip_tables.memorisation):
        table = make(silent)
        assert not list(table.rows) and not list(table.remarks)
    assert not clip_tables.costs(silent).rows
    assert silent.heard.quality.equals(nothing_heard().quality)
    assert "Sound of generated" not in render(silent)


def test_the_terminal_shows_sound_and_copies(comparison: Comparison) -> None:
    text = render(comparison)
    assert max(map(len, text.splitlines())) <= formats.WIDTH
    assert "Sound of generated against real test clips" in text and "MIMII-Gen" in text
    assert "no sign of copies" in text
    assert "nan" not in text.lower()


def test_no_cell_is_nan_in_any_table(comparison: Comparison) -> None:
    found = {table.name: table for table in tables.tables(comparison)}
    assert {"clips", "table_ii", "table_iii", "quality", "memorisation", "costs"} <= set(found)
    for table in found.values():
        for row in table.rows:
            assert len(row) == len(table.header)
            assert not any("nan" in cell.lower() for cell in row), (table.name, row)

"""Leaderboards: ranks by hand, boards of their own for other clips, and what is left out or not ranked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import asdbench
from asdbench import UserError
from asdbench.results import Results
from asdbench.side_by_side import leaderboard

Run = Callable[..., Results]


@pytest.fixture
def run(spec_data: dict[str, Any], tmp_path: Path) -> Run:
    """Run the effects, at a severity, beside other real anomalies."""

    def once(name: str, severity: float = 0.5, **changes: Any) -> Results:
        generators = {"effects": {"use": "effects", "severity": severity}, "real_holdout": {"use": "real_holdout"}}
        spec = spec_data | {"name": name, "generators": generators, "embeddings": {}} | changes
        return asdbench.run(spec, runs=tmp_path / "runs", workers=0)

    return once


def sizes(results: Results, generator: str) -> float:
    """Mean |gap| over machines, then over detectors, from the cells."""
    gaps = results.gaps[results.gaps["generator"] == generator]
    return float(gaps["gap"].abs().groupby(gaps["detector"]).mean().mean())


def test_generators_are_ranked_by_the_size_of_their_gaps(run: Run, tmp_path: Path) -> None:
    """Two detectors; the same real anomalies in both runs stand there once."""
    detectors = {"knn": {"use": "logmel_knn"}, "far": {"use": "logmel_knn", "k": 6}}
    runs = {severity: run(f"severity_{int(100 * severity)}", severity, detectors=detectors) for severity in (1.0, 0.05)}
    (board,) = leaderboard(tmp_path / "runs")
    assert {results.folder for results in board.runs} == {results.folder for results in runs.values()}
    expected = {(results.folder.name, "effects"): sizes(results, "effects") for results in runs.values()}
    newest = runs[0.05].folder.name  # the newest run comes first
    expected[newest, "real_holdout"] = sizes(runs[0.05], "real_holdout")
    numbers = board.table.numbers
    keys = [(text.partition("/")[2], name) for text, name in zip(numbers["run"], numbers["generator"], strict=True)]
    assert set(keys) == set(expected) and len(keys) == 3
    assert numbers["mean_abs_gap"].tolist() == pytest.approx([expected[key] for key in keys], abs=1e-12)
    assert numbers["mean_abs_gap"].is_monotonic_increasing
    assert numbers["rank"].tolist() == [1, 2, 3] == [int(row[0]) for row in board.table.rows]
    assert expected[runs[0.05].folder.name, "effects"] != expected[runs[1.0].folder.name, "effects"]
    shown = board.table.header.index("mean |gap|")
    assert [row[shown] for row in board.table.rows] == [f"{100 * expected[key]:.2f}" for key in keys]
    kendall = (
        runs[1.0]
        .comparison.agreement.query("detector == 'all' and generator == 'effects' and measure == 'detector kendall'")[
            "value"
        ]
        .iloc[0]
    )
    place = keys.index((runs[1.0].folder.name, "effects"))
    assert numbers["detector_kendall"].iloc[place] == pytest.approx(kendall, nan_ok=True)
    assert all(numbers["mean_abs_gap_low"] <= numbers["mean_abs_gap"] + 1e-12)


def test_other_machines_have_a_board_of_their_own(run: Run, tmp_path: Path) -> None:
    both, alone = run("both"), run("alone", machines=["fan"])
    boards = leaderboard(tmp_path / "runs")
    assert [{results.folder for results in board.runs} for board in boards] in (
        [{both.folder}, {alone.folder}],
        [{alone.folder}, {both.folder}],
    )
    assert [board.table.name for board in boards] == ["leaderboard_1", "leaderboard_2"]
    for board in boards:
        machines = ", ".join(board.runs[0].comparison.machines)
        assert f"dcase: {machines};" in board.table.title and "of 2" in board.table.title
        assert board.table.numbers["rank"].tolist() == [1, 2]


def test_other_clips_detectors_and_seeds_are_not_mixed(run: Run, tmp_path: Path) -> None:
    one = {"machines": ["fan"]}
    run("plain", **one)
    run("detectors", detectors={"knn": {"use": "logmel_knn", "k": 2}}, **one)
    run("clips", holdout={"seed": 5}, **one)
    run("seeds", seeds=[1], **one)
    run("again", 0.9, **one)
    boards = leaderboard(tmp_path / "runs")
    names = sorted(sorted(results.spec["name"] for results in board.runs) for board in boards)
    assert names == [["again", "plain"], ["clips"], ["detectors"], ["seeds"]]
    assert len(boards[0].runs) == 2  # the largest board first


def test_a_generator_without_every_machine_has_no_rank(run: Run, data_root: Path, tmp_path: Path) -> None:
    for path in sorted((data_root / "pump" / "test").glob("*anomaly*"))[1:]:
        path.unlink()  # one is left: for the test, and none for the generators
    run("partial", holdout={"anomaly": 0.4})
    (board,) = leaderboard(tmp_path / "runs")
    rows = {row[1]: row for row in board.table.rows}
    assert rows["effects"][0] == "1"
    assert board.table.rows[-1] is rows["real_holdout"] and rows["real_holdout"][0].startswith("– (")
    number = rows["real_holdout"][0].removeprefix("– ")
    assert any(note.startswith(number) and "pump" in note for note in board.table.notes)
    last = board.table.numbers.iloc[-1]
    assert pd.isna(last["rank"]) and pd.isna(last["mean_abs_gap"]) and "pump" in last["reason"]


def test_sound_is_printed_without_nan_where_there_is_no_floor(run: Run, tmp_path: Path) -> None:
    """Three real anomalies of one machine cannot be halved."""
    results = run("heard", machines=["fan"], embeddings={"stats": {"use": "logmel_stats"}})
    (board,) = leaderboard(tmp_path / "runs")
    column = board.table.header.index("FAD (stats)")
    fad = results.quality.query("generator == 'effects' and condition == 'anomaly' and metric == 'fad'")
    assert fad["floor"].isna().all()
    cells = {row[1]: row[column] for row in board.table.rows}
    assert cells["effects"].split()[0] == f"{fad['value'].mean():.3g}"
    assert not any("nan" in cell.lower() for row in board.table.rows for cell in row)


def test_sound_of_all_machines_is_the_mean_over_seeds(run: Run, tmp_path: Path) -> None:
    results = run("heard", seeds=[0, 1], embeddings={"stats": {"use": "logmel_stats"}})
    (board,) = leaderboard(tmp_path / "runs")
    fad = results.quality.query(
        "generator == 'effects' and condition == 'anomaly' and metric == 'fad' and machine == 'pooled'"
    )
    assert len(fad) == 2
    numbers = board.table.numbers.set_index("generator")
    assert numbers.loc["effects", "fad"] == pytest.approx(fad["value"].mean())
    assert numbers.loc["effects", "fad_floor"] == pytest.approx(fad["floor"].mean())
    cost = results.heard.costs.query("generator == 'effects'")
    expected = cost["seconds"].sum() / cost["n_clips"].sum()
    assert numbers.loc["effects", "seconds_per_clip"] == pytest.approx(expected)


def test_a_run_that_cannot_be_read_is_left_out(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, broken = run("whole", machines=["fan"]), run("broken", 0.9, machines=["fan"])
    (broken.folder / "scores.parquet").write_bytes(b"nothing")
    capsys.readouterr()
    (board,) = leaderboard(tmp_path / "runs")
    assert [results.folder for results in board.runs] == [whole.folder]
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asdbench: warning: left out")]
    assert len(warnings) == 1 and str(broken.folder) in warnings[0]
    (whole.folder / "scores.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="none of the 2 runs"):
        leaderboard(tmp_path / "runs")


def test_folders_without_runs_are_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no run in it" in refusal("leaderboard", "empty")
    assert "no such folder" in refusal("leaderboard", "nowhere")
    (tmp_path / "empty" / "spec.yaml").write_text("name: a spec, and no run\n")
    assert "no run in it" in refusal("leaderboard", "empty")


def test_the_command_prints_and_writes_the_board(run: Run, asdbench_command: Any, tmp_path: Path) -> None:
    results = run("one", machines=["fan"])
    # Runs are found at any depth, and the store among them is none.
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copytree(results.folder.parent, tmp_path / "deep" / "er" / "one")
    done = asdbench_command("leaderboard", tmp_path / "deep", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Ranked by mean |gap|" in " ".join(done.stdout.split())
    assert {"leaderboard.csv", "leaderboard.md", "leaderboard.tex"} == {p.name for p in (tmp_path / "out").iterdir()}
    csv = asdbench_command("leaderboard", tmp_path / "deep", "--csv")
    assert csv.returncode == 0, csv.stderr
    assert csv.stdout == (tmp_path / "out" / "leaderboard.csv").read_text()
    table = pd.read_csv(StringIO(csv.stdout)).set_index("generator")
    for generator in ("effects", "real_holdout"):
        assert table.loc[generator, "mean_abs_gap"] == pytest.approx(sizes(results, generator))
        assert table.loc[generator, "run"] == f"one/{results.folder.name}"
    assert table["rank"].tolist() == [1, 2]

"""Runs side by side."""

from __future__ import annotations

import re
from io import StringIO

import pandas as pd
import pytest

import asdbench
from asdbench.errors import UserError
from asdbench.side_by_side import side_by_side


@pytest.fixture
def run(spec_data, tmp_path):
    def once(name, **changes):
        return asdbench.run(spec_data | {"name": name} | changes, runs=tmp_path / "runs", workers=0)

    return once


def faint(severity):
    return {"effects": {"use": "effects", "severity": severity}, "real_holdout": {"use": "real_holdout"}}


def test_generators_of_two_runs_stand_side_by_side_and_the_same_clips_once(run):
    runs = [run("loud"), run("faint", generators=faint(0.1))]
    table = side_by_side(runs)[0]
    labels = [tuple(row[:3]) for row in table.rows]
    ids = [results.folder.name for results in runs]
    assert labels == [("knn", "effects", ids[0]), ("knn", "real_holdout", ids[0]), ("knn", "effects", ids[1])]
    for row, results in ((table.rows[0], runs[0]), (table.rows[2], runs[1])):
        gaps = results.gaps[results.gaps["generator"] == "effects"]["gap"]
        assert row[table.header.index("mean gap (points)")] == f"{100 * gaps.mean():+.2f}"
        assert row[table.header.index("mean |gap|")] == f"{100 * gaps.abs().mean():.2f}"
        assert sum(map(int, row[table.header.index("verdicts")].split("/"))) == 2
    assert len(table.numbers) == 3


def test_the_second_table_has_choice_sound_and_cost(run):
    detectors = {"knn": {"use": "logmel_knn"}, "far": {"use": "logmel_knn", "k": 6}}
    clips = {"train_source": 8, "train_target": 0, "test_normal": 12, "test_anomaly": 24, "duration": 1}  # of a domain
    enough = {"dataset": {"use": "simulated", **clips}, "machines": ["fan", "valve"], "detectors": detectors}
    runs = [run("loud", **enough), run("faint", generators=faint(0.1), **enough)]
    _, table = side_by_side(runs)
    assert [row[0] for row in table.rows] == ["effects", "real_holdout", "effects"]
    for row, results in ((table.rows[0], runs[0]), (table.rows[2], runs[1])):
        own = dict(zip(table.header, row, strict=True))
        agreement = results.comparison.agreement.query("detector == 'all' and generator == 'effects'")
        agreement = agreement.set_index("measure")["value"]
        assert agreement["selection regret"] >= 0
        assert own["selection regret (points)"] == f"{100 * agreement['selection regret']:.2f}"
        costs = results.heard.costs.query("generator == 'effects'")
        assert own["seconds a clip"] == f"{costs['seconds'].sum() / costs['n_clips'].sum():.3g}"
        assert own["parameters (millions)"] == own["copies"] == ""  # it learns nothing
        fad = results.quality.query("generator == 'effects' and metric == 'fad' and machine == 'pooled'")
        assert own["FAD (logmel_stats)"] == f"{fad['value'].mean():.3g} ({fad['floor'].mean():.2g})"


def test_distances_of_another_embedding_are_no_number_here(run):
    coarse = {"logmel_stats": {"use": "logmel_stats", "bands": 16}}
    runs = [run("fine"), run("coarse", generators=faint(0.1), embeddings=coarse)]
    runs.append(run("deaf", generators=faint(0.2), embeddings={}))
    _, table = side_by_side(runs)
    cells = [row[table.header.index("FAD (logmel_stats)")] for row in table.rows if row[0] == "effects"]
    assert re.fullmatch(r"[\d.]+ \([\d.]+\)", cells[0])
    for cell, words in ((cells[1], "the run has it by logmel_stats"), (cells[2], "the run has no embedding")):
        assert cell.startswith("– (")
        assert words in next(note for note in table.notes if note.startswith(cell.removeprefix("– ")))


def test_controls_stand_beside_the_gaps(run):
    results = run("controlled", controls="all")
    gaps, sound = side_by_side([results])
    controls = results.comparison.controls
    heard = controls[(controls["generator"] == "effects") & (controls["control"] == "generated normal")]["auc"]
    row = next(row for row in gaps.rows if row[1] == "effects")
    assert row[gaps.header.index("artefact AUC")] == f"{heard.mean():.3f}"
    row = next(row for row in sound.rows if row[0] == "effects")
    copies = results.comparison.memorisation["copies"]
    assert row[sound.header.index("copies")] == f"{int(copies.sum())} of {len(copies)}"
    # The cells of the gaps say the same, machine by machine.
    cells = results.gaps[results.gaps["generator"] == "effects"]
    assert cells["artefact_auc"].tolist() == heard.tolist()
    matched = controls[(controls["generator"] == "effects") & (controls["control"] == "matched")]
    assert cells["matched_gap"].tolist() == (matched["auc"] - matched["expected"]).tolist()
    bounds = results.gaps[results.gaps["generator"] != "effects"]
    assert bounds[["artefact_auc", "matched_gap"]].isna().all(axis=None)


def test_the_command_prints_writes_and_gives_numbers(run, asdbench_command, tmp_path):
    runs = [run("loud"), run("faint", generators=faint(0.1))]
    folders = [results.folder for results in runs]
    done = asdbench_command("compare", *folders, "--out", tmp_path / "out", "--csv")
    assert done.returncode == 0, done.stderr
    names = {"comparison", "comparison_of_generators", "curve_effects_severity"}
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("csv", "md", "tex")} | {
        "curve_effects_severity.png",
        "roc_fan_knn.png",
        "roc_pump_knn.png",
    }
    table = pd.read_csv(StringIO(done.stdout))
    assert done.stdout == (tmp_path / "out" / "comparison.csv").read_text()
    expected = [results.gaps.loc[results.gaps["generator"] == "effects", "gap"].mean() for results in runs]
    assert table.loc[table["generator"] == "effects", "mean_gap"].tolist() == pytest.approx(expected)


def test_the_published_table_is_judged(asdbench_command):
    done = asdbench_command("compare")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("[published]"))
    assert "+4.28" in row
    assert "0.994" in row
    assert re.search(r"perfect generator would\s+show a mean \|gap\| of 3\.9", done.stdout)


def test_runs_that_cannot_be_compared_are_refused(run, spec_data, data_root, write_machine, refusal):
    first = run("one")
    with pytest.raises(UserError, match="they test on the machines fan, pump and fan"):
        side_by_side([first, run("two", machines=["fan"])])
    with pytest.raises(UserError, match="their detectors differ"):
        side_by_side([first, run("three", detectors={"knn": {"use": "logmel_knn", "k": 2}})])
    with pytest.raises(UserError, match="test fan on different real clips"):
        side_by_side([first, run("four", holdout={"seed": 5})])
    assert "no such folder" in refusal("compare", "nowhere")


def test_means_over_some_machines_are_a_dash_with_a_reason(run, data_root):
    for path in (data_root / "pump" / "test").glob("*anomaly*"):
        path.unlink()
    table = side_by_side([run("partial")])[0]
    row = table.rows[0]
    assert row[table.header.index("machines")] == "1 of 2"
    assert row[table.header.index("mean gap (points)")].startswith("–")
    assert "pump" in table.notes[0]

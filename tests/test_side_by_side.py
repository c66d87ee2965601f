"""Runs side by side."""

from __future__ import annotations

import re

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
    table = side_by_side(runs)
    labels = [tuple(row[:3]) for row in table.rows[:-1]]
    ids = [results.folder.name for results in runs]
    assert labels == [("knn", "effects", ids[0]), ("knn", "real_holdout", ids[0]), ("knn", "effects", ids[1])]
    for row, results in ((table.rows[0], runs[0]), (table.rows[2], runs[1])):
        gaps = results.gaps[results.gaps["generator"] == "effects"]["gap"]
        assert row[table.header.index("mean gap (points)")] == f"{100 * gaps.mean():+.2f}"
        assert row[table.header.index("mean |gap|")] == f"{100 * gaps.abs().mean():.2f}"
        assert sum(map(int, row[table.header.index("verdicts")].split("/"))) == 2
    assert len(table.numbers) == 3


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
    table = side_by_side([run("partial")])
    row = table.rows[0]
    assert row[table.header.index("machines")] == "1 of 2"
    assert row[table.header.index("mean gap (points)")].startswith("–")
    assert "pump" in table.notes[0]

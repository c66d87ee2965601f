"""Curves over a setting: which runs make one, in which order, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asdbench import UserError
from asdbench.compare.heard import nothing_heard
from asdbench.report import formats
from asdbench.results import Results, compare_scores, write
from asdbench.side_by_side import curves
from asdbench.side_by_side.curves import _order, draw

PNG = b"\x89PNG\r\n\x1a\n"
MakeRun = Callable[..., Results]


@pytest.fixture
def make_run(make_scores: Any, test_sets: Any, tmp_path: Path) -> MakeRun:
    """A run with made-up scores: the generated clips of each generator are raised by a number."""

    def make(
        name: str,
        generators: Mapping[str, tuple[Mapping[str, Any], float]],
        exposure: str = "same-machine",
        **drop: Any,
    ) -> Results:
        scores = make_scores(machines=("fan", "valve"), generators=tuple(generators), seeds=(0,), detectors=("knn",))
        for generator, (settings, raised) in generators.items():
            own = scores["source"] == generator
            # The same noise for every generator, so that the gap follows from what it was raised by.
            for machine in ("fan", "valve"):
                real = (scores["source"] == "real") & (scores["machine"] == machine) & (scores["split"] == "test")
                values = scores.loc[real & (scores["condition"] == "anomaly"), "score"].to_numpy()
                scores.loc[own & (scores["machine"] == machine), "score"] = values + raised
            scores.loc[own, "content_hash"] = [f"{name} {settings} {n}" for n in range(int(own.sum()))]
        scores = scores[~scores["machine"].eq(drop.get("missing")) | scores["source"].eq("real")]
        spec = {
            "name": "made",
            "machines": ["fan", "valve"],
            "plugins": [],
            "seeds": [0],
            "metrics": ["auc"],
            "official": None,
            "exposure": exposure,
            "dataset": {"use": "made-up"},
            "test_sets": test_sets,
            "detectors": {"knn": {"use": "logmel_knn"}},
            "generators": {label: {"use": "toy", **settings} for label, (settings, _) in generators.items()},
            "statistics": {"confidence": 0.95, "resamples": 100, "margin": 0.05},
        }
        made = scores[scores["source"] != "real"]
        generated = made.rename(columns={"source": "generator"})[["machine", "generator", "seed", "content_hash"]]
        heard = nothing_heard()
        results = Results(
            tmp_path / "runs" / "made" / name,
            spec,
            scores,
            generated,
            [],
            compare_scores(spec, scores, [], heard),
        )
        results.folder.parent.mkdir(parents=True, exist_ok=True)
        write(results, {}, {})
        return results

    return make


def test_values_have_their_natural_order() -> None:
    given = ["step-20000", "step-1000", "step-999", None, 10, 2.5, "a", True, "final"]
    assert sorted(given, key=_order) == [None, True, 2.5, 10, "a", "final", "step-999", "step-1000", "step-20000"]
    steps = [f"runs/model-2/checkpoint-{step}" for step in (9, 10, 100, 2000)]
    assert sorted([steps[2], steps[3], steps[0], steps[1]], key=_order) == steps
    assert sorted([[10], [9]], key=_order) == [[9], [10]]


def test_a_curve_goes_through_the_values_in_order(make_run: MakeRun) -> None:
    """Values of one run and of others, in no order; the gaps are those of the runs."""
    first = make_run("one", {"strong": ({"scale": 10.0, "k": 1}, 1.0), "weak": ({"scale": 2.0, "k": 1}, -1.0)})
    second = make_run("two", {"middle": ({"scale": 4.0, "k": 1}, 0.0)})
    (table,) = curves([first, second])
    assert table.name == "curve_toy_scale"
    column = table.header.index("scale")
    assert [row[column] for row in table.rows] == ["2.0", "4.0", "10.0"]
    assert [row[table.header.index("Run")] for row in table.rows] == ["one", "two", "one"]
    expected = []
    for results, generator in ((first, "weak"), (second, "middle"), (first, "strong")):
        gaps = results.gaps.loc[results.gaps["generator"] == generator, "gap"]
        expected.append((gaps.mean(), gaps.abs().mean()))
    assert table.numbers["mean_gap"].tolist() == pytest.approx([mean for mean, _ in expected])
    assert table.numbers["mean_abs_gap"].tolist() == pytest.approx([size for _, size in expected])
    assert expected[0][0] < expected[1][0] == 0 < expected[2][0]
    gap = table.header.index("mean gap (points)")
    assert [row[gap] for row in table.rows] == [f"{100 * mean:+.2f}" for mean, _ in expected]
    row = table.numbers.iloc[0]
    shown = table.rows[0][table.header.index("interval")]
    assert shown == f"{100 * row['mean_gap_low']:+.2f} to {100 * row['mean_gap_high']:+.2f}"


def test_settings_that_differ_beside_it_make_curves_of_their_own(make_run: MakeRun) -> None:
    scales = {f"g{k}{scale}": ({"scale": scale, "k": k}, 0.1 * scale) for k in (1, 2) for scale in (1, 5)}
    tables = {table.name: table for table in curves([make_run("one", scales)])}
    assert set(tables) == {"curve_toy_scale", "curve_toy_k"}
    found = tables["curve_toy_scale"].numbers
    assert found["curve"].tolist() == [1, 1, 2, 2]
    assert found["scale"].tolist() == ["1", "5", "1", "5"]
    assert found["generator"].tolist() == ["g11", "g15", "g21", "g25"]


def test_two_settings_that_differ_at_once_make_no_curve(make_run: MakeRun) -> None:
    assert curves([make_run("one", {"a": ({"scale": 1, "k": 1}, 0.0), "b": ({"scale": 2, "k": 2}, 0.5)})]) == []
    assert curves([]) == []


def test_exposure_is_a_setting_too(make_run: MakeRun) -> None:
    runs = [
        make_run("seen", {"model": ({"scale": 1}, 0.2)}, "same-machine"),
        make_run("unseen", {"model": ({"scale": 1}, -0.4)}, "normal-only"),
    ]
    (table,) = curves(runs)
    assert table.name == "curve_toy_exposure"
    assert [row[1] for row in table.rows] == ["normal-only", "same-machine"]


def test_checkpoints_stand_by_their_steps(make_run: MakeRun, tmp_path: Path) -> None:
    names = {f"g{step}": ({"checkpoint": f"models/step-{step}"}, step / 1e4) for step in (20000, 1000, 9000)}
    (table,) = curves([make_run("one", names)])
    assert [row[1] for row in table.rows] == ["models/step-1000", "models/step-9000", "models/step-20000"]
    draw(table, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


def test_a_machine_that_is_missing_is_a_footnote(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [
        make_run("whole", {"a": ({"scale": 1}, 0.2)}),
        make_run("partial", {"a": ({"scale": 2}, 0.2)}, missing="valve"),
    ]
    (table,) = curves(runs)
    partial = table.rows[1]
    gap = partial[table.header.index("mean gap (points)")]
    assert gap.startswith("– (")
    note = next(note for note in table.notes if note.startswith(gap.removeprefix("– ")))
    assert "missing: valve" in note
    assert math.isnan(table.numbers["mean_gap"].iloc[1])
    draw(table, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_picture_has_the_curve_of_the_table(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    original = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), original(self, *a, **k))[1])
    (table,) = curves([make_run("one", {f"g{n}": ({"scale": n}, 0.3 * n) for n in (3, 1, 2)})])
    draw(table, tmp_path / "curve.png")
    signed, absolute = drawn[0].axes
    line = signed.lines[0]
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == pytest.approx((100 * table.numbers["mean_gap"]).tolist())
    assert list(absolute.lines[0].get_ydata()) == pytest.approx((100 * table.numbers["mean_abs_gap"]).tolist())
    assert signed.get_xlabel() == absolute.get_xlabel() == "scale"


def test_runs_on_other_machines_make_no_curve(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_run("one", {"a": ({"scale": 1}, 0.2)}), make_run("two", {"a": ({"scale": 2}, 0.2)})
    second.spec["detectors"] = {"knn": {"use": "logmel_knn", "k": 7}}
    with pytest.raises(UserError, match="their detectors differ"):
        curves([first, second])


def test_the_command_shows_and_draws_curves(make_run: MakeRun, asdbench_command: Any, tmp_path: Path) -> None:
    runs = [make_run("one", {"a": ({"scale": 1}, 0.2)}), make_run("two", {"a": ({"scale": 2}, -0.2)})]
    folders = [results.folder for results in runs]
    done = asdbench_command("compare", *folders, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "toy: over scale, all else equal" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= formats.WIDTH
    assert (tmp_path / "out" / "curve_toy_scale.png").read_bytes().startswith(PNG)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"comparison.csv", "comparison.md", "comparison_of_generators.tex", "curve_toy_scale.csv"} <= names
    written = pd.read_csv(tmp_path / "out" / "curve_toy_scale.csv")
    expected = [results.gaps["gap"].mean() for results in runs]
    assert written["mean_gap"].tolist() == pytest.approx(expected)
    assert written["scale"].tolist() == [1, 2]

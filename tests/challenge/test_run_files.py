"""What a run writes for others to read is what it has measured."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import asdbench
from asdbench import Detector, UserError, audio, detector
from asdbench.challenge.evaluation import evaluate
from asdbench.challenge.run_files import folder_of, write_run_files
from asdbench.compare import compare
from asdbench.compare.testsets import expand
from asdbench.metrics.threshold import precision_recall_f1
from asdbench.seeding import derive_rng


@pytest.fixture(autouse=True)
def level() -> None:
    @detector("level_for_files")
    class Level(Detector):
        """Loudness."""

        def fit(self, clips):
            self.n_ = len(clips)

        def score(self, clips):
            return [float(wave.std()) + 1e-3 * self.rng().normal() for wave in clips.waveforms()]


def run(spec: dict[str, Any], tmp_path: Path, **changes: Any) -> asdbench.Results:
    spec = copy.deepcopy(spec) | {"detectors": {"level": {"use": "level_for_files"}}} | changes
    return asdbench.run(spec, runs=tmp_path / "runs", workers=0)


def official_of(results: asdbench.Results) -> dict[tuple[str, int], float]:
    rows = results.official[results.official["row"] == "total"]
    return {(row["source"], row["seed"]): row["value"] for row in rows.to_dict("records")}


@pytest.mark.parametrize("year", [2021, 2023])
def test_evaluating_the_files_gives_the_figures_of_the_comparison(make_scores, test_sets, tmp_path, year) -> None:
    scores = make_scores(machines=("fan", "valve"), detectors=("ae",), seeds=(0, 1), sections=("00", "01"))
    compared = compare(scores, test_sets, ["fan", "valve"], years=[year], resamples=100)
    write_run_files(scores, compared.decisions, expand(test_sets, ["effects"]), year, tmp_path / "dcase")
    found = evaluate(tmp_path / "dcase", year=year)
    totals = compared.official[compared.official["row"] == "total"]
    assert len(found.systems) == len(totals) == 4
    for row in totals.to_dict("records"):
        system = found.systems[f"ae/seed_{row['seed']}/{folder_of(row['test_set'], row['source'])}"]
        assert system.total == pytest.approx(row["value"], abs=1e-12)
    # One seed by itself has the interval that the evaluation shows, and decisions are of all sections together.
    alone = scores[scores["seed"] == 0]
    again = compare(alone, test_sets, ["fan", "valve"], years=[year], resamples=100)
    for row in again.official_summary.to_dict("records"):
        system = found.systems[f"ae/seed_0/{folder_of(row['test_set'], row['source'])}"]
        assert system.interval == pytest.approx((row["low"], row["high"]), abs=1e-9)
    for row in again.decisions[again.decisions["domain"] == "all"].to_dict("records"):
        clips = found.clips[f"ae/seed_0/{folder_of(row['test_set'], row['source'])}"]
        mine = clips[clips["machine"] == row["machine"]]
        assert list(mine["decision"] == 1) == list(mine["score"] > row["threshold"])
        figures = precision_recall_f1(mine["condition"] == "anomaly", mine["decision"] == 1)
        assert figures == pytest.approx((row["precision"], row["recall"], row["f1"]), abs=1e-12)


def test_a_run_writes_the_files_that_are_handed_in(spec_data, tmp_path) -> None:
    changes = {"official": 2023, "generators": {"effects": {"use": "effects"}}}
    results = run(spec_data, tmp_path, **changes)
    folder = results.folder / "dcase" / "level" / "seed_0" / "original"
    text = (folder / "anomaly_score_fan_section_00_test.csv").read_bytes().decode()
    assert "\r" not in text
    rows = [line.split(",") for line in text.splitlines()]
    mine = results.scores[(results.scores["machine"] == "fan") & (results.scores["source"] == "real")]
    mine = mine[mine["split"] == "test"]
    assert {name: float(score) for name, score in rows} == {
        clip.rpartition("/")[2]: score for clip, score in zip(mine["clip_id"], mine["score"], strict=True)
    }
    decided = (folder / "decision_result_fan_section_00_test.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in decided] == [name for name, _ in rows]
    assert {line.split(",")[1] for line in decided} <= {"0", "1"}

    found = evaluate(results.folder / "dcase", year=2023)
    for (source, _), total in official_of(results).items():
        name = "original" if source == "real" else f"generated.{source}"
        assert found.systems[f"level/seed_0/{name}"].total == pytest.approx(total, abs=1e-12)

    stray = results.folder / "dcase" / "stray.csv"
    stray.write_text("")
    assert run(spec_data, tmp_path, **changes).folder == results.folder
    assert not stray.exists() and (folder.parent / "generated.effects").is_dir()


def folder_spec(spec: dict[str, Any], root: Path) -> dict[str, Any]:
    """Clips of one machine whose names are the same in two folders and tell nothing."""
    for condition in ("normal", "abnormal"):
        (root / condition).mkdir(parents=True)
        for index in range(16):
            wave = (0.1 + 0.02 * (condition == "abnormal")) * derive_rng("free", condition, index).standard_normal(8000)
            audio.write(root / condition / f"{index:08d}.wav", wave, 16000)
    changes = {"official": 2020, "generators": {"effects": {"use": "effects"}}}
    return spec | {"dataset": {"use": "folder", "root": str(root)}} | changes


def test_clips_with_names_of_their_own_keep_their_paths_and_have_truth_beside(spec_data, tmp_path) -> None:
    results = run(folder_spec(spec_data, tmp_path / "mine"), tmp_path)
    folder = results.folder / "dcase" / "level" / "seed_0" / "original"
    (machine,) = results.spec["machines"]
    rows = (folder / f"anomaly_score_{machine}_id_00.csv").read_text().splitlines()
    assert all(row.startswith(("normal/", "abnormal/")) for row in rows)
    found = evaluate(results.folder / "dcase")
    assert found.year == 2020
    expected = official_of(results)
    for source, name in (("real", "original"), ("effects", "generated.effects")):
        assert found.systems[f"level/seed_0/{name}"].total == pytest.approx(expected[source, 0], abs=1e-12)


def test_clips_of_unknown_condition_are_written_to_be_handed_in(spec_data, data_root, tmp_path) -> None:
    for path in sorted((data_root / "pump" / "test").iterdir()):
        index = int(path.stem.split("_")[5]) + 50 * ("anomaly" in path.stem)
        path.rename(path.with_name(f"section_00_{index:04d}.wav"))
    spec = spec_data | {"machines": ["pump"], "generators": {}, "test_sets": {"original": {"anomaly": "real"}}}
    results = run(spec, tmp_path)
    folder = results.folder / "dcase" / "level" / "seed_0" / "original"
    rows = pd.read_csv(folder / "anomaly_score_pump_section_00_test.csv", header=None)
    assert len(rows) == 12
    assert not (folder / "ground_truth_data").exists()
    with pytest.raises(UserError, match="give --truth"):
        evaluate(results.folder / "dcase", year=2023)

"""Scores that were made elsewhere stand in a benchmark as a detector."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import asdbench
from asdbench import Detector, audio, detector
from asdbench.runner import IncompleteRunError
from asdbench.testing import example_clips


def loudness(path: str | Path) -> float:
    return float(audio.read(path, 16000, 0).std())


@pytest.fixture(autouse=True)
def level() -> None:
    @detector("level_to_look_up")
    class Level(Detector):
        """Loudness."""

        def fit(self, clips):
            self.n_ = len(clips)

        def score(self, clips):
            return [float(wave.std()) for wave in clips.waveforms()]


Run = Callable[..., asdbench.Results]


@pytest.fixture
def run(spec_data, tmp_path) -> Run:
    spec_data["generators"] = {"effects": {"use": "effects"}}
    spec_data |= {"machines": ["fan"], "embeddings": {}, "statistics": {"resamples": 100}}

    def run(**detectors: dict[str, Any]) -> asdbench.Results:
        spec = copy.deepcopy(spec_data) | {"detectors": {"level": {"use": "level_to_look_up"}, **detectors}}
        return asdbench.run(spec, runs=tmp_path / "runs", workers=0)

    return run


def scores_of(results: asdbench.Results, name: str, split: str = "test") -> pd.DataFrame:
    table = results.scores
    table = table[(table["detector"] == name) & (table["split"] == split)]
    return table.sort_values(["source", "clip_id"])[["source", "clip_id", "score"]].reset_index(drop=True)


def score_elsewhere(results: asdbench.Results, data: Path, out: Path) -> None:
    """What somebody without asdbench does: the loudness of every real test clip and of all in generated_clips.csv."""
    out.mkdir()
    name = "anomaly_score_fan_section_00_test.csv"
    real = sorted((data / "fan" / "test").glob("*.wav"))
    (out / name).write_text("".join(f"{path.name},{loudness(path)!r}\n" for path in real))
    store = Path(json.loads((results.folder / "artefacts.json").read_text())["store"])
    made = pd.read_csv(results.folder / "generated_clips.csv")
    for (generator, seed), clips in made.groupby(["generator", "seed"]):
        folder = out / f"seed_{seed}" / str(generator)
        folder.mkdir(parents=True)
        rows = [
            (Path(clip).name, loudness(store / file))
            for clip, file in zip(clips["clip_id"], clips["file"], strict=True)
        ]
        (folder / name).write_text("".join(f"{clip},{score!r}\n" for clip, score in rows))


def test_generated_clips_are_scored_elsewhere_and_come_back(run, data_root, tmp_path) -> None:
    score_elsewhere(run(), data_root, tmp_path / "elsewhere")
    results = run(external={"use": "scores", "path": str(tmp_path / "elsewhere")})
    pd.testing.assert_frame_equal(scores_of(results, "external"), scores_of(results, "level"))
    gaps = results.gaps.set_index("detector")
    assert gaps.loc["external", "gap"] == gaps.loc["level", "gap"]
    assert not len(scores_of(results, "external", "train"))
    decisions = results.comparison.decisions
    assert set(decisions[decisions["detector"] == "external"]["reason"]) == {"no training scores"}


def test_what_a_run_wrote_is_read_back_with_its_decisions(run, tmp_path) -> None:
    first = run()
    results = run(again={"use": "scores", "path": str(first.folder / "dcase" / "level")})
    for split in ("train", "test"):
        pd.testing.assert_frame_equal(scores_of(results, "again", split), scores_of(results, "level", split))
    decisions = results.comparison.decisions.drop(columns=["detector"])
    named = results.comparison.decisions["detector"]
    mine, theirs = (decisions[named == name].reset_index(drop=True) for name in ("again", "level"))
    pd.testing.assert_frame_equal(mine, theirs)


def test_a_changed_file_makes_the_scores_anew(run, data_root, tmp_path) -> None:
    score_elsewhere(run(), data_root, tmp_path / "elsewhere")
    entry = {"use": "scores", "path": str(tmp_path / "elsewhere")}
    before = run(external=entry)
    path = tmp_path / "elsewhere" / "seed_0" / "effects" / "anomaly_score_fan_section_00_test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].split(",")[0] + ",77.0", *lines[1:]]))
    after = run(external=entry)
    assert after.folder != before.folder
    assert (scores_of(after, "external")["score"] == 77.0).sum() == 1


def test_a_clip_that_is_missing_is_named_and_nothing_is_scored(run, data_root, tmp_path) -> None:
    first = run()
    score_elsewhere(first, data_root, tmp_path / "elsewhere")
    tested = scores_of(first, "level")
    lost = tested[tested["source"] == "real"]["clip_id"].iloc[2]
    name = "anomaly_score_fan_section_00_test.csv"
    path = tmp_path / "elsewhere" / name
    path.write_text("\n".join(line for line in path.read_text().splitlines() if Path(lost).name not in line))
    with pytest.raises(IncompleteRunError, match=f"{name}: the clip '{lost}' is missing") as caught:
        run(external={"use": "scores", "path": str(tmp_path / "elsewhere")})
    assert set(scores_of(caught.value.results, "external")["source"]) == {"effects"}


def test_sets_that_nobody_scored_yet_are_left_out_and_the_rest_stands(run, data_root, tmp_path) -> None:
    score_elsewhere(run(), data_root, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "seed_0" / "effects" / "anomaly_score_fan_section_00_test.csv").unlink()
    results = run(external={"use": "scores", "path": str(tmp_path / "elsewhere")})
    gap = results.gaps.set_index("detector").loc["external"]
    assert gap["auc_original"] == results.gaps.set_index("detector").loc["level"]["auc_original"]
    assert "seed_0/effects: there are no scores of clips of effects" in gap["reason"]


FAN = "anomaly_score_fan_section_00_test.csv"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "there is no such folder"),
        ([], "there are no scores of real clips for seed 0"),
        (["anomaly_score_fan_section_0_test.csv"], "not the name of a score or decision file"),
        (["anomaly_score_pump_section_00_test.csv"], "no scores of fan, section 00"),
        ([FAN, f"original/{FAN}"], "both hold scores of real clips"),
        ([FAN, "anomaly_score_fan_id_00.csv"], "both score fan; expected one file"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told(run, tmp_path, files, words) -> None:
    folder = tmp_path / "elsewhere"
    for name in files or []:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("section_00_source_test_normal_0000_vel_0.wav,1\n")
    if files is not None:
        folder.mkdir(exist_ok=True)
    with pytest.raises(asdbench.UserError, match=words):
        run(external={"use": "scores", "path": str(folder)})


def test_who_looks_up_is_told_names_but_no_labels(tmp_path) -> None:
    clips = example_clips(tmp_path, 2, 1, "test")
    seen = clips.for_lookup("effects", 3)
    assert list(seen.frame["clip_id"]) == list(clips.frame["clip_id"])
    assert set(seen.frame["source"]) == {"effects"} and set(seen.frame["split"]) == {"test"}
    assert seen.frame["provenance"].iat[0] == {"seed": 3}
    for hidden in ("condition", "domain"):
        assert set(seen.frame[hidden]) == {"unknown"}
    assert not any(seen.frame["attributes"])


def test_there_is_nothing_to_check(refusal, tmp_path) -> None:
    tmp_path.joinpath("empty").mkdir()
    assert "looks scores up" in refusal("check", "scores", "--set", "path=empty")

"""Scores that were made elsewhere stand in a benchmark as a detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import asdbench
from asdbench import Detector, audio, detector
from asdbench.checking import check_plugin
from asdbench.runner import IncompleteRunError
from asdbench.seeding import derive_rng
from asdbench.testing import example_clips

FAN = "anomaly_score_fan_section_00_test.csv"


def loudness(path: str | Path) -> float:
    return float(audio.read(path, 16000, 0).std())


@pytest.fixture(scope="module", autouse=True)
def level() -> None:
    @detector("level_to_look_up")
    class Level(Detector):
        """Loudness."""

        def fit(self, clips):
            self.n_ = len(clips)

        def score(self, clips):
            return [float(wave.std()) for wave in clips.waveforms()]


Run = Callable[..., asdbench.Results]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with short clips of a fan, in which all runs share a store."""
    home = tmp_path_factory.mktemp("home")
    for split, condition, count in (("train", "normal", 8), ("test", "normal", 6), ("test", "anomaly", 6)):
        for index in range(count):
            domain = ("source", "target")[index % 2]
            path = (
                home / "data" / "fan" / split / f"section_00_{domain}_{split}_{condition}_{index:04d}_vel_{index}.wav"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = derive_rng("clip", split, condition, index)
            audio.write(path, rng.uniform(0.04, 0.06) * rng.standard_normal(8000), 16000)
    return home


@pytest.fixture(scope="module")
def run(home) -> Run:
    def run(**detectors: dict[str, Any]) -> asdbench.Results:
        spec = {
            "name": "small",
            "dataset": {"use": "dcase", "root": str(home / "data")},
            "seeds": [0],
            "detectors": {"level": {"use": "level_to_look_up"}, **detectors},
            "generators": {"effects": {"use": "effects"}},
            "embeddings": {},
            "statistics": {"resamples": 100},
        }
        return asdbench.run(spec, runs=home / "runs", workers=0)

    return run


@pytest.fixture(scope="module")
def first(run) -> asdbench.Results:
    return run()


@pytest.fixture
def elsewhere(home, first, tmp_path) -> Path:
    """Scores that somebody made of all clips of the first run."""
    score_elsewhere(first, home / "data", tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def scores_of(results: asdbench.Results, name: str, split: str = "test") -> pd.DataFrame:
    table = results.scores
    table = table[(table["detector"] == name) & (table["split"] == split)]
    return table.sort_values(["source", "clip_id"])[["source", "clip_id", "score"]].reset_index(drop=True)


def score_elsewhere(results: asdbench.Results, data: Path, out: Path) -> None:
    """What somebody without asdbench does: the loudness of every real test clip and of all in generated_clips.csv."""
    out.mkdir()
    real = sorted((data / "fan" / "test").glob("*.wav"))
    (out / FAN).write_text("".join(f"{path.name},{loudness(path)!r}\n" for path in real))
    store = Path(json.loads((results.folder / "artefacts.json").read_text())["store"])
    made = pd.read_csv(results.folder / "generated_clips.csv")
    for (generator, seed), clips in made.groupby(["generator", "seed"]):
        folder = out / f"seed_{seed}" / str(generator)
        folder.mkdir(parents=True)
        rows = [
            (Path(clip).name, loudness(store / file))
            for clip, file in zip(clips["clip_id"], clips["file"], strict=True)
        ]
        (folder / FAN).write_text("".join(f"{clip},{score!r}\n" for clip, score in rows))


def test_generated_clips_are_scored_elsewhere_and_come_back(run, elsewhere) -> None:
    results = run(external={"use": "scores", "path": str(elsewhere)})
    pd.testing.assert_frame_equal(scores_of(results, "external"), scores_of(results, "level"))
    gaps = results.gaps.set_index("detector")
    assert gaps.loc["external", "gap"] == gaps.loc["level", "gap"]
    assert not len(scores_of(results, "external", "train"))
    decisions = results.comparison.decisions
    assert set(decisions[decisions["detector"] == "external"]["reason"]) == {"no training scores"}

    # A changed file makes the scores anew.
    path = elsewhere / "seed_0" / "effects" / FAN
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].split(",")[0] + ",77.0", *lines[1:]]))
    after = run(external={"use": "scores", "path": str(elsewhere)})
    assert after.folder != results.folder
    assert (scores_of(after, "external")["score"] == 77.0).sum() == 1


def test_what_a_run_wrote_is_read_back_with_its_decisions(run, first) -> None:
    results = run(again={"use": "scores", "path": str(first.folder / "dcase" / "level")})
    for split in ("train", "test"):
        pd.testing.assert_frame_equal(scores_of(results, "again", split), scores_of(results, "level", split))
    decisions = results.comparison.decisions.drop(columns=["detector"])
    named = results.comparison.decisions["detector"]
    mine, theirs = (decisions[named == name].reset_index(drop=True) for name in ("again", "level"))
    pd.testing.assert_frame_equal(mine, theirs)


def test_a_clip_that_is_missing_is_named_and_nothing_is_scored(run, first, elsewhere) -> None:
    tested = scores_of(first, "level")
    lost = tested[tested["source"] == "real"]["clip_id"].iloc[2]
    lines = (elsewhere / FAN).read_text().splitlines()
    (elsewhere / FAN).write_text("\n".join(line for line in lines if Path(lost).name not in line))
    with pytest.raises(IncompleteRunError, match=f"{FAN}: the clip '{lost}' is missing") as caught:
        run(external={"use": "scores", "path": str(elsewhere)})
    assert set(scores_of(caught.value.results, "external")["source"]) == {"effects"}


def test_sets_that_nobody_scored_yet_are_left_out_and_the_rest_stands(run, elsewhere) -> None:
    (elsewhere / "seed_0" / "effects" / FAN).unlink()
    results = run(external={"use": "scores", "path": str(elsewhere)})
    gap = results.gaps.set_index("detector").loc["external"]
    assert gap["auc_original"] == results.gaps.set_index("detector").loc["level"]["auc_original"]
    assert "seed_0/effects: there are no scores of clips of effects" in gap["reason"]


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


def test_there_is_nothing_to_check(tmp_path) -> None:
    with pytest.raises(asdbench.UserError, match="'scores' looks scores up"):
        check_plugin("scores", [f"path={str(tmp_path)!r}"])

"""The training of the built-in model, cut down to a few short clips and steps, gives the same losses twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from asdbench.cli import main
from asdbench.generators.mimii_gen.shipped import model_place

SMALL = {
    "extends": str(Path(model_place("mini")).with_name("mini_training.yaml")),
    "dataset": {"test_normal": 5, "test_anomaly": 5, "duration": 2.1},
    "machines": ["valve"],
    "holdout": {"normal": 0.7, "anomaly": 0.7},
    "generators": {
        "mini": {
            "preset": "smoke",
            "codec_steps": 3,
            "clip_steps": 3,
            "steps": 3,
            "batch_size": 2,
            "validate_every": 1,
            "save_every": 3,
        }
    },
}


def losses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Training and validation loss of each step of a training in an empty folder."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    line = ["train", "generator", "mini", "--spec", "small.yaml", "--out", "model"]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    state = json.loads(next(Path("model/training/checkpoints").glob("step-*/state.json")).read_text())
    history = state["record"]["history"]
    return [(row["loss"], row["validation_loss"]) for row in history]


def test_the_training_of_the_built_in_model_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, again = (losses(tmp_path / name, monkeypatch) for name in ("one", "again"))
    assert len(set(one)) == 3  # a step changes the weights
    assert one == again

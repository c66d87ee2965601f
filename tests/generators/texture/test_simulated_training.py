"""The training of the built-in model, cut down to a few short clips, gives the same files twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from asdbench.cli import main
from asdbench.generators.texture.shipped import model_folder

SPEC = model_folder("simulated").with_name("simulated_training.yaml")
SMALL = {
    "extends": str(SPEC),
    "dataset": {"test_normal": 6, "test_anomaly": 6, "duration": 1.0},
    "machines": ["fan", "valve"],
    "holdout": {"normal": 0.7, "anomaly": 0.7},
}


def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Files of a model that was trained in an empty folder."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    done = CliRunner().invoke(main, ["train", "generator", "simulated", "--spec", "small.yaml", "--out", "model"])
    assert done.exit_code == 0, done.output
    return {path.name: path.read_bytes() for path in Path("model").iterdir() if path.is_file()}


def test_the_training_of_the_built_in_model_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, again = (files(tmp_path / name, monkeypatch) for name in ("one", "again"))
    assert "events.safetensors" in one
    assert one == again


def test_the_built_in_model_was_trained_on_clips_of_this_spec() -> None:
    spec = yaml.safe_load(SPEC.read_text())
    per_kind = spec["dataset"]["test_normal"] * 2 * spec["holdout"]["normal"]
    card = (model_folder("simulated") / "README.md").read_text()
    for machine in spec["machines"]:
        for condition in ("normal", "anomaly"):
            assert f"| {machine} | {condition} | {per_kind:.0f} |" in card

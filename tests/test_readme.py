"""The README keeps its word: its files are used as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(marker: str) -> str:
    """The code under an HTML comment."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no block {marker!r}"
    return found[1]


@pytest.fixture
def readme_file(tmp_path):
    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_text(block(f"file: {name}"))
        return path

    return write


def results_folder(done: subprocess.CompletedProcess[str], folder: Path) -> Path:
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.rpartition("Results: ")[2].strip()


def test_the_first_screen_has_two_commands_that_set_themselves_up():
    screen = README.splitlines()[:25]
    commands = [line for line in screen if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert "asdbench run benchmarks/mimii_gen.yaml" in commands[0]
    assert "-m pytest" in commands[1]
    for command in commands:
        assert "pip install" in command
        assert "-c constraints.txt" in command
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_the_detector_is_one_file_of_25_lines_that_keeps_its_contract(readme_file, asdbench_command):
    path = readme_file("frame_gmm.py")
    assert len(path.read_text().splitlines()) <= 25
    done = asdbench_command("check", path.name)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("  ok ") >= 8


def test_the_detector_runs_in_a_benchmark_as_the_readme_says(readme_file, asdbench_command, tmp_path):
    path = readme_file("frame_gmm.py")
    command = re.search(r"^asdbench (run mimii_gen --plugin frame_gmm\.py .*)$", README, re.MULTILINE)
    assert command
    assert path.exists()
    small = ["machines=[valve]", "seeds=[0]", "dataset.train_source=12", "dataset.train_target=2"]
    small += ["dataset.test_normal=4", "dataset.test_anomaly=4", "dataset.duration=2"]
    small += ["detectors.ae_mse.epochs=1", "detectors.ae_mahalanobis.epochs=1"]
    words = command[1].split()
    for setting in small:
        words += ["--set", setting]
    gaps = pd.read_csv(results_folder(asdbench_command(*words), tmp_path) / "gaps_long.csv")
    assert gaps.loc[gaps["detector"] == "gmm", "auc_generated"].notna().all()


def test_the_python_example_runs(tmp_path, monkeypatch):
    small = ["dataset.duration=2", "dataset.train_target=2", "dataset.test_normal=8", "dataset.test_anomaly=8"]
    small += ["detectors.ae_mse.epochs=1", "detectors.ae_mahalanobis.epochs=1"]
    example = block("run").replace('"seeds=[0]"', ", ".join(f'"{setting}"' for setting in ["seeds=[0]", *small]))
    example = example.replace("dataset.train_source=60", "dataset.train_source=20")
    (tmp_path / "example.py").write_text(example + "\nassert str(same) == str(results)\nassert len(gaps) == 18\n")
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "auc_original" in done.stdout


def test_the_folder_spec_runs_on_real_recordings(readme_file, asdbench_command, shared_data, tmp_path):
    (tmp_path / "recordings").symlink_to(shared_data / "mimii_fan")
    done = asdbench_command("run", readme_file("my_machine.yaml").name, "--set", "detectors.ae.epochs=3")
    gaps = pd.read_csv(results_folder(done, tmp_path) / "gaps_long.csv")
    assert set(gaps["generator"]) == {"effects", "real_holdout"}
    assert gaps["auc_original"].between(0, 1).all()
    assert gaps["auc_generated"].between(0, 1).all()


def test_the_dcase_spec_runs_on_real_recordings(readme_file, asdbench_command, shared_data, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dcase2023").symlink_to(shared_data / "dcase2023_sample")
    words = ["--set", "detectors.ae_mse.epochs=2", "--set", "detectors.ae_mahalanobis.epochs=2"]
    done = asdbench_command("run", readme_file("my_dcase.yaml").name, *words)
    gaps = pd.read_csv(results_folder(done, tmp_path) / "gaps_long.csv").set_index("machine")
    without = {"slider", "ToyCar"}
    assert set(gaps.index[gaps["auc_original"].isna()]) == without
    assert gaps.loc[sorted(without), "reason"].str.contains("no anomalous test clip").all()
    assert gaps.loc[~gaps.index.isin(without), "auc_original"].between(0, 1).all()
    assert "no anomalous test clip" in done.stdout


def test_every_command_and_field_is_in_the_readme():
    from asdbench.cli import main
    from asdbench.spec import Spec

    for command in main.commands:
        assert f"`asdbench {command}" in README, command
    for field in Spec.model_fields:
        assert f"`{field}`" in README, field

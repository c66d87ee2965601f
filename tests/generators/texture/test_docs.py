"""What docs/texture.md says is so: its spec, commands, settings and numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from asdbench.cli import main
from asdbench.generators.texture import bands, groups, learning, spells
from asdbench.generators.texture.captioned import FEWEST
from asdbench.generators.texture.event_states import _STATES
from asdbench.generators.texture.generator import Texture

PAGE = (Path(__file__).parents[3] / "docs" / "texture.md").read_text()


def run(line: str) -> str:
    done = CliRunner().invoke(main, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_commands_work_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = "train_source=6 train_target=2 test_normal=0 test_anomaly=6 duration=1"
    run(f"asdbench simulate recordings --machines fan {' '.join(f'--set {each}' for each in few.split())}")
    block = re.search(r"```sh\n(asdbench train generator texture .*?)```", PAGE, re.DOTALL)
    assert block is not None
    train, generate = block[1].strip().splitlines()
    run(train)
    assert (tmp_path / "models" / "texture" / "README.md").is_file()
    run(generate.replace("--count 50", "--count 2"))
    made = pd.read_csv(tmp_path / "generated" / "generated_clips.csv")
    assert len(made) == 4 and made["caption"].str.contains("fan").all()


def test_the_spec_of_the_page_names_settings_that_there_are() -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    for settings in yaml.safe_load(block[1])["generators"].values():
        assert settings.pop("use") == "texture"
        Texture(**settings)
    for name in ("bands", "clip_seconds", "fault", "severity", "vague_captions", "checkpoint"):
        assert f"`{name}" in PAGE and name in Texture.setting_names()


def test_numbers_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"at most {groups._DIRECTIONS} principal directions" in text
    assert f"Up to {_STATES} states a machine" in text
    assert f"up to {learning._CLIPS} training clips" in text
    assert f"for {100 * learning._MOVING:.0f} % of the time" in text
    assert f"more than {bands._DEAD * 8.686:.1f} dB" in text
    assert FEWEST == 4 and "four normal clips are needed, and no anomalies or four" in text
    assert spells._MEMORY == 3 and "depends on the three before it" in text
    assert "Of a tenth of the training anomalies (`vague_captions`)" in text and Texture().vague_captions == 0.1

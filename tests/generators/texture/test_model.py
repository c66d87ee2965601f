"""The folder of a model: read back, and every damage named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from asdbench import UserError
from asdbench.generators.texture.generator import Texture
from asdbench.generators.texture.model import INDEX, TextureModel, count_parameters


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def test_it_is_read_back(model: Path, tmp_path: Path) -> None:
    loaded = TextureModel.load(model)
    assert set(loaded.num_samples) == {"fan", "valve"}
    loaded.save(tmp_path)
    for name in (INDEX, "levels.safetensors", "events.safetensors"):
        assert (tmp_path / name).read_bytes() == (model / name).read_bytes()


def test_a_clip_depends_on_the_arguments_alone(model: Path) -> None:
    names, caption = ("valve", "normal"), "A normal valve."
    waves = [TextureModel.load(model).make(names, caption, seed, 16000) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(waves[0], waves[1])
    assert not np.array_equal(waves[0], waves[2])


def test_parameters_are_all_numbers_of_the_model(model: Path) -> None:
    files = ("levels.safetensors", "events.safetensors")
    expected = sum(array.size for file in files for array in load_file(model / file).values())
    assert count_parameters(model) == Texture(checkpoint=str(model)).parameters(None) == expected


def edited(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (INDEX, lambda content: content[:-9], "texture.json: the texture model is damaged"),
        (INDEX, lambda content: b"[]", "found list, expected an object"),
        (INDEX, edited(format=2), "format is 2, expected 1, the format that this version reads"),
        (INDEX, edited(transform={"bands": 7, "sample_rate": 16000}), "bands is 7, expected an even number"),
        (INDEX, edited(num_samples={"fan": 0}), "expected the usual length of the clips of each machine"),
        (INDEX, edited(transform={"bands": 256, "sample_rate": 16000}), "found levels of 512 bands, expected 256"),
        ("levels.safetensors", lambda content: content[:-9], "the levels of the texture model are damaged"),
        ("events.safetensors", lambda content: b"", "the events of the texture model are damaged"),
    ],
)
def test_damaged_files_are_named(copy: Path, name: str, damage: Callable[[bytes], bytes], message: str) -> None:
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    with pytest.raises(UserError, match=re.escape(message)):
        TextureModel.load(copy)


def test_missing_levels_and_damaged_heads_are_named(copy: Path) -> None:
    (copy / "levels.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"levels\.safetensors: the texture model is damaged"):
        count_parameters(copy)
    (copy / "levels.safetensors").unlink()
    with pytest.raises(UserError, match=r"levels\.safetensors: the levels of the texture model are damaged"):
        TextureModel.load(copy)


def test_a_record_that_lost_rows_or_is_gone_is_noticed(copy: Path) -> None:
    generator = Texture(checkpoint=str(copy))
    lines = (copy / "training_clips.csv").read_text().splitlines(keepends=True)
    (copy / "training_clips.csv").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"training_clips\.csv: the table of training clips is damaged"):
        generator.learnt_from(None)
    (copy / "fingerprints.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"fingerprints\.safetensors: the fingerprints are damaged"):
        generator.fingerprints(None)
    (copy / "training_clips.json").unlink()
    assert generator.learnt_from(None) is None


@pytest.mark.parametrize(
    "use",
    [
        lambda generator: generator.inputs(),
        lambda generator: generator.learnt_from(None),
        lambda generator: generator.fingerprints(None),
        lambda generator: generator.parameters(None),
    ],
)
def test_folders_that_hold_something_else_are_named(tmp_path: Path, use: Callable[[Texture], Any]) -> None:
    generator = Texture(checkpoint=str(tmp_path))
    with pytest.raises(UserError, match=rf"{tmp_path} holds no texture\.json, expected the folder of a trained"):
        use(generator)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds model_index\.json, a diffusion model, expected the folder of a"):
        use(generator)
    with pytest.raises(UserError, match=r"checkpoint: no such folder: '.*none', expected 'simulated' or that of"):
        use(Texture(checkpoint=str(tmp_path / "none")))

"""Latents of height 1, a text encoder that is built from the captions, and weights in half precision."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from asdbench import ClipSet, Training, UserError, plugins
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline

CAPTIONS = ["A recording of a normal fan in the source domain.", "An anomalous slide rail, with a no grease fault."]


@pytest.fixture(scope="module")
def settings(tiny_codec: Path) -> dict[str, Any]:
    return {
        "codec": str(tiny_codec),
        "bandwidth": 9.6,
        "channels": 128,
        "normalization": "dimension",
        "text_encoder": "new",
        "train_text_encoder": True,
        "preset": "mini",
        "weights": "float16",
        "steps": 3,
        "batch_size": 4,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    folder = tmp_path_factory.mktemp("clips")
    dataset = plugins.datasets.get("simulated")(
        train_source=6, train_target=0, test_normal=0, test_anomaly=4, duration=1.0
    )
    tables = [dataset.clips(machine, folder) for machine in ("fan", "slider")]
    return ClipSet.from_files(pd.concat(tables, ignore_index=True), 16000)


def train(clips: ClipSet, folder: Path, settings: dict[str, Any]) -> Path:
    for name in ("out", "work", "cache"):
        (folder / name).mkdir(parents=True)
    generator = MimiiGen(**settings)
    generator.seed = 5
    generator.train(Training(clips, folder / "out", folder / "work", folder / "cache"))
    return folder / "out"


@pytest.fixture(scope="module")
def model(clips: ClipSet, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(clips, tmp_path_factory.mktemp("model") / "a", settings)


def test_one_seed_gives_the_same_losses_and_weights_twice(
    model: Path, clips: ClipSet, settings: dict[str, Any], tmp_path: Path
) -> None:
    again = train(clips, tmp_path / "b", settings)
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        first, second = load_file(model / name), load_file(again / name)
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    texts = [next(out.parent.glob("work/checkpoints/*3/state.json")).read_text() for out in (model, again)]
    losses = [re.findall(r'"loss": *([0-9.e-]+)', text) for text in texts]
    assert losses[0] == losses[1] and losses[0]


def test_weights_take_half_the_space_and_kernels_meet_no_padding(model: Path) -> None:
    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    kernels = [weight for weight in weights.values() if weight.ndim == 4 and weight.shape[2] == 3]
    assert kernels and not any(kernel[:, :, (0, 2)].any() for kernel in kernels)


def test_both_loaders_read_half_precision(model: Path) -> None:
    first = MimiiGenPipeline.from_pretrained(str(model))(CAPTIONS, seeds=[1, 2], num_inference_steps=3)
    second = load_pipeline(str(model))(CAPTIONS, seeds=[1, 2], num_inference_steps=3)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    alone = load_pipeline(str(model))(CAPTIONS[1:], seeds=[2], num_inference_steps=3)
    assert np.abs(alone[0] - first[1]).max() < 1e-5 * np.abs(first[1]).max()


def test_half_precision_is_asked_for_without_a_word(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="diffusers"):
        pipeline = load_pipeline(str(model), dtype=torch.bfloat16)
    assert pipeline.unet.dtype == torch.bfloat16
    assert not caplog.messages


def test_an_encoder_that_is_built_from_the_captions_has_no_identity_of_its_own(settings: dict[str, Any]) -> None:
    inputs = MimiiGen(**settings).inputs()
    assert set(inputs) == {"codec", "text_encoder"} and inputs["text_encoder"] == "new"
    assert len(inputs["codec"]) == 32


def test_a_new_encoder_that_is_not_trained_is_refused(clips: ClipSet, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text_encoder is 'new', .* needs 'train_text_encoder: true'"):
        train(clips, tmp_path / "c", settings | {"train_text_encoder": False})

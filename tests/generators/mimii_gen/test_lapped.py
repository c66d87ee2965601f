"""A model without pretrained parts: lapped transform, modelled levels, a text encoder of its own."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from asdbench import ClipSet, Request, Training, UserError, plugins
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.latents.events import FILE as EVENTS
from asdbench.generators.mimii_gen.latents.lapped_transform import LappedTransform
from asdbench.generators.mimii_gen.latents.levels import FILE, LevelModel
from asdbench.generators.mimii_gen.latents.tones import tonal_part, tonal_shares
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
from asdbench.generators.shared.captions import Description

BANDS = 128
SETTINGS = {
    "codec": f"mdct:{BANDS}",
    "channels": LevelModel(BANDS, []).shape_dim,
    "normalization": "dimension",
    "levels": "modelled",
    "events": "modelled",
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
        train_source=40, train_target=0, test_normal=0, test_anomaly=12, duration=1.0
    )
    tables = [dataset.clips(machine, folder) for machine in ("fan", "slider")]
    return ClipSet.from_files(pd.concat(tables, ignore_index=True), 16000)


def train(clips: ClipSet, folder: Path, **others: object) -> Path:
    for name in ("out", "work", "cache"):
        (folder / name).mkdir(parents=True)
    generator = MimiiGen(**SETTINGS | others)
    generator.seed = 5
    generator.train(Training(clips, folder / "out", folder / "work", folder / "cache"))
    return folder / "out"


@pytest.fixture(scope="module")
def model(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(clips, tmp_path_factory.mktemp("model") / "a")


def made(model: Path, clips: ClipSet, condition: str = "anomaly", **others: object) -> list[np.ndarray]:
    labels = {"machine": "fan", "section": "00", "domain": "source", "condition": condition, "attributes": {"m-n": "W"}}
    rows = pd.DataFrame([{"clip_id": f"row/{index}", **labels} for index in range(3)])
    generator = MimiiGen(**{"checkpoint": str(model), "inference_steps": 10, "device": "cpu"} | others)
    generator.seed = 3
    return [clip.waveform for clip in generator.generate(Request(rows, clips, 16000))]


def level(waveforms: list[np.ndarray]) -> float:
    return float(np.mean([20 * np.log10(np.sqrt(np.mean(np.square(one)))) for one in waveforms]))


def test_levels_are_right_after_three_steps(model: Path, clips: ClipSet) -> None:
    real = clips.where(machine="fan", condition="normal", domain="source")
    generated = made(model, clips, "normal", guidance_scale=1.0)
    assert level(generated) == pytest.approx(level(list(real.waveforms())), abs=1.5)


def test_one_seed_gives_the_same_losses_and_weights_twice(model: Path, clips: ClipSet, tmp_path: Path) -> None:
    again = train(clips, tmp_path / "b")
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", FILE, EVENTS):
        first, second = load_file(model / name), load_file(again / name)
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    texts = [next(out.parent.glob("work/checkpoints/*3/state.json")).read_text() for out in (model, again)]
    losses = [re.findall(r'"loss": *([0-9.e-]+)', text) for text in texts]
    assert losses[0] == losses[1] and losses[0]


def test_the_model_is_small_and_needs_no_codec(model: Path) -> None:
    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    kernels = [weight for weight in weights.values() if weight.ndim == 4 and weight.shape[2] == 3]
    assert kernels and not any(kernel[:, :, (0, 2)].any() for kernel in kernels)  # they meet nothing but padding
    assert not (model / "codec").exists()


def test_loaded_as_a_pipeline_of_diffusers(model: Path) -> None:
    captions = ["A recording of a normal fan in the source domain.", "An anomalous slide rail, with a no grease fault."]
    first = MimiiGenPipeline.from_pretrained(str(model))(captions, seeds=[1, 2], num_inference_steps=3)
    second = load_pipeline(str(model))(captions, seeds=[1, 2], num_inference_steps=3)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    alone = load_pipeline(str(model))(captions[1:], seeds=[2], num_inference_steps=3)
    assert np.abs(alone[0] - first[1]).max() < 1e-5 * np.abs(first[1]).max()


def test_half_precision_is_asked_for_without_a_word(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="diffusers"):
        pipeline = load_pipeline(str(model), dtype=torch.bfloat16)
    assert pipeline.unet.dtype == torch.bfloat16
    assert not caplog.messages


def test_what_comes_and_goes_is_made_by_the_events_and_what_is_steady_by_the_network(model: Path) -> None:
    fan, slider = (
        "A recording of a normal fan in the source domain.",
        "An anomalous slide rail, with a no grease fault.",
    )
    with_events, without = load_pipeline(str(model)), load_pipeline(str(model))
    assert with_events.events is not None
    assert with_events.events.knows(slider) and not with_events.events.knows(fan)
    without.events = None
    ours, theirs = (one([fan, slider], seeds=[1, 2], num_inference_steps=3) for one in (with_events, without))
    assert np.array_equal(ours[0], theirs[0]) and not np.array_equal(ours[1], theirs[1])
    with_events.unet.requires_grad_(False).conv_in.weight.zero_()
    np.testing.assert_allclose(with_events([slider], seeds=[2])[0], ours[1], atol=1e-5 * np.abs(ours[1]).max())


def test_anomalies_are_learnt_as_what_they_add_to_normal_clips(model: Path) -> None:
    with safe_open(model / FILE, framework="numpy") as file:
        groups = json.loads(file.metadata()["words"])["groups"]
    rows = {tuple(row["names"]): row for row in groups}
    assert rows["fan", "anomalous"]["base"] == ["fan", "normal"] and "base" not in rows["fan", "normal"]
    phrases = [sorted(severity[1].split()) for severity in Description.SEVERITIES]
    scaling = rows["fan", "anomalous"]["scaling"]
    assert scaling and all(phrase in phrases for phrase in scaling)


def loud_at(line: np.ndarray, waveforms: list[np.ndarray]) -> list[np.ndarray]:
    """Make bands of noise-like clips stand out by some nepers."""
    codec = LappedTransform(BANDS)
    latents = codec.transform(torch.from_numpy(np.stack(waveforms))) * torch.from_numpy(np.exp(line))[:, None]
    return list(codec.decode(latents.float(), len(waveforms[0])).numpy())


@pytest.mark.parametrize("strength", [None, 1.0])
def test_what_stands_out_of_a_steady_sound_is_made_a_tone(model: Path, clips: ClipSet, strength: float | None) -> None:
    """Nothing is left of a clip to start from with a strength of 1."""
    pipeline, codec = load_pipeline(str(model)), LappedTransform(BANDS)
    assert pipeline.levels is not None
    line = 3.0 * (np.arange(BANDS) == 40)
    steady = []
    for tonal in (0.0, 1.0):
        pipeline.levels._groups = [
            replace(group, tonal=np.array([tonal]), mean=group.mean + line) if group.above is None else group
            for group in load_pipeline(str(model)).levels._groups
        ]
        caption = "A recording of a normal fan in the source domain."
        hosts = None if strength is None else loud_at(line, list(clips.where(machine="fan").waveforms())[:8])
        made = pipeline([caption] * 8, seeds=list(range(8)), num_inference_steps=3, audio=hosts, strength=strength)
        steady.append([tonal_shares(codec.transform(torch.from_numpy(clip)[None])[0]) for clip in made])
    noise, tones = map(tonal_part, steady)
    assert noise < 0.5 and tones > 0.7  # of clips of 1 s; they would be the same without what is put in


def test_events_are_learnt_with_levels_and_a_lapped_transform_only() -> None:
    for other in ({"levels": "diffused"}, {"codec": "facebook/encodec_24khz"}):
        with pytest.raises(
            UserError, match=r"events is 'modelled' with levels .* expected levels 'modelled' and a lapped"
        ):
            MimiiGen(**SETTINGS | other)


def test_the_codec_control_is_the_clip_itself(model: Path, clips: ClipSet) -> None:
    for waveform in made(model, clips, "normal", reconstruct=True):
        assert min(np.abs(waveform - real).max() for real in clips.waveforms()) < 1e-3 * np.abs(waveform).max()


def test_a_clip_that_is_hardly_changed_comes_back(model: Path, clips: ClipSet) -> None:
    hosts = list(clips.where(machine="fan", condition="normal").waveforms())
    for waveform in made(model, clips, "anomaly", strength=0.001):
        assert min(np.abs(waveform - host).max() for host in hosts) < 0.02 * np.abs(waveform).max()


def test_without_levels_the_folder_is_refused(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / FILE).unlink()
    with pytest.raises(UserError, match="latent_space has 168 values a frame, the codec has 128"):
        load_pipeline(str(tmp_path / "model"))


def test_a_new_encoder_must_be_trained() -> None:
    generator = MimiiGen(**SETTINGS | {"train_text_encoder": False})
    assert generator.inputs() == {"codec": f"mdct:{BANDS}", "text_encoder": "new"}


def test_a_new_encoder_that_is_not_trained_is_refused(clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text_encoder is 'new', .* needs 'train_text_encoder: true'"):
        train(clips, tmp_path / "c", train_text_encoder=False)

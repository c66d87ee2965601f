"""A pipeline with a compact codec: the clip latent is sampled first, then the frames given it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.conditioning.text import TextEncoder
from asdbench.generators.mimii_gen.diffusion.backbone import build_for_clips
from asdbench.generators.mimii_gen.diffusion.clip_network import ClipNetwork
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.interface import load_codec
from asdbench.generators.mimii_gen.latents.space import LatentStatistics
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline

SAMPLES = 16000
CAPTIONS = ["a normal fan", "an anomalous fan with a severe fault: clogging", "a valve"]


def woken(network: torch.nn.Module) -> Any:
    """Small random weights where a network begins with zeros."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def parts(compact_codec: Path, machine_clips: ClipSet, tiny_t5: Path) -> dict[str, Any]:
    codec, text = load_codec(str(compact_codec), None), TextEncoder.load(str(tiny_t5))
    statistics = LatentStatistics(codec.dim)
    for index in range(len(machine_clips)):
        statistics.update(codec.latents(codec.encode(torch.from_numpy(machine_clips.waveform(index))[None])))
    unet, clip_network = build_for_clips(
        "smoke", codec.dim - codec.clip_dim, codec.clip_dim, codec.conditioning_dim, text.dim, 0
    )
    return {
        "unet": woken(unet),
        "scheduler": NoiseSchedule(prediction_type="v_prediction").scheduler(),
        "text_encoder": text.model,
        "tokenizer": text.tokenizer,
        "codec": codec.model,
        "clip_network": woken(clip_network),
        "latent_space": statistics.space(codec.dim, "dimension", codec.identity).to_dict(),
        "null_embedding": text.null().tolist(),
        "num_samples": SAMPLES,
    }


@pytest.fixture(scope="module")
def pipeline(parts: dict[str, Any]) -> MimiiGenPipeline:
    return MimiiGenPipeline(**parts)


@pytest.fixture(scope="module")
def saved(pipeline: MimiiGenPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def damaged(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def generate(pipeline: MimiiGenPipeline, captions: Any = CAPTIONS[:1], seeds: Any = (3,), **settings: Any) -> Any:
    return pipeline(captions, seeds=seeds, **{"num_inference_steps": 4, "batch_size": 2, **settings})


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).max() / second.std())


def test_clips_have_their_length_and_follow_from_caption_and_seed(pipeline: MimiiGenPipeline) -> None:
    clip = generate(pipeline)[0]
    assert clip.shape == (SAMPLES,) and clip.dtype == np.float32 and np.isfinite(clip).all() and clip.std() > 0
    torch.manual_seed(9)
    assert np.array_equal(generate(pipeline)[0], clip)
    assert difference(generate(pipeline, seeds=[4])[0], clip) > 0.1
    assert difference(generate(pipeline, CAPTIONS[1:2])[0], clip) > 1e-3
    assert generate(pipeline, num_samples=20001)[0].shape == (20001,)


def test_the_clip_latent_is_one_for_all_frames_and_the_frames_depend_on_it(
    pipeline: MimiiGenPipeline, parts: dict[str, Any]
) -> None:
    latents = generate(pipeline, output_type="latent")[0]
    assert latents.shape == (pipeline.space.dim, 16) and np.ptp(latents[-9:], axis=1).max() == 0
    assert np.ptp(latents[:-9], axis=1).min() > 0
    other = build_for_clips("smoke", pipeline.space.dim - 9, 9, 6, 32, 0)[1]
    with torch.no_grad():
        other.centre.bias.fill_(0.5)
    changed = generate(MimiiGenPipeline(**parts | {"clip_network": other.eval()}), output_type="latent")[0]
    assert np.abs(changed[-9:] - latents[-9:]).max() > 1e-3 and np.abs(changed[:-9] - latents[:-9]).max() > 1e-5


def test_a_clip_does_not_depend_on_its_batch(pipeline: MimiiGenPipeline) -> None:
    together = generate(pipeline, CAPTIONS, range(3))
    for index in range(3):
        alone = generate(pipeline, CAPTIONS[index : index + 1], [index])[0]
        assert difference(alone, together[index]) <= 1e-4


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_other_samplers_run(pipeline: MimiiGenPipeline, sampler: str) -> None:
    together = generate(pipeline, CAPTIONS, range(3), sampler=sampler)
    assert difference(generate(pipeline, CAPTIONS[1:2], [1], sampler=sampler)[0], together[1]) <= 1e-4


def test_a_pipeline_comes_back_from_its_folder(pipeline: MimiiGenPipeline, saved: Path) -> None:
    clip = generate(pipeline)[0]
    for load in (load_pipeline, MimiiGenPipeline.from_pretrained):
        loaded = load(str(saved))
        assert isinstance(loaded.codec, CompactNetwork) and isinstance(loaded.clip_network, ClipNetwork)
        assert np.array_equal(generate(loaded)[0], clip)
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} == {".safetensors", ".json"}


def test_in_bf16_both_networks_compute_and_the_codec_does_not(saved: Path) -> None:
    loaded = load_pipeline(str(saved), dtype=torch.bfloat16)
    assert loaded.unet.dtype == loaded.clip_network.dtype == torch.bfloat16 and loaded.codec.dtype == torch.float32
    assert np.isfinite(generate(loaded)[0]).all()


def test_little_strength_gives_back_what_the_codec_reproduces(
    pipeline: MimiiGenPipeline, machine_clips: ClipSet
) -> None:
    source = machine_clips.waveform(0)
    clip = generate(pipeline, audio=[source], strength=1e-6)[0]
    assert difference(clip, pipeline.reconstruct(source, seed=3)) < 1e-2  # normalised and back
    more = generate(pipeline, audio=[source], strength=0.9, num_inference_steps=20)[0]
    assert difference(more, clip) > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda parts: {"clip_network": None},
            "clip latents of 9 values, 6 of them for the U-Net; clip_network makes 0, .* conditioned on 6",
        ),
        (
            lambda parts: {"clip_network": ClipNetwork(clip_dim=5, cross_attention_dim=32)},
            "clip_network makes 5, and the U-Net is conditioned on 6",
        ),
        (
            lambda parts: {"clip_network": ClipNetwork(clip_dim=9, cross_attention_dim=48)},
            "clip_network attends to embeddings of width 48, text_encoder gives 32",
        ),
        (lambda parts: {"unet": build_for_clips("smoke", 3, 9, 6, 32)[0]}, "the U-Net takes 3 channels"),
        (lambda parts: {"unet": build_for_clips("smoke", 8, 9, 4, 32)[0]}, "the U-Net is conditioned on 4"),
        (lambda parts: {"gain": "x"}, "gain is 'x'"),
        (lambda parts: {"num_samples": 100}, "num_samples is 100, expected at least 4097"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    parts: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        MimiiGenPipeline(**{**parts, **change(parts)})


def test_another_codec_is_refused(parts: dict[str, Any], compact_codec: Path, tiny_codec: Path) -> None:
    other = CompactNetwork.from_pretrained(compact_codec)
    with torch.no_grad():
        other.calibration.mul_(1.01)
    with pytest.raises(UserError, match="trained with another codec"):
        MimiiGenPipeline(**parts | {"codec": other})
    with pytest.raises(UserError, match="trained with another codec"):
        MimiiGenPipeline(**parts | {"codec": Codec.load(str(tiny_codec), 9.6).model, "bandwidth": 9.6})


def test_classes_of_the_index_are_checked(damaged: Path) -> None:
    path = damaged / "model_index.json"
    good = json.loads(path.read_text())
    for name, entry, message in (
        ("clip_network", ["diffusers", "UNet2DConditionModel"], "clip_network is .*, expected ClipNetwork"),
        (
            "codec",
            ["asdbench.generators.mimii_gen.diffusion.clip_network", "ClipNetwork"],
            "codec is .*, expected EncodecModel or CompactNetwork",
        ),
        ("unet", ["asdbench", "FlatUNet"], "unet is .*, expected a class of"),
    ):
        path.write_text(json.dumps(good | {name: entry}))
        with pytest.raises(UserError, match=rf"model_index\.json: {message}"):
            load_pipeline(str(damaged))
    path.write_text(json.dumps(good | {"clip_network": [None, None]}))
    with pytest.raises(UserError, match="clip_network makes 0"):
        load_pipeline(str(damaged))


@pytest.mark.parametrize("part", ["unet", "codec", "clip_network"])
def test_damaged_weights_are_refused(damaged: Path, part: str) -> None:
    path = next((damaged / part).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"{part}/\S+: the file is truncated"):
        load_pipeline(str(damaged))

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DiffusionPipeline
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import EncodecModel

from asdbench import UserError
from asdbench.generators.mimii_gen import checkpoint
from asdbench.generators.mimii_gen.conditioning.text import TextEncoder
from asdbench.generators.mimii_gen.diffusion.backbone import build_backbone
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.space import LatentSpace
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
from asdbench.generators.shared.captions import Description, caption
from asdbench.pretrained import hub

NUM_SAMPLES = 8000  # 25 latent frames
CAPTIONS = ["a normal fan", "an anomalous fan with a severe fault: clogging", "a valve"]


def chirp(num_samples: int = NUM_SAMPLES) -> np.ndarray:
    time = np.arange(num_samples) / 16000
    return (0.3 * np.sin(2 * np.pi * (200 + 800 * time) * time)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def parts(tiny_codec: Path, tiny_t5: Path) -> dict[str, Any]:
    """Arguments of a pipeline: an untrained U-Net, latents so large that the untrained decoder does not ignore them."""
    codec, text = Codec.load(str(tiny_codec), 9.6), TextEncoder.load(str(tiny_t5))
    std = tuple(5 + index / 64 for index in range(codec.dim))
    space = LatentSpace(
        codec.dim, 16, "dimension", tuple(index / 77 for index in range(codec.dim)), std, codec.identity
    )
    return {
        "unet": build_backbone("smoke", 16, text.dim).eval(),
        "scheduler": NoiseSchedule(prediction_type="v_prediction").scheduler(),
        "text_encoder": text.model,
        "tokenizer": text.tokenizer,
        "codec": codec.model,
        "clip_network": None,
        "latent_space": space.to_dict(),
        "null_embedding": text.null().tolist(),
        "bandwidth": 9.6,
        "num_samples": NUM_SAMPLES,
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
    """A copy of the saved pipeline to be damaged."""
    shutil.copytree(saved, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def edit_index(folder: Path, **changes: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def generate(pipeline: MimiiGenPipeline, captions: Any = CAPTIONS[:1], seeds: Any = (3,), **settings: Any) -> Any:
    return pipeline(captions, seeds=seeds, **{"num_inference_steps": 4, "batch_size": 2, **settings})


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference, in standard deviations: an untrained decoder gives an offset that says nothing."""
    return float(np.abs(first - second).max() / second.std())


# What comes out


@pytest.mark.parametrize("num_samples", [None, 8001, 7999, 16000])
def test_clips_have_exactly_the_samples_asked_for(pipeline: MimiiGenPipeline, num_samples: int | None) -> None:
    clips = generate(pipeline, CAPTIONS, range(3), num_samples=num_samples)
    assert [clip.shape for clip in clips] == [(num_samples or NUM_SAMPLES,)] * 3
    for clip in clips:
        assert clip.dtype == np.float32
        assert np.isfinite(clip).all()
        assert clip.std() > 0
    assert pipeline.sample_rate == 16000


def test_same_seed_same_clip_other_seed_other_clip(pipeline: MimiiGenPipeline) -> None:
    clip = generate(pipeline)[0]
    torch.manual_seed(123)  # the global state is of no influence
    assert np.array_equal(generate(pipeline)[0], clip)
    assert difference(generate(pipeline, seeds=[4])[0], clip) > 0.1


def test_caption_and_guidance_count(pipeline: MimiiGenPipeline) -> None:
    clip = generate(pipeline)[0]
    assert difference(generate(pipeline, CAPTIONS[1:2])[0], clip) > 1e-4
    plain, guided, unconditional = (generate(pipeline, guidance_scale=scale)[0] for scale in (1.0, 3.0, 0.0))
    assert difference(guided, plain) > 1e-4
    assert difference(unconditional, plain) > 1e-4
    assert difference(generate(pipeline, guidance_rescale=0.0)[0], clip) > 0
    other = generate(pipeline, CAPTIONS[1:2], guidance_scale=0.0)[0]
    assert np.array_equal(other, unconditional)  # the caption is ignored


def test_guidance_of_one_needs_no_second_pass(pipeline: MimiiGenPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, forward = [], pipeline.unet.forward
    monkeypatch.setattr(pipeline.unet, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1])
    generate(pipeline, guidance_scale=1.0)
    assert len(calls) == 4
    generate(pipeline, guidance_scale=2.0)
    assert len(calls) == 4 + 8


def test_null_embedding_of_the_configuration_is_what_guidance_uses(parts: dict[str, Any]) -> None:
    null = (np.asarray(parts["null_embedding"]) + 3).tolist()
    other = MimiiGenPipeline(**{**parts, "null_embedding": null})
    same = MimiiGenPipeline(**parts)
    assert difference(generate(other, guidance_scale=0.0)[0], generate(same, guidance_scale=0.0)[0]) > 1e-4
    assert np.array_equal(generate(other, guidance_scale=1.0)[0], generate(same, guidance_scale=1.0)[0])


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 2.0])
def test_the_mask_hides_the_padding_of_captions(parts: dict[str, Any], guidance_scale: float) -> None:
    short, long = (MimiiGenPipeline(**{**parts, "max_tokens": tokens}) for tokens in (48, 512))
    one, other = (generate(pipeline, guidance_scale=guidance_scale)[0] for pipeline in (short, long))
    assert difference(one, other) < 1e-5


def test_description_is_said_in_the_first_template(pipeline: MimiiGenPipeline) -> None:
    description = Description("fan", "anomaly", {"vel": "6"})
    assert np.array_equal(generate(pipeline, [description])[0], generate(pipeline, [caption(description, 0)])[0])


def test_a_clip_does_not_depend_on_its_batch(pipeline: MimiiGenPipeline) -> None:
    captions = [CAPTIONS[index % 3] for index in range(8)]

    def run(indices: Sequence[int], batch_size: int) -> list[np.ndarray]:
        chosen = [captions[index] for index in indices]
        settings = {"num_samples": 3200, "num_inference_steps": 25}  # short, as there are many
        return generate(pipeline, chosen, indices, batch_size=batch_size, **settings)

    together = run(range(8), 8)
    assert difference(run([4], 8)[0], together[4]) <= 1e-6
    turned = run(range(8)[::-1], 8)[::-1]
    assert max(difference(one, two) for one, two in zip(turned, together, strict=True)) <= 1e-6
    for one, two in zip(run(range(3), 2), together[:3], strict=True):
        assert difference(one, two) <= 1e-4


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_other_samplers_run_and_draw_for_each_clip(pipeline: MimiiGenPipeline, sampler: str) -> None:
    together = generate(pipeline, CAPTIONS, range(3), sampler=sampler)
    alone = generate(pipeline, CAPTIONS[1:2], [1], sampler=sampler)[0]
    assert difference(alone, together[1]) <= 1e-6
    assert difference(alone, generate(pipeline, CAPTIONS[1:2], [1])[0]) > 1e-3


def test_progress_counts_all_steps(pipeline: MimiiGenPipeline) -> None:
    seen: list[tuple[int, int]] = []
    generate(pipeline, CAPTIONS, range(3), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 8) for step in range(1, 9)]
    seen.clear()
    settings = {"audio": [chirp()], "strength": 1e-4}
    generate(pipeline, progress=lambda done, total: seen.append((done, total)), **settings)
    assert seen == [(4, 4)]


def test_no_captions_no_clips(pipeline: MimiiGenPipeline) -> None:
    assert generate(pipeline, [], []) == []


def test_generated_clips_are_no_inference_tensors_and_own_their_memory(pipeline: MimiiGenPipeline) -> None:
    clip = generate(pipeline)[0]
    clip += 1
    torch.from_numpy(clip).requires_grad_(True).sum().backward()


# Audio to audio


def test_little_strength_gives_back_what_the_codec_makes_of_the_source(pipeline: MimiiGenPipeline) -> None:
    source = chirp()
    codec = Codec(pipeline.codec, 9.6)
    coded = codec.decode(codec.latents(codec.encode(torch.from_numpy(source)[None])), NUM_SAMPLES)[0].numpy()
    clip = generate(pipeline, audio=[source], strength=1e-6)[0]
    assert difference(clip, coded) < 1e-4  # normalised and back


@pytest.mark.parametrize("sampler", ["dpm++", "ddpm", "ddim"])
def test_more_strength_goes_farther_from_the_source(pipeline: MimiiGenPipeline, sampler: str) -> None:
    source = chirp()

    def run(strength: float) -> np.ndarray:
        return generate(pipeline, audio=[source], strength=strength, num_inference_steps=20, sampler=sampler)[0]

    start = run(1e-6)
    distances = [float(np.linalg.norm(run(strength) - start)) for strength in (0.1, 1.0)]
    assert 0 < 2 * distances[0] < distances[1]


def test_audio_to_audio_keeps_each_clip_to_itself(pipeline: MimiiGenPipeline) -> None:
    sources = [chirp(), chirp()[::-1].copy(), 0.5 * chirp()]
    together = generate(pipeline, CAPTIONS, range(3), audio=sources, strength=0.6)
    alone = generate(pipeline, CAPTIONS[2:], [2], audio=sources[2:], strength=0.6)[0]
    assert difference(alone, together[2]) <= 1e-6


def test_length_of_the_clips_is_that_of_the_audio(pipeline: MimiiGenPipeline) -> None:
    assert generate(pipeline, audio=[chirp(9001)], strength=0.5)[0].shape == (9001,)
    with pytest.raises(UserError, match=r"audio\[0\] has the shape \(9001,\), expected \(8000,\)"):
        generate(pipeline, audio=[chirp(9001)], strength=0.5, num_samples=8000)
    with pytest.raises(UserError, match=r"audio\[1\] has the shape \(8001,\), expected \(8000,\)"):
        generate(pipeline, CAPTIONS[:2], [1, 2], audio=[chirp(), chirp(8001)], strength=0.5)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"captions": ["a fan", " "], "seeds": [1, 2]}, r"captions\[1\] is empty"),
        ({"captions": "a fan"}, "captions is a single string"),
        ({"seeds": [1, 2]}, "there are 1 captions and 2 seeds"),
        ({"seeds": [2**64]}, r"seeds\[0\] is 18446744073709551616, expected 0 to"),
        ({"guidance_scale": -0.5}, r"guidance_scale is -0\.5"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_rescale": 1.5}, r"guidance_rescale is 1\.5"),
        ({"num_inference_steps": 0}, r"inference_steps is 0, expected 1 to 1000 \(timesteps\)"),
        ({"num_inference_steps": 1001}, "inference_steps is 1001"),
        ({"num_inference_steps": 30, "sampler": "ddpm"}, "inference_steps is 30, expected a divisor of 1000"),
        ({"sampler": "dpm"}, "no sampler 'dpm'"),
        ({"batch_size": 0}, "batch_size is 0"),
        (
            {"num_samples": 640},
            r"clip_seconds: found 0\.04 s \(num_samples is 640\), .* least 0\.04006 s",
        ),
        ({"num_samples": -1}, "num_samples is -1"),
        ({"audio": [chirp(640)], "strength": 0.5}, r"clips to start from \(strength\): found 0\.04 s"),
        ({"audio": [chirp()]}, "audio is given without strength"),
        ({"strength": 0.5}, "strength is given without audio"),
        ({"audio": [chirp()], "strength": 0.0}, r"strength is 0\.0, expected above 0"),
        ({"audio": [chirp()], "strength": 1.1}, r"strength is 1\.1"),
        ({"audio": [chirp()] * 2, "strength": 0.5}, "there are 1 captions and 2 clips in audio"),
        ({"captions": ["a fan " * 100]}, "tokens"),
    ],
)
def test_arguments_out_of_range_are_named(pipeline: MimiiGenPipeline, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        generate(pipeline, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: {"latent_space": None}, "latent_space is None"),
        (lambda parts: {"null_embedding": None}, "null_embedding is None"),
        (lambda parts: {"gain": 2.0}, "trained with another codec"),
        (lambda parts: {"bandwidth": 2.4}, "trained with another codec"),
        (lambda parts: {"unet": build_backbone("smoke", 8, 32)}, "takes 8 channels, the latents .* 16 of height 8"),
        (lambda parts: {"unet": build_backbone("smoke", 16, 48)}, "embeddings of width 48, text_encoder gives 32"),
        (lambda parts: {"null_embedding": [[0.0] * 16]}, r"null_embedding has the shape \(1, 16\)"),
        (lambda parts: {"null_embedding": []}, "null_embedding has the shape"),
        (lambda parts: {"pooling": "max"}, "pooling is 'max'"),
        (lambda parts: {"num_samples": 640}, "num_samples is 640, expected at least 641"),
        (lambda parts: {"scheduler": DDPMScheduler()}, "scheduler: there is no num_train_timesteps"),
        (lambda parts: {"scheduler": DDIMScheduler.from_config(parts["scheduler"].config)}, "is a DDIMScheduler"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    parts: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        MimiiGenPipeline(**{**parts, **change(parts)})


# Saving and loading


def test_saved_as_safetensors_and_json_only(saved: Path) -> None:
    endings = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert endings == {".safetensors", ".json"}
    weights = load_file(saved / "text_encoder" / "model.safetensors")
    assert not any("decoder" in name for name in weights)  # the encoder only


def test_configuration_comes_back_exactly(saved: Path, parts: dict[str, Any]) -> None:
    loaded = load_pipeline(str(saved))
    assert loaded.config.latent_space == parts["latent_space"]
    assert loaded.config.null_embedding == parts["null_embedding"]
    assert loaded.space == LatentSpace.from_dict(parts["latent_space"])
    assert (loaded.config.bandwidth, loaded.config.num_samples) == (9.6, NUM_SAMPLES)
    assert sorted(loaded.components) == ["clip_network", "codec", "scheduler", "text_encoder", "tokenizer", "unet"]
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    for name, part in (("unet", loaded.unet), ("codec", loaded.codec), ("text_encoder", loaded.text_encoder)):
        original = parts[name].state_dict()
        assert all(torch.equal(tensor, original[key]) for key, tensor in part.state_dict().items())


def test_null_embedding_of_two_tokens_is_no_component(parts: dict[str, Any], tmp_path: Path) -> None:
    null = parts["null_embedding"] * 2  # a list of two, as a component's entry is
    MimiiGenPipeline(**{**parts, "null_embedding": null}).save_pretrained(tmp_path)
    assert load_pipeline(str(tmp_path)).config.null_embedding == null
    assert MimiiGenPipeline.from_pretrained(str(tmp_path)).config.null_embedding == null


def test_fresh_process_makes_the_same_clip(pipeline: MimiiGenPipeline, saved: Path, tmp_path: Path) -> None:
    script = f"""
import sys, torch, numpy as np
torch.set_num_threads(1)
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
settings = dict(seeds=[3], num_inference_steps=4, batch_size=2)
for name, load in (("plain", MimiiGenPipeline.from_pretrained), ("checked", load_pipeline)):
    loaded = load({str(saved)!r})
    np.save({str(tmp_path)!r} + f"/{{name}}.npy", loaded([{CAPTIONS[0]!r}], **settings)[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    clip = generate(pipeline)[0]
    for name in ("plain", "checked"):
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), clip)


def test_loading_and_generating_are_silent(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generate(load_pipeline(str(saved)))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_to_device_and_dtype(saved: Path) -> None:
    loaded = load_pipeline(str(saved), device="cpu", dtype=torch.bfloat16)
    assert loaded.unet.dtype == torch.bfloat16
    assert loaded.codec.dtype == loaded.text_encoder.dtype == torch.float32
    half = generate(loaded)[0]
    assert half.dtype == np.float32
    full = generate(load_pipeline(str(saved)).to("cpu"))[0]
    assert 0 < difference(half, full) < 0.2
    assert MimiiGenPipeline.from_pretrained(str(saved), torch_dtype=torch.float32).unet.dtype == torch.float32


def test_any_pickle_is_refused(damaged: Path) -> None:
    for name in ("unet/diffusion_pytorch_model.bin", "extra.pt", "codec/old.ckpt", "a/b/c.pth"):
        path = damaged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        with pytest.raises(UserError, match=f"{name}: weights in a pickle are refused"):
            load_pipeline(str(damaged))
        path.unlink()
    generate(load_pipeline(str(damaged)))


@pytest.mark.parametrize("part", ["unet", "codec", "text_encoder"])
def test_truncated_missing_or_partial_weights_are_refused(damaged: Path, part: str) -> None:
    path = next((damaged / part).glob("*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=rf"{part}/\S+: the file is truncated"):
        load_pipeline(str(damaged))
    path.write_bytes(whole)
    weights = load_file(path)
    dropped = sorted(name for name in weights if "weight" in name)[0]
    del weights[dropped]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=str(damaged)):
        load_pipeline(str(damaged))
    path.unlink()
    with pytest.raises(UserError, match=f"{part} holds no weights"):
        load_pipeline(str(damaged))


def test_folders_that_are_no_checkpoint_are_refused(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_pipeline(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"holds no model_index\.json"):
        load_pipeline(str(tmp_path))
    edit_index(damaged, _class_name="StableDiffusionPipeline")
    with pytest.raises(UserError, match="that of a 'StableDiffusionPipeline', expected 'MimiiGenPipeline'"):
        load_pipeline(str(damaged))
    (damaged / "model_index.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load_pipeline(str(damaged))


def test_index_that_does_not_fit_is_refused_with_the_folder(damaged: Path, parts: dict[str, Any]) -> None:
    good = json.loads((damaged / "model_index.json").read_text())
    for changes, message in (
        ({"gain": 2.0}, "trained with another codec"),
        ({"latent_space": {}}, "latent_space has the fields"),
        ({"null_embedding": [["x"]]}, "null_embedding"),
        ({"unet": ["os", "system"]}, "unet is .*, expected a class of diffusers or transformers"),
        ({"codec": None}, "codec is None"),
        ({"bandwidth": 5.0}, "bandwidth is 5 kbps, which codec does not have, expected one of"),
    ):
        edit_index(damaged, **{**good, **changes})
        with pytest.raises(UserError, match=message) as raised:
            load_pipeline(str(damaged))
        assert str(damaged) in str(raised.value)
    edit_index(damaged, **good)
    shutil.rmtree(damaged / "scheduler")
    with pytest.raises(UserError, match="holds no folder 'scheduler'"):
        load_pipeline(str(damaged))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("latent_space", [None, 3, "x", []]),
        ("null_embedding", [None, 3, "x", {}, [1.0], [[1.0], [1.0, 2.0]], [[float("nan")]], [["x"]], [[10**400]]]),
        ("bandwidth", ["9.6", 0, -1, [], True]),
        ("gain", ["1", None, 0, -1, [], True, float("inf")]),
        ("max_tokens", ["a", -3, 0, 64.5, None, True, 10**9]),
        ("pooling", ["max", None, 3, []]),
        ("num_samples", ["abc", -3, 0, 8000.5, None, True]),
    ],
)
def test_damaged_value_of_the_index_is_named_with_the_file(
    damaged: Path, parts: dict[str, Any], field: str, values: list[Any]
) -> None:
    good = json.loads((damaged / "model_index.json").read_text())
    for value in values:
        edit_index(damaged, **{**good, field: value})
        with pytest.raises(UserError, match=rf"^checkpoint: \S+/model_index\.json: {field} is ") as raised:
            load_pipeline(str(damaged))
        assert "\n" not in str(raised.value)
        with pytest.raises(UserError, match=f"^{field} is "):
            MimiiGenPipeline(**{**parts, field: value})
    del good[field]
    (damaged / "model_index.json").write_text(json.dumps(good))
    with pytest.raises(UserError, match=rf"model_index\.json: there is no {field}, expected"):
        load_pipeline(str(damaged))


def test_an_index_of_before_with_an_encodec_is_read(damaged: Path, pipeline: MimiiGenPipeline) -> None:
    edit_index(damaged, lapped_transform=None)
    for load in (load_pipeline, MimiiGenPipeline.from_pretrained):
        assert np.array_equal(generate(load(str(damaged)))[0], generate(pipeline)[0])


def edit_schedule(folder: Path, **changes: Any) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damaged_noise_schedule_is_refused_with_the_file(damaged: Path) -> None:
    path = damaged / "scheduler" / "scheduler_config.json"
    good = path.read_text()
    for changes, message in (
        ({"num_train_timesteps": "x"}, "num_train_timesteps is 'x', expected a whole number"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps is 1000000000"),
        ({"beta_schedule": "laplace"}, "beta_schedule is 'laplace'"),
        ({"beta_start": "x"}, "beta_start is 'x'"),
        ({"beta_end": 2}, "beta_end is 2, expected a number between 0 and 1"),
        ({"beta_start": 0.5}, r"beta_start is 0\.5, expected at most beta_end"),
        ({"prediction_type": "sample"}, "prediction_type is 'sample'"),
        ({"rescale_betas_zero_snr": "no"}, "rescale_betas_zero_snr is 'no', expected true or false"),
        ({"trained_betas": [0.1]}, "trained_betas is set"),
    ):
        edit_schedule(damaged, **changes)
        with pytest.raises(UserError, match=rf"^checkpoint: \S+/scheduler_config\.json: {message}"):
            load_pipeline(str(damaged))
        path.write_text(good)
    for text, message in (("{}", "there is no num_train_timesteps"), ("[]", "expected a JSON object"), ("{", "JSON")):
        path.write_text(text)
        with pytest.raises(UserError, match=rf"scheduler_config\.json: .*{message}"):
            load_pipeline(str(damaged))
    path.write_text("{}")
    with pytest.raises(UserError, match="scheduler: there is no num_train_timesteps"):
        MimiiGenPipeline.from_pretrained(str(damaged))
    path.unlink()
    with pytest.raises(UserError, match=r"scheduler_config\.json is missing"):
        load_pipeline(str(damaged))


def test_other_classes_of_scheduler_and_codec_are_refused(damaged: Path) -> None:
    good = json.loads((damaged / "model_index.json").read_text())
    for changes, message in (
        ({"scheduler": ["diffusers", "DDIMScheduler"]}, "scheduler is .*DDIMScheduler.*, expected DDPMScheduler"),
        ({"codec": ["transformers", "T5EncoderModel"]}, "codec is .*, expected EncodecModel"),
        ({"unet": ["diffusers", "__class__"]}, "unet is .*, expected a class of diffusers or transformers"),
    ):
        edit_index(damaged, **{**good, **changes})
        with pytest.raises(UserError, match=rf"model_index\.json: {message}"):
            load_pipeline(str(damaged))


@pytest.mark.parametrize("sampler", ["dpm++", "ddpm", "ddim"])
def test_clipping_in_the_file_changes_nothing(damaged: Path, sampler: str) -> None:
    plain = generate(load_pipeline(str(damaged)), sampler=sampler)[0]
    edit_schedule(damaged, clip_sample=True, clip_sample_range=0.01, thresholding=True, use_karras_sigmas=True)
    for load in (load_pipeline, MimiiGenPipeline.from_pretrained):
        assert np.array_equal(generate(load(str(damaged)), sampler=sampler)[0], plain)


def test_default_steps_are_no_more_than_the_timesteps(parts: dict[str, Any]) -> None:
    schedule = NoiseSchedule(steps=10, prediction_type="v_prediction", zero_terminal_snr=True)
    pipeline = MimiiGenPipeline(**{**parts, "scheduler": schedule.scheduler()})
    seen: list[tuple[int, int]] = []
    pipeline(CAPTIONS[:1], seeds=[0], batch_size=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 10) for step in range(1, 11)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (SafetensorError("Error while serializing: I/O error: Permission denied (os error 13)"), errno.EACCES),
        (Exception("No space left on device (os error 28)"), errno.ENOSPC),  # as tokenizers has it
    ],
)
def test_full_disk_is_an_error_of_the_system(
    pipeline: MimiiGenPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match=str(tmp_path)) as raised:
        pipeline.save_pretrained(tmp_path)
    assert raised.value.errno == code


def test_other_errors_of_saving_stay_what_they_are(
    pipeline: MimiiGenPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise SafetensorError("invalid header")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(SafetensorError, match="invalid header"):
        pipeline.save_pretrained(tmp_path)


def test_another_codec_in_the_folder_is_refused(damaged: Path) -> None:
    path = damaged / "codec" / "model.safetensors"
    weights = load_file(path)
    weights["quantizer.layers.0.codebook.embed"][0, 0] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"{damaged}: .*trained with another codec"):
        load_pipeline(str(damaged))
    with pytest.raises(UserError, match="trained with another codec"):
        MimiiGenPipeline.from_pretrained(str(damaged))


def test_unet_of_another_shape_in_the_folder_is_refused(damaged: Path) -> None:
    shutil.rmtree(damaged / "unet")
    build_backbone("smoke", 128, 32).save_pretrained(damaged / "unet")
    with pytest.raises(UserError, match=f"{damaged}: the U-Net takes 128 channels"):
        load_pipeline(str(damaged))


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError("the hub is not there.")

    monkeypatch.setattr(hub, "_hub_answers", lambda: False)
    monkeypatch.setattr(checkpoint.huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=r"'someone/model' .*not there\); download it elsewhere with 'hf download"):
        load_pipeline("someone/model")


def test_it_is_a_diffusers_pipeline(pipeline: MimiiGenPipeline) -> None:
    assert isinstance(pipeline, DiffusionPipeline)
    assert isinstance(pipeline.codec, EncodecModel)

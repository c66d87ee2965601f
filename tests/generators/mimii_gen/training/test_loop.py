from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.conditioning.text import Embeddings, TextEncoder
from asdbench.generators.mimii_gen.diffusion.backbone import Preset, build_backbone
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule
from asdbench.generators.mimii_gen.latents.cache import LatentCache
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.space import LatentStatistics
from asdbench.generators.mimii_gen.training import loop as training_module
from asdbench.generators.mimii_gen.training import notes
from asdbench.generators.mimii_gen.training.batches import Batch
from asdbench.generators.mimii_gen.training.denoiser import Denoiser, Objective, average, ema_decay_at, tensors_of
from asdbench.generators.mimii_gen.training.loop import Example, Parts, Trained, TrainingSettings, train
from asdbench.generators.mimii_gen.training.validation import Validation

NUM_FRAMES = 16
SMALL = Preset((8, 16), (False, True), layers_per_block=1, head_size=8, norm_num_groups=4)
SETTINGS = TrainingSettings(
    steps=6,
    batch_size=4,
    learning_rate=1e-3,
    warmup_steps=2,
    validation_share=0.2,
    validate_every=100,
    save_every=3,
    log_every=2,
)


@dataclass
class Bench:
    """Clips with codes and captions, and fresh parts for every training."""

    codec: Codec
    text: Path
    cache: LatentCache
    examples: list[Example]
    space: Any

    def parts(self, preset: Any = SMALL, prediction_type: Any = "v_prediction") -> Parts:
        text = TextEncoder.load(str(self.text))
        unet = build_backbone(preset, 16, text.dim, seed=0)
        return Parts(unet, NoiseSchedule(prediction_type=prediction_type), text, self.codec, self.space)

    def train(self, work: Path, settings: TrainingSettings = SETTINGS, **other: Any) -> Trained:
        arguments: dict[str, Any] = {"seed": 0, "device": "cpu", "progress": lambda done, total, note: None} | other
        parts = arguments.pop("parts", None) or self.parts()
        examples = arguments.pop("examples", self.examples)
        num_frames = arguments.pop("num_frames", NUM_FRAMES)
        return train(parts, examples, self.cache, num_frames, settings, work, **arguments)


def build(codec_folder: Path, text_folder: Path, folder: Path) -> Bench:
    """Tones of two machines; the anomalies are noise. Some clips are shorter than what is trained on."""
    rows = []
    for number in range(12):
        random = np.random.default_rng(number)
        machine, condition = ("fan", "valve")[number % 2], "anomaly" if number % 4 == 3 else "normal"
        time = np.arange(4000 if number % 5 == 4 else 8000 + 400 * number) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200, 700)[number % 2] * time)
        if condition == "anomaly":
            wave = wave + 0.2 * random.standard_normal(len(time))
        path = folder / f"{number:02d}.wav"
        if not path.exists():
            soundfile.write(path, wave.astype(np.float32), 16000, subtype="FLOAT")
        rows.append(
            {"clip_id": path.name, "path": str(path), "machine": machine, "section": "00", "domain": "source"}
            | {"split": "train", "condition": condition, "attributes": {}}
        )
    clips = ClipSet.from_files(rows, 16000)
    codec = Codec.load(str(codec_folder), 9.6)
    cache = LatentCache(folder / "codes", codec)
    cache.add(clips)
    statistics = LatentStatistics(codec.dim)
    examples = []
    for row in clips.frame.itertuples():
        content = str(row.content_hash)
        statistics.update(codec.latents(torch.from_numpy(cache.codes(content).astype(np.int64))[None]))
        caption = f"a recording of a {row.condition} {row.machine}"
        examples.append(Example(content, str(row.clip_id), str(row.machine), str(row.condition), caption))
    return Bench(codec, text_folder, cache, examples, statistics.space(16, "channel", codec.identity))


@pytest.fixture(scope="module")
def bench(tiny_codec: Path, tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build(tiny_codec, tiny_t5, tmp_path_factory.mktemp("clips"))


def checkpoints(work: Path) -> list[str]:
    return sorted(path.name for path in (work / "checkpoints").iterdir())


def saved(work: Path, step: int) -> dict[str, torch.Tensor]:
    folder = work / "checkpoints" / f"step-{step:08d}"
    tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= {f"{path.stem}/{name}": each.clone() for name, each in load_file(path).items()}
    return tensors


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def largest_difference(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((tensor - right[name]).abs().max()) for name, tensor in left.items() if "optimizer" not in name)


# -- it learns


def test_the_validation_loss_falls_and_is_that_of_the_averaged_network(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=40, learning_rate=2e-3, validate_every=8, ema_decay=0.9, log_every=5)
    parts = bench.parts("smoke")
    trained = bench.train(tmp_path, settings, parts=parts)
    losses = [row["validation_loss"] for row in trained.history if row["validation_loss"] is not None]
    assert len(losses) == 5 and trained.best_validation_loss == min(losses) and trained.validation_loss == losses[-1]
    assert losses[-1] < 0.75 * losses[0] and losses[-1] < 0.5  # 1.0 for a network that always says zero
    assert trained.history[-1]["loss"] < 0.75 * trained.history[0]["loss"]
    assert [row["step"] for row in trained.history] == sorted({*range(5, 45, 5), *range(8, 48, 8)})
    assert trained.steps == 40 and trained.raw_unet is parts.unet and not trained.unet.training
    assert not torch.equal(next(trained.unet.parameters()), next(parts.unet.parameters()))
    held_out = training_module.split_examples(bench.examples, 0.2)[1]
    states = {each.caption: trained.text_encoder.encode([each.caption]).states[0] for each in held_out}
    objective = Objective(bench.codec, bench.space, parts.schedule.scheduler(), torch.device("cpu"))
    network = Denoiser(trained.unet, None, trained.null, learned=False)
    for batch_size in (1, 7):
        validation = Validation(
            held_out,
            bench.cache,
            bench.space,
            num_frames=NUM_FRAMES,
            num_timesteps=1000,
            batch_size=batch_size,
            captions=states,
        )
        total = validation.loss(lambda batch: objective.errors(network, batch))
        assert total is not None and total[1] == 5 * len(held_out)
        assert float(total[0] / total[1]) == pytest.approx(losses[-1], rel=1e-5)


def test_without_validation_clips_there_is_no_validation_loss(bench: Bench, tmp_path: Path) -> None:
    trained = bench.train(tmp_path, replace(SETTINGS, steps=2, validation_share=0.0))
    assert trained.validation_loss is None and trained.best_validation_loss is None
    assert [row["validation_loss"] for row in trained.history] == [None]


# -- what a step is


def fixed_batch(frames: int, keep: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        codes=torch.randint(0, 64, (2, 32, frames), generator=generator),
        keep=torch.arange(frames)[None, :] < torch.tensor([[frames], [keep]]),
        noise=torch.randn(2, 16, 8, frames, generator=generator),
        timesteps=torch.tensor([100, 700]),
        clip_noise=torch.zeros(2, 1, 0),
        clip_timesteps=torch.zeros(2, 0, dtype=torch.int64),
        drop=torch.tensor([False, True]),
        captions=("a", "b"),
        embeddings=Embeddings(torch.zeros(2, 1, 32), torch.ones(2, 1, dtype=torch.bool)),
    )


def test_the_error_is_that_of_kept_frames_only(bench: Bench) -> None:
    batch = fixed_batch(10, keep=4)
    scheduler = NoiseSchedule().scheduler()
    objective = Objective(bench.codec, bench.space, scheduler, torch.device("cpu"))

    def exact(noisy: torch.Tensor, *others: Any) -> tuple[torch.Tensor, None]:
        wrong_where_padded = batch.noise.clone()
        wrong_where_padded[1, :, :, 4:] += 1000.0
        only_noise = (1 - scheduler.alphas_cumprod[700]).sqrt() * batch.noise[1, :, :, 4:]
        assert torch.allclose(noisy[1, :, :, 4:], only_noise, atol=1e-6)  # the padding is zero, the mean
        return wrong_where_padded, None

    assert objective.errors(exact, batch).tolist() == [0.0, 0.0]
    errors = objective.errors(lambda noisy, *others: (torch.zeros_like(noisy), None), batch)
    kept = [batch.noise[0].square().mean(), batch.noise[1, :, :, :4].square().mean()]
    assert errors.tolist() == pytest.approx([float(each) for each in kept], rel=1e-5)


def test_the_network_is_given_normalised_latents_with_the_noise_of_eq_1(bench: Bench) -> None:
    batch, scheduler = fixed_batch(10, keep=10), NoiseSchedule().scheduler()
    clean = bench.space.to_unet(bench.codec.latents(batch.codes))
    signal = scheduler.alphas_cumprod[batch.timesteps][:, None, None, None]

    def check(noisy: torch.Tensor, timesteps: torch.Tensor, *others: Any) -> tuple[torch.Tensor, None]:
        assert torch.allclose(noisy, signal.sqrt() * clean + (1 - signal).sqrt() * batch.noise, atol=1e-5)
        assert torch.equal(timesteps, batch.timesteps)
        return noisy, None

    Objective(bench.codec, bench.space, scheduler, torch.device("cpu")).errors(check, batch)


def test_where_all_captions_are_dropped_they_do_not_matter(bench: Bench, tmp_path: Path) -> None:
    others = [replace(each, caption=f"something else {each.condition}") for each in bench.examples]
    for dropout, same in ((1.0, True), (0.5, False)):
        settings = replace(SETTINGS, steps=2, caption_dropout=dropout)
        bench.train(tmp_path / f"a{dropout}", settings)
        bench.train(tmp_path / f"b{dropout}", settings, examples=others)
        difference = largest_difference(saved(tmp_path / f"a{dropout}", 2), saved(tmp_path / f"b{dropout}", 2))
        assert (difference < 2e-4) == same


@pytest.mark.parametrize("learned", [False, True])
def test_the_null_embedding_is_that_of_the_empty_caption_and_learned_if_asked(
    bench: Bench, tmp_path: Path, learned: bool
) -> None:
    empty = bench.parts().text_encoder.null()
    trained = bench.train(tmp_path, replace(SETTINGS, learned_null=learned, caption_dropout=0.5))
    assert trained.null.shape == empty.shape and torch.equal(trained.null, empty) != learned
    assert torch.equal(saved(tmp_path, 6)["ema/null"], trained.null)


def test_the_average_begins_with_the_first_weights_and_then_moves_slowly() -> None:
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    averaged = torch.nn.Linear(2, 2)
    average(averaged, first, ema_decay_at(0, 0.9999))
    assert torch.equal(averaged.weight, first.weight)
    average(averaged, second, ema_decay_at(1, 0.9999))
    share = 2**-0.75
    assert torch.allclose(averaged.weight, first.weight * (1 - share) + second.weight * share)
    assert ema_decay_at(10**7, 0.9999) == 0.9999 and ema_decay_at(99, 0.9999) == pytest.approx(1 - 100**-0.75)


def test_learning_rate_rises_to_a_constant() -> None:
    settings = TrainingSettings(learning_rate=1.0, warmup_steps=4)
    assert [settings.learning_rate_at(step) for step in (0, 1, 3, 4, 10**6)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert replace(settings, warmup_steps=0).learning_rate_at(0) == 1.0


def test_joint_training_changes_the_text_encoder_and_returns_its_average(bench: Bench, tmp_path: Path) -> None:
    parts = bench.parts()
    before = {name: each.clone() for name, each in tensors_of(parts.text_encoder.model).items()}
    trained = bench.train(tmp_path, replace(SETTINGS, train_text_encoder=True, caption_dropout=0.5), parts=parts)
    raw, averaged = tensors_of(parts.text_encoder.model), tensors_of(trained.text_encoder.model)
    changed = {name for name in before if not torch.equal(before[name], raw[name])}
    assert changed == before.keys()
    assert any(not torch.equal(raw[name], averaged[name]) for name in before)
    tensors = saved(tmp_path, 6)
    for name, each in averaged.items():
        assert torch.equal(tensors[f"ema/text_encoder.{name}"], each)
    assert torch.equal(trained.null, trained.text_encoder.null())


# -- it goes on exactly


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulation": 2, "balance": "condition", "learned_null": True, "snr_gamma": 5.0},
        {"train_text_encoder": True, "gradient_checkpointing": True},
    ],
    ids=["plain", "accumulated and balanced", "joint"],
)
def test_six_steps_are_three_and_three_more(bench: Bench, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    straight = bench.train(tmp_path / "straight", settings)
    bench.train(tmp_path / "parted", replace(settings, steps=3))
    lines: list[str] = []
    parted = bench.train(
        tmp_path / "parted",
        replace(settings, validate_every=4, log_every=3),
        progress=lambda done, total, note: lines.append(note),
    )
    assert any("going on from" in line and "step-00000003" in line for line in lines)
    assert_equal(saved(tmp_path / "straight", 6), saved(tmp_path / "parted", 6))
    assert_equal(dict(tensors_of(straight.unet)), dict(tensors_of(parted.unet)))
    assert_equal(dict(tensors_of(straight.raw_unet)), dict(tensors_of(parted.raw_unet)))
    assert torch.equal(straight.null, parted.null) and straight.validation_loss == parted.validation_loss
    assert parted.history[0]["step"] == 2 and parted.steps == 6
    assert checkpoints(tmp_path / "parted") == ["step-00000003", "step-00000006"]


def test_an_ended_training_is_loaded_again_and_a_shorter_one_refused(bench: Bench, tmp_path: Path) -> None:
    first = bench.train(tmp_path)
    again = bench.train(tmp_path)
    assert_equal(dict(tensors_of(first.unet)), dict(tensors_of(again.unet)))
    assert again.history == first.history and again.validation_loss == first.validation_loss
    with pytest.raises(UserError, match="has done 6 steps already, steps is 5; choose another folder or delete it"):
        bench.train(tmp_path, replace(SETTINGS, steps=5))


def test_a_training_whose_newest_checkpoint_is_cut_goes_on_from_the_one_before(bench: Bench, tmp_path: Path) -> None:
    bench.train(tmp_path)
    whole = saved(tmp_path, 6)
    path = tmp_path / "checkpoints" / "step-00000006" / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    lines: list[str] = []
    bench.train(tmp_path, progress=lambda done, total, note: lines.append(note))
    assert "damaged" in lines[0] and str(path.parent) in lines[0] and "step-00000003" in lines[1]
    assert_equal(whole, saved(tmp_path, 6))


def test_ctrl_c_saves_the_last_whole_step(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_SECONDS_BETWEEN", 0.0)

    def stop(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.train(tmp_path / "stopped", progress=stop)
    assert checkpoints(tmp_path / "stopped") == ["step-00000002"]
    bench.train(tmp_path / "stopped")
    bench.train(tmp_path / "straight")
    assert_equal(saved(tmp_path / "straight", 6), saved(tmp_path / "stopped", 6))


def test_ctrl_c_within_an_update_waits_for_its_end(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    step = torch.optim.AdamW.step
    calls: list[int] = []

    def interrupted(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.train(tmp_path / "stopped")
    monkeypatch.undo()
    bench.train(tmp_path / "straight", replace(SETTINGS, steps=2))
    assert_equal(saved(tmp_path / "straight", 2), saved(tmp_path / "stopped", 2))


# -- the same in parts and processes


def test_an_accumulated_step_is_the_step_of_the_whole_batch(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=3, learned_null=True, snr_gamma=5.0)
    bench.train(tmp_path / "whole", settings)
    bench.train(tmp_path / "parts", replace(settings, accumulation=4))
    # AdamW's first steps are the gradient's sign: rounding shows where a gradient is nearly zero.
    assert largest_difference(saved(tmp_path / "whole", 3), saved(tmp_path / "parts", 3)) < 2e-4
    states = [
        json.loads((tmp_path / each / "checkpoints/step-00000003/state.json").read_text())
        for each in ("whole", "parts")
    ]
    rows = [state["record"]["history"][0] for state in states]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
    assert rows[0]["gradient_norm"] == pytest.approx(rows[1]["gradient_norm"], rel=1e-4)


def test_two_processes_train_as_one(bench: Bench, tiny_codec: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=3, learned_null=True, caption_dropout=0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = Path(bench.cache.path(bench.examples[0].content_hash)).parents[3]
    processes = []
    for rank in ("0", "1"):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        command = [sys.executable, __file__, str(tiny_codec), str(bench.text), str(folder), str(tmp_path / "two")]
        processes.append(
            subprocess.Popen(command, env=os.environ | ranks | where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        )
    bench.train(tmp_path / "one", settings)
    try:
        outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert [output.strip().splitlines()[-1] for output in outputs] == ["reported: True", "reported: False"]
    assert largest_difference(saved(tmp_path / "one", 3), saved(tmp_path / "two", 3)) < 2e-4


def test_trainings_of_other_precision_follow_each_other_in_one_process(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=1)
    losses = []
    for number, precision in enumerate(("no", "bf16", "no")):
        changed = replace(settings, mixed_precision=precision, accumulation=number + 1 if number < 2 else 1)
        trained = bench.train(tmp_path / str(number), changed)
        assert all(each.dtype == torch.float32 for each in trained.unet.parameters())
        losses.append(trained.history[0]["loss"])
    assert losses[0] == losses[2] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)


# -- what can go wrong


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss \(.*\) or its gradient .* is not finite at step \d; no checkpoint"):
        bench.train(tmp_path / "at once", replace(SETTINGS, learning_rate=1e30, warmup_steps=0, save_every=1))
    assert not (tmp_path / "at once" / "checkpoints").exists()


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_nothing_of_the_bad_step_is_saved(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    calls: list[int] = []
    target = training_module.Objective.errors
    update = training_module._Training._update

    def poisoned_loss(self: Any, model: Callable[..., Any], batch: Batch, *others: Any) -> torch.Tensor:
        calls.append(1)
        errors = target(self, model, batch, *others)
        return errors * float("inf") if len(calls) == 4 else errors

    def poisoned_update(self: Any) -> None:
        update(self)
        if self.now.step == 4:
            with torch.no_grad():
                self.weights[0].fill_(float("nan"))

    settings = replace(SETTINGS, save_every=1)
    if where == "loss":
        monkeypatch.setattr(training_module.Objective, "errors", poisoned_loss)
        saved_steps, bad = ["step-00000001", "step-00000002"], 4
    else:
        monkeypatch.setattr(training_module._Training, "_update", poisoned_update)
        saved_steps, bad = ["step-00000002", "step-00000003"], 5
    kept = tmp_path / "checkpoints" / saved_steps[-1]
    with pytest.raises(UserError) as caught:
        bench.train(tmp_path, settings)
    assert f"not finite at step {bad}; the last good checkpoint is kept in {kept}" in str(caught.value)
    assert checkpoints(tmp_path) == saved_steps
    for tensor in saved(tmp_path, int(saved_steps[-1][5:])).values():
        assert torch.isfinite(tensor).all()


def test_a_folder_of_another_training_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.train(tmp_path, replace(SETTINGS, steps=1))
    with pytest.raises(UserError, match=r"begun with other settings: learning_rate 0\.001, now 0\.002; choose another"):
        bench.train(tmp_path, replace(SETTINGS, learning_rate=2e-3))
    with pytest.raises(UserError, match="settings: seed 0, now 1;"):
        bench.train(tmp_path, seed=1)
    with pytest.raises(UserError, match="settings: num_frames 16, now 12;"):
        bench.train(tmp_path, num_frames=12)
    with pytest.raises(UserError, match="settings: prediction_type v_prediction, now epsilon;"):
        bench.train(tmp_path, parts=bench.parts(prediction_type="epsilon"))
    with pytest.raises(UserError, match="begun with other examples;"):
        bench.train(tmp_path, examples=bench.examples[1:])
    with pytest.raises(UserError, match="begun with other U-Net;"):
        bench.train(tmp_path, parts=bench.parts(replace(SMALL, layers_per_block=2)))
    other_text = bench.parts()
    with torch.no_grad():
        next(other_text.text_encoder.model.parameters()).add_(0.1)
    with pytest.raises(UserError, match="begun with other text encoder;"):
        bench.train(tmp_path, parts=other_text)


def test_a_text_encoder_that_is_trained_has_to_be_used_as_before(bench: Bench, tmp_path: Path) -> None:
    joint = replace(SETTINGS, steps=1, train_text_encoder=True)
    bench.train(tmp_path, joint)
    pooled = replace(bench.parts(), text_encoder=TextEncoder.load(str(bench.text), pooling="mean"))
    with pytest.raises(UserError, match="begun with other text encoder;"):
        bench.train(tmp_path, joint, parts=pooled)


@pytest.mark.parametrize("joint", [False, True])
def test_a_caption_that_is_too_long_stops_the_training_before_it_begins(
    bench: Bench, tmp_path: Path, joint: bool
) -> None:
    last = replace(bench.examples[-1], caption="a fan " * 100)
    with pytest.raises(UserError, match="text_length is 64"):
        bench.train(
            tmp_path,
            replace(SETTINGS, steps=1, train_text_encoder=joint, validation_share=0.0, batch_size=1),
            examples=[*bench.examples[:-1], last],
        )
    assert not (tmp_path / "checkpoints").exists()


def test_another_codec_is_refused(bench: Bench, tmp_path: Path, tiny_codec: Path) -> None:
    parts = replace(bench.parts(), codec=Codec.load(str(tiny_codec), 2.4))
    with pytest.raises(UserError, match="trained with another codec"):
        bench.train(tmp_path, parts=parts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"batch_size": 4, "accumulation": 3}, "batch_size is 4, expected a multiple of accumulation, 3"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number above 0"),
        ({"caption_dropout": 1.5}, "caption_dropout is 1.5"),
        ({"snr_gamma": -1.0}, "snr_gamma is -1.0"),
        ({"balance": "machine"}, "balance is 'machine', expected 'none', 'condition' or 'caption'"),
        ({"mixed_precision": "fp16"}, "mixed_precision is 'fp16', expected 'no' or 'bf16'"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingSettings(**changes)


def test_missing_trackers_devices_and_frames_are_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tracker 'tensorbord'; did you mean 'tensorboard'"):
        bench.train(tmp_path, replace(SETTINGS, tracker="tensorbord"))
    with pytest.raises(UserError, match="the clips have 2 latent frames, the U-Net needs at least 3"):
        bench.train(tmp_path, num_frames=2)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="the device 'cuda' was asked for, but this machine has none"):
            bench.train(tmp_path, device="cuda")


def test_a_tracker_that_is_not_installed_is_named_with_the_way_to_get_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asdbench.generators.mimii_gen.training import acceleration

    monkeypatch.setattr(acceleration, "get_available_trackers", lambda: [])
    with pytest.raises(UserError, match="'comet_ml', which is not installed; install it with: pip install comet-ml"):
        bench.train(tmp_path, replace(SETTINGS, tracker="comet_ml"))


# -- what is reported meanwhile


def test_progress_and_previews(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, str]] = []
    previews: list[tuple[int, dict[str, torch.Tensor]]] = []

    def preview(parts: Parts, step: int) -> None:
        assert parts.null is not None and not parts.unet.training
        previews.append((step, {f"ema/unet.{name}": each.clone() for name, each in tensors_of(parts.unet).items()}))

    def progress(done: int, total: int, note: str) -> None:
        calls.append((done, total, note))

    settings = replace(SETTINGS, preview_every=2, save_every=2)
    monkeypatch.setattr(notes, "_SECONDS_BETWEEN", 0.0)
    bench.train(tmp_path / "often", settings, progress=progress, preview=preview)
    assert [(done, total) for done, total, _ in calls] == [(step, 6) for step in range(1, 7)]
    assert all(note.startswith("loss ") for _, _, note in calls)
    assert [step for step, _ in previews] == [2, 4, 6]
    tensors = saved(tmp_path / "often", 6)
    for name, each in previews[-1][1].items():
        assert torch.equal(each, tensors[name])
    calls.clear()
    monkeypatch.setattr(notes, "_SECONDS_BETWEEN", 1e9)
    bench.train(tmp_path / "seldom", settings, progress=progress)
    assert [done for done, _, _ in calls] == [1, 6]
    assert_equal(tensors, saved(tmp_path / "seldom", 6))  # a preview changes nothing


def test_a_tracker_is_told_the_history(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    logged: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(Accelerator, "log", lambda self, values, step: logged.append((step, values)))
    trained = bench.train(tmp_path)
    assert [step for step, _ in logged] == [2, 4, 6]
    assert "validation_loss" not in logged[0][1] and logged[2][1]["validation_loss"] == trained.validation_loss


if __name__ == "__main__":  # one of the processes of `test_two_processes_train_as_one`
    reported: list[int] = []
    build(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])).train(
        Path(sys.argv[4]),
        replace(SETTINGS, steps=3, learned_null=True, caption_dropout=0.3),
        progress=lambda done, total, note: reported.append(done),
    )
    print("reported:", bool(reported))

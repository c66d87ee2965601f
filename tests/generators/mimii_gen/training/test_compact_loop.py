"""Training of the two networks for latents of a compact codec, together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.conditioning.text import Embeddings, TextEncoder
from asdbench.generators.mimii_gen.diffusion.backbone import build_for_clips
from asdbench.generators.mimii_gen.diffusion.clip_network import ClipNetwork
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule, loss_weights
from asdbench.generators.mimii_gen.latents.cache import LatentCache
from asdbench.generators.mimii_gen.latents.interface import LatentCodec, load_codec
from asdbench.generators.mimii_gen.latents.space import LatentStatistics, join_clip, split_clip
from asdbench.generators.mimii_gen.training.batches import Batch
from asdbench.generators.mimii_gen.training.denoiser import Objective, tensors_of
from asdbench.generators.mimii_gen.training.loop import Example, Parts, Trained, TrainingSettings, train

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(
    steps=4,
    batch_size=4,
    learning_rate=1e-3,
    warmup_steps=2,
    validation_share=0.2,
    validate_every=100,
    save_every=2,
    log_every=2,
)


@dataclass
class Bench:
    codec: LatentCodec
    text: Path
    cache: LatentCache
    examples: list[Example]
    space: Any

    def parts(self) -> Parts:
        text = TextEncoder.load(str(self.text))
        dims = self.codec.dim - self.codec.clip_dim, self.codec.clip_dim, self.codec.conditioning_dim
        unet, clip_network = build_for_clips("smoke", *dims, text.dim, 0)
        schedule = NoiseSchedule(prediction_type="v_prediction")
        return Parts(unet, schedule, text, self.codec, self.space, clip_network=clip_network)

    def train(self, work: Path, settings: TrainingSettings = SETTINGS, **other: Any) -> Trained:
        arguments: dict[str, Any] = {"seed": 0, "device": "cpu", "progress": lambda done, total, note: None} | other
        parts = arguments.pop("parts", None) or self.parts()
        return train(parts, self.examples, self.cache, 16, settings, work, **arguments)


@pytest.fixture(scope="module")
def bench(
    compact_codec: Path, machine_clips: ClipSet, tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    codec = load_codec(str(compact_codec), None)
    cache = LatentCache(tmp_path_factory.mktemp("codes"), codec)
    cache.add(machine_clips)
    statistics, examples = LatentStatistics(codec.dim), []
    for row in machine_clips.frame.itertuples():
        content = str(row.content_hash)
        statistics.update(codec.latents(torch.from_numpy(cache.codes(content).astype(np.int64))[None]))
        caption = f"a recording of a {row.condition} {row.machine}"
        examples.append(Example(content, str(row.clip_id), str(row.machine), str(row.condition), caption))
    return Bench(codec, tiny_t5, cache, examples, statistics.space(codec.dim, "dimension", codec.identity))


def saved(work: Path, step: int) -> dict[str, torch.Tensor]:
    folder = work / "checkpoints" / f"step-{step:08d}"
    return {
        f"{path.stem}/{name}": each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()
    }


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulation": 2, "snr_gamma": 5.0, "learned_null": True}, {"train_text_encoder": True}],
    ids=["plain", "accumulated", "joint"],
)
def test_four_steps_are_two_and_two_more(bench: Bench, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    straight = bench.train(tmp_path / "straight", settings)
    bench.train(tmp_path / "parted", replace(settings, steps=2))
    parted = bench.train(tmp_path / "parted", settings)
    tensors = saved(tmp_path / "straight", 4)
    assert_equal(tensors, saved(tmp_path / "parted", 4))
    assert any(name.startswith("ema/clip_network.") for name in tensors)
    assert straight.clip_network is not None and parted.clip_network is not None
    assert_equal(dict(tensors_of(straight.clip_network)), dict(tensors_of(parted.clip_network)))
    assert straight.validation_loss == parted.validation_loss


def test_both_networks_change_and_what_is_sampled_from_is_their_average(bench: Bench, tmp_path: Path) -> None:
    parts = bench.parts()
    assert parts.clip_network is not None
    before = {name: each.clone() for name, each in tensors_of(parts.clip_network).items()}
    trained = bench.train(tmp_path, parts=parts)
    assert trained.clip_network is not None and trained.clip_network is not parts.clip_network
    after = tensors_of(parts.clip_network)
    assert not torch.equal(after["centre.weight"], before["centre.weight"])
    averaged, tensors = tensors_of(trained.clip_network), saved(tmp_path, 4)
    for name, each in averaged.items():
        assert torch.equal(tensors[f"ema/clip_network.{name}"], each)


def test_another_clip_network_is_another_training(bench: Bench, tmp_path: Path) -> None:
    bench.train(tmp_path)
    parts = bench.parts()
    other = ClipNetwork(clip_dim=9, cross_attention_dim=parts.text_encoder.dim, width=24)
    with pytest.raises(UserError, match="begun with other clip network"):
        bench.train(tmp_path, parts=replace(parts, clip_network=other))


def batch_of(bench: Bench, draws: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    codes = [torch.from_numpy(bench.cache.codes(each.content_hash)[:, :8].astype(np.int64)) for each in bench.examples]
    frames = bench.codec.dim - bench.codec.clip_dim
    return Batch(
        codes=torch.stack(codes[:2]),
        keep=torch.ones(2, 8, dtype=torch.bool),
        noise=torch.randn(2, frames, 1, 8, generator=generator),
        timesteps=torch.tensor([100, 700]),
        clip_noise=torch.randn(2, 1 + draws, bench.codec.clip_dim, generator=generator),
        clip_timesteps=torch.tensor([[50, 400, 900], [0, 500, 999]]),
        drop=torch.tensor([False, True]),
        captions=("a", "b"),
        embeddings=Embeddings(torch.zeros(2, 1, 32), torch.ones(2, 1, dtype=torch.bool)),
    )


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_error_of_clip_latents_is_added_as_a_mean_over_their_noise_levels(
    bench: Bench, gamma: float | None
) -> None:
    batch = batch_of(bench)
    scheduler = NoiseSchedule(prediction_type="epsilon").scheduler()
    objective = Objective(bench.codec, bench.space, scheduler, CPU)
    latents = bench.codec.latents(batch.codes, batch.clip_noise[:, 0])
    _, clean = split_clip(bench.space.to_unet(latents).float(), bench.codec.clip_dim)
    seen: dict[str, torch.Tensor] = {}

    def silent(noisy: torch.Tensor, timesteps: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        clip, noisy_clip, clip_timesteps = others[-3:]
        seen.update(clip=clip, noisy=noisy_clip, timesteps=clip_timesteps)
        return torch.zeros_like(noisy), torch.zeros_like(noisy_clip)

    errors = objective.errors(silent, batch, gamma)
    # The U-Net is conditioned on what is coded of the clip latent that was drawn, not on details.
    torch.testing.assert_close(seen["clip"], clean[:, : bench.codec.conditioning_dim])
    signal = scheduler.alphas_cumprod[batch.clip_timesteps][:, :, None]
    expected = signal.sqrt() * clean[:, None] + (1 - signal).sqrt() * batch.clip_noise[:, 1:]
    torch.testing.assert_close(seen["noisy"], expected)
    of_frames = batch.noise.square().mean(dim=(1, 2, 3)) * loss_weights(scheduler, batch.timesteps, gamma)
    weights = loss_weights(scheduler, batch.clip_timesteps.flatten(), gamma).unflatten(0, (2, 3))
    of_clips = (batch.clip_noise[:, 1:].square().mean(dim=2) * weights).mean(dim=1)
    torch.testing.assert_close(errors, (of_frames + of_clips).float())

    def exact(noisy: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return batch.noise, batch.clip_noise[:, 1:]

    assert objective.errors(exact, batch, gamma).tolist() == [0.0, 0.0]


def test_frames_and_clip_latent_are_parted_and_joined() -> None:
    whole = torch.randn(2, 5, 1, 4)
    whole[:, 3:] = whole[:, 3:, :, :1]
    frames, clip = split_clip(whole, 2)
    assert frames.shape == (2, 3, 1, 4) and clip.shape == (2, 2)
    assert torch.equal(join_clip(frames, clip), whole)
    everything, nothing = split_clip(whole, 0)
    assert nothing.shape == (2, 0) and torch.equal(join_clip(everything, nothing), whole)

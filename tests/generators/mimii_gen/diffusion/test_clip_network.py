from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asdbench.generators.mimii_gen.diffusion.clip_network import ClipNetwork
from asdbench.generators.mimii_gen.diffusion.sampling import denoise
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule, sampler, target

DIM, CONTEXT = 4, 8
MEANS = torch.tensor([[1.0, -1.0, 0.5, 0.0], [-1.0, 0.5, 0.0, 1.0]])
DEVIATIONS = torch.tensor([0.3, 0.6, 1.0, 0.5])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


STATES = draw(2, 5, CONTEXT, seed=1)
"""Two captions."""


def build() -> ClipNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ClipNetwork(clip_dim=DIM, cross_attention_dim=CONTEXT, width=32, layers=1, heads=2, linear_rank=16)


def predict(network: ClipNetwork, sample: torch.Tensor | None = None, **changes: torch.Tensor) -> torch.Tensor:
    arguments = {"timestep": torch.tensor([100, 700]), "encoder_hidden_states": STATES} | changes
    prediction: torch.Tensor = network(draw(2, DIM) if sample is None else sample, **arguments).sample
    return prediction


@pytest.fixture(scope="module")
def taught() -> ClipNetwork:
    """A network that was trained to denoise vectors of `MEANS` and `DEVIATIONS`."""
    network, scheduler = build(), NoiseSchedule(prediction_type="v_prediction").scheduler()
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(network.parameters(), 6e-3)
    steps, batch = 300, 128
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 6e-3 * (1 - step / steps)
        which = torch.arange(batch) % 2
        clean = MEANS[which] + DEVIATIONS * torch.randn(batch, DIM, generator=generator)
        noise = torch.randn(batch, DIM, generator=generator)
        timesteps = torch.randint(1000, (batch,), generator=generator)
        prediction = network(scheduler.add_noise(clean, noise, timesteps), timesteps, STATES[which]).sample
        adam.zero_grad()
        (prediction - target(scheduler, clean, noise, timesteps)).square().mean().backward()
        adam.step()
    return network.eval()


def test_it_begins_with_a_prediction_of_zero() -> None:
    assert not predict(build()).any()


@pytest.mark.parametrize("caption", [0, 1])
def test_gaussian_vectors_are_recovered_with_the_mean_of_their_caption(taught: ClipNetwork, caption: int) -> None:
    scheduler = NoiseSchedule(prediction_type="v_prediction").scheduler()
    count = 1000
    states = STATES[caption].expand(count, -1, -1)
    with torch.no_grad():
        made = denoise(
            lambda latents, timestep: taught(latents, timestep, states).sample,
            sampler("dpm++", scheduler),
            25,
            draw(count, DIM, seed=7),
            torch.Generator().manual_seed(8),
        )
    # A thousand samples know means to 0.03 of a deviation; the rest is what 300 steps have not learnt.
    assert float((made.mean(0) - MEANS[caption]).abs().max()) < 0.12
    assert float((made.std(0) / DEVIATIONS - 1).abs().max()) < 0.2


def test_the_gradient_reaches_every_weight(taught: ClipNetwork) -> None:
    taught.zero_grad()
    predict(taught).square().sum().backward()
    silent = [name for name, weight in taught.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []
    taught.zero_grad()


def test_noise_level_caption_and_sample_count(taught: ClipNetwork) -> None:
    with torch.no_grad():
        plain = predict(taught)
        for changes in ({"timestep": torch.tensor([100, 300])}, {"encoder_hidden_states": STATES.flip(0)}):
            assert float((predict(taught, **changes) - plain).abs().max()) > 1e-2
        assert float((predict(taught, draw(2, DIM, seed=5)) - plain).abs().max()) > 1e-2


def test_tokens_that_the_mask_leaves_out_change_nothing(taught: ClipNetwork) -> None:
    padded = torch.cat([STATES, 50 * draw(2, 3, CONTEXT, seed=4)], dim=1)
    mask = torch.tensor([[1.0] * 5 + [0.0] * 3] * 2)
    with torch.no_grad():
        found = predict(taught, encoder_hidden_states=padded, encoder_attention_mask=mask)
        torch.testing.assert_close(found, predict(taught), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(predict(taught, encoder_hidden_states=padded), predict(taught), atol=1e-2)


def test_it_comes_back_from_its_folder(taught: ClipNetwork, tmp_path: Path) -> None:
    taught.save_pretrained(tmp_path)
    loaded = ClipNetwork.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(predict(loaded), predict(taught))

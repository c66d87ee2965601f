from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import gamma
from torch.distributions import Gamma, Normal, kl_divergence

from asdbench.generators.mimii_gen.compact.network import (
    LOG_10,
    CompactNetwork,
    Posterior,
    Power,
    _paired,
    _unpaired,
    gamma_nll,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network() -> CompactNetwork:
    """A network with random weights everywhere, as training leaves them."""
    torch.manual_seed(0)
    network = CompactNetwork(bands=12, clip_dim=5, frame_dim=3, width=16).eval()
    with torch.no_grad():
        network.leave.weight.normal_(0, 0.1)
        network.std.fill_(4.0)
        network.mean.copy_(torch.linspace(-60, -30, 12)[:, None])
        network.noise_log_shape.fill_(0.3)
    return network


def test_the_likelihood_is_that_of_the_log_of_a_gamma_variable() -> None:
    decibels, mean = -40 + 5 * draw(2, 3, 7), -42 + 2 * draw(2, 3, 7, seed=1)
    log_shape = draw(2, 3, 7, seed=2)
    found = gamma_nll(decibels, Power(mean, log_shape))
    power, nu = (decibels * LOG_10).exp(), log_shape.exp()
    by_torch = -(Gamma(nu, nu / (mean * LOG_10).exp()).log_prob(power) + power.log())
    torch.testing.assert_close(found, by_torch, rtol=1e-4, atol=1e-4)
    density = gamma.pdf(power.numpy(), nu.numpy(), scale=(mean * LOG_10).exp().numpy() / nu.numpy())
    np.testing.assert_allclose(found.numpy(), -np.log(density * power.numpy()), rtol=1e-3, atol=1e-3)


def test_the_divergence_is_that_from_the_standard_normal() -> None:
    posterior = Posterior(draw(4, 6), draw(4, 6, seed=1))
    expected = kl_divergence(Normal(posterior.mean, (posterior.log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(posterior.divergence(), expected)


def test_samples_have_the_mean_and_the_deviation() -> None:
    posterior = Posterior(torch.full((20000,), 2.0), torch.full((20000,), -1.0))
    drawn = posterior.sample(draw(20000))
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(np.exp(-0.5), rel=0.02)


def test_frames_go_in_pairs_and_come_back() -> None:
    frames = draw(2, 5, 8)
    paired = _paired(frames)
    assert paired.shape == (2, 10, 4)
    assert torch.equal(paired[:, 0::2], frames[:, :, 0::2]) and torch.equal(paired[:, 1::2], frames[:, :, 1::2])
    assert torch.equal(_unpaired(paired, 5), frames)


@pytest.mark.parametrize("frames", [1, 4, 5, 6, 7, 8, 9])
def test_the_last_frame_is_repeated_up_to_whole_latent_frames(network: CompactNetwork, frames: int) -> None:
    values, clip = draw(2, 12, frames), draw(2, 5)
    found = network.encode_frames(values, clip)
    whole = -(-frames // 4)
    assert found.mean.shape == found.log_variance.shape == (2, 3, whole)
    repeated = torch.cat([values, values[:, :, -1:].expand(-1, -1, 4 * whole - frames)], dim=2)
    torch.testing.assert_close(found.mean, network.encode_frames(repeated, clip).mean)
    power = network.decode(found.mean, clip)
    assert power.decibels.shape == power.log_shape.shape == (2, 12, 4 * whole)


def test_before_training_the_decoder_says_what_the_clip_latent_alone_says() -> None:
    network = CompactNetwork(bands=12, clip_dim=5, frame_dim=3, width=16)
    torch.nn.init.normal_(network.static_linear.weight)
    clip = draw(2, 5)
    power = network.decode(draw(2, 3, 6), clip)
    level = network.static(clip)[0][:, :12, None] * network.std + network.mean
    torch.testing.assert_close(power.decibels, level.expand(-1, -1, 24))


def test_features_are_mean_deviation_and_lines(network: CompactNetwork) -> None:
    frames, lines = draw(2, 12, 9), torch.rand(2, 2, 12)
    found = network.features(frames, lines)
    expected = [frames.mean(2), frames.std(2).log(), lines[:, 0], lines[:, 0] * lines[:, 1]]
    torch.testing.assert_close(found, torch.cat(expected, dim=1))


def test_a_network_comes_back_from_its_folder(network: CompactNetwork, tmp_path: Path) -> None:
    network.calibration.copy_(torch.rand(12))
    network.chance.fill_(0.75)
    network.active.copy_(torch.tensor([1.0, 0.0, 1.0]))
    network.save_pretrained(tmp_path)
    loaded = CompactNetwork.from_pretrained(tmp_path)
    assert dict(loaded.config)["bands"] == 12
    theirs = loaded.state_dict()
    assert theirs.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in network.state_dict().items())
    values, clip = draw(1, 3, 5), draw(1, 5)
    # Weights lie elsewhere in memory, and how they are aligned may change the last digit.
    torch.testing.assert_close(loaded.decode(values, clip).decibels, network.decode(values, clip).decibels)

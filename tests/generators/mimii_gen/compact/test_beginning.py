from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import polygamma

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.compact.beginning import begin, log_shape_of
from asdbench.generators.mimii_gen.compact.examples import Examples
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.compact.spectra import Spectra

SPECTRA = Spectra(16000, 1024, 32)


def test_the_shape_of_a_variance_is_the_inverse_of_the_trigamma_function() -> None:
    wanted = torch.linspace(-5, 8, 40, dtype=torch.float64)
    variance = torch.from_numpy(polygamma(1, np.exp(wanted.numpy())))
    torch.testing.assert_close(log_shape_of(variance), wanted, rtol=0, atol=1e-8)


@pytest.fixture
def examples(machine_clips: ClipSet, tmp_path: Path) -> Examples:
    return Examples(machine_clips, SPECTRA, tmp_path)


def begun(examples: Examples, clip_dim: int) -> tuple[CompactNetwork, torch.Tensor]:
    torch.manual_seed(0)
    network = CompactNetwork(bands=32, clip_dim=clip_dim, frame_dim=2, width=8).eval()
    return network, begin(network, examples, SPECTRA)


def test_statistics_are_those_of_the_clips_and_of_white_noise(examples: Examples) -> None:
    network, features = begun(examples, 4)
    frames = [examples.frames(index) for index in range(len(examples))]
    mean = np.mean([each.mean(axis=0) for each in frames], axis=0)
    np.testing.assert_allclose(network.mean[:, 0], mean, rtol=1e-4)
    variance = np.mean([np.square(each - mean).mean(axis=0) for each in frames], axis=0)
    np.testing.assert_allclose(network.std[:, 0], np.sqrt(variance), rtol=1e-4)
    shape = np.exp(network.noise_log_shape[:, 0].double().numpy())
    np.testing.assert_allclose(np.sqrt(polygamma(1, shape)), SPECTRA.noise.log_std, rtol=1e-4)
    assert features.shape == (len(examples), 4 * 32)


def test_with_as_many_values_as_clips_the_first_weights_reproduce_every_mean_spectrum(examples: Examples) -> None:
    network, features = begun(examples, len(examples))
    clip = network.encode_clip(features).mean
    found = network.decode(torch.zeros(len(examples), 2, 1), clip).decibels[:, :, 0]
    wanted = torch.stack([torch.from_numpy(examples.frames(index).mean(axis=0)) for index in range(len(examples))])
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.05)
    share = network.static(clip)[1]
    torch.testing.assert_close(share, torch.from_numpy(examples.lines[:, 0]), rtol=0, atol=0.01)


@pytest.mark.parametrize("clip_dim", [1, 3])
def test_with_fewer_the_first_weights_are_principal_components(examples: Examples, clip_dim: int) -> None:
    network, features = begun(examples, clip_dim)
    scaled = ((features - network.feature_mean) / network.feature_std).double().numpy()
    axes = np.linalg.svd(scaled, full_matrices=False)[2][:clip_dim]
    projected = (scaled @ axes.T @ axes)[:, :32] * network.feature_std[:32].numpy() + network.feature_mean[:32].numpy()
    posterior = network.encode_clip(features)
    found = network.static(posterior.mean)[0][:, :32]
    np.testing.assert_allclose(found.detach().numpy(), projected, atol=1e-3)
    np.testing.assert_allclose(posterior.mean.detach().std(dim=0, correction=0), 1.0, rtol=1e-3)  # whitened
    assert bool((posterior.log_variance == -4).all())


def test_clips_whose_spectrograms_do_not_vary_are_refused(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Examples, "frames", lambda self, index: np.full((10, 32), -60, np.float32))
    with pytest.raises(UserError, match="spectrograms of the training clips do not vary"):
        begun(examples, 2)

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from asdbench.generators.mimii_gen.codec_training.discriminator import Discriminator, _compress
from asdbench.generators.mimii_gen.codec_training.losses import discriminator_loss


def test_it_judges_every_resolution_that_fits():
    torch.manual_seed(0)
    judged, features = Discriminator(2, 4096)(torch.randn(3, 4096))
    assert len(judged) == len(features) == 5
    assert {len(layers) for layers in features} == {5}
    for window, logits in zip((2048, 1024, 512, 256, 128), judged, strict=True):
        assert logits.shape[:2] == (3, 1)
        assert logits.shape[2] == 4096 // (window // 4) + 1  # frames
        assert logits.shape[3] < window // 8  # three strides of 2 over the bins
    assert len(Discriminator(2, 600)(torch.randn(1, 600))[0]) == 3
    assert len(Discriminator(2, 130)(torch.randn(1, 130))[0]) == 1


def test_it_hears_phase():
    torch.manual_seed(0)
    discriminator = Discriminator(2, 1024)
    waveform = torch.randn(1, 1024)
    one, other = discriminator(waveform)[0], discriminator(-waveform)[0]
    assert not torch.allclose(one[0], other[0])


def test_it_learns_to_tell_tones_from_noise():
    torch.manual_seed(0)
    discriminator = Discriminator(2, 1024)
    adam = torch.optim.Adam(discriminator.parameters(), 5e-3)
    time = torch.arange(1024) / 16000
    losses = []
    for _ in range(30):
        tones = torch.sin(2 * torch.pi * (500 + 3000 * torch.rand(4, 1)) * time) * 2**0.5
        loss = discriminator_loss(discriminator(tones)[0], discriminator(torch.randn(4, 1024))[0])
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.8
    assert losses[-1] < 1.3


def machine_like(number, generator, dull=False):
    """Noise that falls by 60 dB from 0 to 8 kHz, shape (number, 1024); dull, its weak upper half is 12 dB weaker."""
    spectra = torch.fft.rfft(torch.randn(number, 1024, generator=generator))
    slope = 10 ** (-3 * torch.linspace(0, 1, spectra.shape[1]))
    if dull:
        slope[256:] /= 4
    waveforms = torch.fft.irfft(spectra * slope)
    return waveforms / waveforms.square().mean().sqrt()


def test_it_learns_within_few_steps_what_lies_far_below_the_strongest_bins():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    discriminator = Discriminator(4, 1024)
    adam = torch.optim.Adam(discriminator.parameters(), 3e-3, (0.5, 0.9))
    for _ in range(50):
        real, made = machine_like(4, generator), machine_like(4, generator, dull=True)
        loss = discriminator_loss(discriminator(real)[0], discriminator(made)[0])
        adam.zero_grad()
        loss.backward()
        adam.step()
    real, made = machine_like(32, generator), machine_like(32, generator, dull=True)
    with torch.no_grad():
        assert float(discriminator_loss(discriminator(real)[0], discriminator(made)[0])) < 1.5  # a constant has 2


@pytest.mark.parametrize("filters", [8, 16])
def test_every_layer_of_a_new_one_passes_the_variance_and_judgements_vary(filters):
    torch.manual_seed(0)
    discriminator = Discriminator(filters, 4096)
    with torch.no_grad():
        judged, features = discriminator(machine_like(16, torch.Generator().manual_seed(0)).repeat(1, 4))
    for logits, layers in zip(judged, features, strict=True):
        powers = [float(layer.square().mean()) for layer in layers]
        ratios = [later / earlier for earlier, later in pairwise(powers)]
        assert all(0.25 < ratio < 4 for ratio in ratios), ratios  # a sixth with PyTorch's first weights
        assert 0.1 < float(logits.std()) < 3
        assert float(logits.std()) > 0.2 * abs(float(logits.mean()))


def test_a_new_one_passes_white_input_of_unit_variance_as_such():
    """Leaky ReLU of white noise with variance gain^2 has a power of gain^2 (1 + slope^2) / 2 = 1."""
    torch.manual_seed(0)
    scale = Discriminator(64, 128).scales[0]
    with torch.no_grad():
        for place, layer in enumerate(scale.layers):
            hidden = torch.randn(1, 2 if place == 0 else 64, 40, 64)
            out = torch.nn.functional.leaky_relu(layer(hidden)[:, :, 4:-4, 4:-4], 0.2)  # without zeros of the padding
            assert float(out.square().mean()) == pytest.approx(1, rel=0.1)


def test_magnitudes_are_compressed_and_phases_kept():
    parts = torch.tensor([[3.0, -0.03], [4.0, 0.04]])[None, :, None]
    compressed = _compress(parts)
    magnitudes = compressed.square().sum(1).sqrt().flatten()
    expected = torch.tensor([5.0, 0.05]) * (torch.tensor([25.0, 0.0025]) + 1e-4) ** -0.35
    torch.testing.assert_close(magnitudes, expected)
    torch.testing.assert_close(torch.atan2(compressed[:, 1], compressed[:, 0]), torch.atan2(parts[:, 1], parts[:, 0]))
    silent = torch.zeros(1, 2, 1, 1, requires_grad=True)
    _compress(silent).sum().backward()
    assert silent.grad is not None and bool(torch.isfinite(silent.grad).all())

from __future__ import annotations

import pytest
import torch

from asdbench.generators.mimii_gen.codec_training.initial import lapped_transform, whiten
from asdbench.generators.mimii_gen.codec_training.network import build
from asdbench.generators.mimii_gen.codec_training.settings import CodecSettings


@pytest.fixture(scope="module")
def settings():
    return CodecSettings(codebooks=2, codebook_size=4)


def sound(frames=40, seed=0):
    return torch.randn(1, 1, 128 * frames, generator=torch.Generator().manual_seed(seed))


def snr(wanted, found):
    wanted, found = wanted[..., 256:-256], found[..., 256:-256]  # the first and last frame lack a neighbour
    return float(10 * torch.log10(wanted.square().sum() / (wanted - found).square().sum()))


def test_the_transform_is_orthogonal_and_inverts_by_overlap_and_add():
    transform = lapped_transform(16).double()
    first, second = transform[:, :16], transform[:, 16:]
    torch.testing.assert_close(transform @ transform.t(), torch.eye(16).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(first.t() @ first + second.t() @ second, torch.eye(16).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(first @ second.t(), torch.zeros(16, 16).double(), atol=1e-6, rtol=0)


def test_a_tone_lies_in_its_own_band():
    transform = lapped_transform(128)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(256) / 16000)
    assert int((transform @ tone).abs().argmax()) in (15, 16)  # bands of 62.5 Hz


@torch.no_grad()
def test_the_network_starts_as_the_transform_and_its_inverse(settings):
    model = build(settings, seed=0)
    waveform = sound()
    latents = model.encoder(1000 * waveform) / 1000
    blocks = waveform.reshape(-1, 128)
    expected = torch.cat([blocks[:-1], blocks[1:]], dim=1) @ lapped_transform(128).t()
    torch.testing.assert_close(latents[0, :, 2:-2].t(), expected[2:-1], atol=0.05, rtol=0)
    assert snr(waveform, model.decoder(1000 * latents) / 1000) > 38
    # At the scale of trainings some 20 dB are left to train, and the lower the scale the more.
    assert 18 < snr(waveform, model.decoder(model.encoder(100 * waveform)) / 100) < 30


@torch.no_grad()
def test_whitened_latents_have_equal_deviations_and_decode_alike(settings):
    model = build(settings, seed=0)
    coloured = torch.nn.functional.avg_pool1d(1000 * sound(400), 9, 1, 4)
    latents = model.encoder(coloured)[0].t()
    assert float(latents.std(0).max() / latents.std(0).min()) > 5
    decoded = model.decoder(model.encoder(coloured))
    whiten(model, latents)
    white = model.encoder(coloured)
    deviations = white[0].square().mean(1).sqrt()
    torch.testing.assert_close(deviations, deviations.mean().expand(128), rtol=1e-3, atol=0)
    torch.testing.assert_close(model.decoder(white), decoded, rtol=1e-3, atol=0.5)


@torch.no_grad()
def test_an_empty_band_is_not_blown_up(settings):
    model = build(settings, seed=0)
    latents = torch.randn(500, 128, generator=torch.Generator().manual_seed(0))
    latents[:, 5] = 0
    before = model.encoder.layers[-1].conv.weight.clone()
    whiten(model, latents)
    ratio = model.encoder.layers[-1].conv.weight.norm(dim=(1, 2)) / before.norm(dim=(1, 2))
    assert bool(torch.isfinite(ratio).all())
    assert float(ratio.max() / ratio.min()) < 1.5e3


def test_gradients_are_finite_and_reach_the_silent_branches(settings):
    model = build(settings, seed=0)
    model.decoder(model.encoder(100 * sound())).square().mean().backward()
    reached = {name: tensor.grad for name, tensor in model.named_parameters()}
    assert all(grad is not None and bool(torch.isfinite(grad).all()) for grad in reached.values())
    gains = [name for name in reached if ".block.3." in name and name.endswith("weight.original0")]
    assert len(gains) == 6
    assert all(float(reached[name].abs().sum()) > 0 for name in gains)

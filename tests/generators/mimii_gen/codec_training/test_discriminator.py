from __future__ import annotations

import torch

from asdbench.generators.mimii_gen.codec_training.discriminator import Discriminator
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

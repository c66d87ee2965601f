from __future__ import annotations

import math

import pytest
import torch

from asdbench.generators.mimii_gen.codec_training.losses import (
    MelLoss,
    discriminator_loss,
    feature_loss,
    generator_loss,
    mel_filters,
    waveform_loss,
)

RATE, LENGTH = 16000, 4096


def noise(seed=0):
    return torch.randn(2, LENGTH, generator=torch.Generator().manual_seed(seed))


def test_waveform_loss_is_the_mean_difference():
    assert float(waveform_loss(torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 1.0]]))) == 1.25


def test_mel_loss_is_zero_for_equal_signals_and_finite_in_its_gradient():
    made = noise().requires_grad_()
    loss = MelLoss(RATE, LENGTH)(noise(), made)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-7)
    loss.backward()
    assert bool(torch.isfinite(made.grad).all())


def test_mel_loss_of_another_gain_is_known():
    # A gain g moves every log-mel value by 2 log g, which both distances measure.
    loss = float(MelLoss(RATE, LENGTH)(noise(), 2 * noise()))
    assert loss == pytest.approx(2 * 2 * math.log(2), rel=1e-4)


def test_mel_loss_hears_neither_phase_nor_sign_but_colour():
    mel = MelLoss(RATE, LENGTH)
    smooth = torch.nn.functional.avg_pool1d(noise()[:, None], 5, 1, 2)[:, 0]
    assert float(mel(noise(), -noise())) == pytest.approx(0.0, abs=1e-5)
    assert float(mel(noise(0), noise(1))) < float(mel(noise(0), smooth))


def test_mel_loss_uses_the_windows_that_fit():
    assert MelLoss(RATE, LENGTH).windows == [32, 64, 128, 256, 512, 1024, 2048]
    assert MelLoss(RATE, 300).windows == [32, 64, 128, 256]


def test_mel_filters_are_triangles_of_unit_sum_with_ascending_centres():
    filters = mel_filters(RATE, 2048, 64)
    assert filters.shape == (64, 1025)
    torch.testing.assert_close(filters.sum(1), torch.ones(64))
    assert bool((filters >= 0).all())
    peaks = filters.argmax(1)
    assert bool((peaks[1:] >= peaks[:-1]).all())
    assert len(mel_filters(RATE, 32, 64)) < 64
    assert bool((mel_filters(RATE, 32, 64).sum(1) > 0.99).all())


def test_hinge_losses_in_closed_form():
    real = [torch.tensor([2.0, 0.5]), torch.tensor([-1.0])]
    made = [torch.tensor([-3.0, 0.0]), torch.tensor([1.5])]
    # scale 1: real (0 + 0.5) / 2, made (0 + 1) / 2; scale 2: real 2, made 2.5
    assert float(discriminator_loss(real, made)) == pytest.approx((0.25 + 0.5 + 2 + 2.5) / 2)
    # scale 1: (4 + 1) / 2; scale 2: 0
    assert float(generator_loss(made)) == pytest.approx(1.25)


def test_feature_loss_is_relative_to_the_real_features():
    real = [[torch.tensor([2.0, -2.0]), torch.tensor([10.0])]]
    made = [[torch.tensor([1.0, -1.0]), torch.tensor([10.0])]]
    assert float(feature_loss(real, made)) == pytest.approx(0.25)
    assert float(feature_loss(real, real)) == 0

from __future__ import annotations

import pytest
import torch

from asdbench.generators.mimii_gen.codec_training.network import build, input_scale, with_gain
from asdbench.generators.mimii_gen.codec_training.settings import CodecSettings

SETTINGS = CodecSettings(ratios=(8, 4, 4), filters=4, start="random", causal=True, codebooks=3, codebook_size=8)


def test_the_model_is_what_the_settings_say():
    model = build(SETTINGS, seed=0)
    config = model.config
    assert (config.sampling_rate, list(config.upsampling_ratios), config.hidden_size) == (16000, [8, 4, 4], 128)
    assert len(model.quantizer.layers) == config.num_quantizers == 3
    assert model.quantizer.get_num_quantizers_for_bandwidth(SETTINGS.bandwidth) == 3
    assert model.encoder(torch.randn(1, 1, 1280)).shape == (1, 128, 10)


def test_the_seed_decides_the_weights_and_leaves_torchs_own_stream_alone():
    state = torch.get_rng_state()
    one, same, other = (build(SETTINGS, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@torch.no_grad()
def test_the_gain_becomes_part_of_the_weights():
    model = build(SETTINGS, seed=0).eval()
    waveform = torch.randn(1, 1, 1280)
    latents, decoded = model.encoder(37.0 * waveform), model.decoder(model.encoder(37.0 * waveform)) / 37.0
    with_gain(model, 37.0)
    torch.testing.assert_close(model.encoder(waveform), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decoder(model.encoder(waveform)), decoded, rtol=1e-3, atol=1e-5)


def test_networks_that_start_lapped_want_a_larger_scale():
    assert input_scale(SETTINGS, 0.01) == pytest.approx(100)
    assert input_scale(CodecSettings(), 0.01) == pytest.approx(10_000)

from __future__ import annotations

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.diffusion.backbone import PRESETS, Preset, build_backbone, smallest_frames

PARAMETERS = {
    "smoke": 1_369_200,
    "mini": 4_301_520,
    "tiny": 2_325_360,
    "small": 45_175_184,
    "base": 169_829_136,
    "paper": 859_590_096,
}


def predict(unet: torch.nn.Module, channels: int, height: int, frames: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(batch, channels, height, frames, generator=generator)
    states = torch.randn(batch, 5, 32, generator=generator)
    with torch.inference_mode():
        return unet(latents, torch.tensor(500), states, encoder_attention_mask=torch.ones(batch, 5)).sample


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_sizes_that_were_planned(name: str) -> None:
    with torch.device("meta"):
        unet = build_backbone(name, 16, 768)
    assert sum(parameter.numel() for parameter in unet.parameters()) == PARAMETERS[name]
    assert unet.config.in_channels == unet.config.out_channels == 16


@pytest.mark.parametrize("name", PRESETS)
def test_attention_heads_have_the_size_of_the_preset(name: str) -> None:
    from diffusers.models.attention_processor import Attention

    with torch.device("meta"):
        unet = build_backbone(name, 16, 768)
    attentions = [module for module in unet.modules() if isinstance(module, Attention)]
    assert {module.inner_dim // module.heads for module in attentions} == {PRESETS[name].head_size}
    assert {module.cross_attention_dim for module in attentions} >= {768}


def test_mini_begins_with_silence_and_its_kernels_meet_no_padding() -> None:
    unet = build_backbone("mini", 128, 32, flat=True).eval()
    noise, states = torch.randn(2, 128, 1, 40), torch.randn(2, 5, 32)
    assert not unet(noise, torch.tensor(500), states).sample.any()
    unet.conv_out.weight.data.normal_()
    unet.conv_out.weight.data[:, :, (0, 2)] = 0
    predicted = unet(noise, torch.tensor(500), states).sample
    assert predicted.any()
    predicted.square().mean().backward()
    rows = [weight.grad[:, :, (0, 2)] for weight in unet.parameters() if weight.ndim == 4 and weight.shape[2] == 3]
    assert rows and not any(row.any() for row in rows)  # they stay zero in training


def test_only_the_paper_preset_predicts_noise() -> None:
    assert [name for name, preset in PRESETS.items() if preset.prediction_type == "epsilon"] == ["paper"]


@pytest.mark.parametrize(("channels", "height"), [(16, 8), (128, 1)])
@pytest.mark.parametrize("name", ["smoke", "tiny"])
def test_any_number_of_frames_from_the_smallest_on(name: str, channels: int, height: int) -> None:
    unet = build_backbone(name, channels, 32).eval()
    for frames in (smallest_frames(unet), 47, 75, 101, 750):
        predicted = predict(unet, channels, height, frames)
        assert predicted.shape == (1, channels, height, frames)
        assert predicted.isfinite().all()


def test_fewer_frames_than_the_smallest_break_the_flat_layout() -> None:
    unet = build_backbone("smoke", 128, 32).eval()
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        predict(unet, 128, 1, smallest_frames(unet) - 1)


def test_weights_depend_on_the_seed_only_and_leave_the_global_state() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build_backbone("smoke", 16, 32, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = build_backbone("smoke", 16, 32, seed=7).state_dict()
    other = build_backbone("smoke", 16, 32, seed=8).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert not torch.equal(other["conv_in.weight"], first["conv_in.weight"])


def test_masked_tokens_change_nothing_and_kept_ones_do() -> None:
    unet = build_backbone("smoke", 16, 32).eval()
    latents, states = torch.ones(1, 16, 8, 20), torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]])

    def run(changed: int | None) -> torch.Tensor:
        given = states.clone()
        if changed is not None:
            given[0, changed] += 10
        with torch.inference_mode():
            return unet(latents, torch.tensor(10), given, encoder_attention_mask=mask).sample

    assert torch.equal(run(None), run(3))
    assert (run(None) - run(2)).abs().max() > 1e-4


def test_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no U-Net preset 'smal'; did you mean 'small'"):
        build_backbone("smal", 16, 32)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (Preset((64, 96), (False, True), 1, head_size=64), "96 channels is not a multiple of the head size, 64"),
        (Preset((64, 48), (False, True), 1, head_size=16), "48 channels .* normalisation groups, 32"),
        (Preset((64, 64), (True,), 1, head_size=32), "2 levels .* 1 attention flags"),
    ],
)
def test_presets_that_contradict_themselves_are_refused(preset: Preset, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(preset, 16, 32)

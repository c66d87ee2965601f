from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.diffusion.backbone import FLAT_WIDTHS, PRESETS, build_for_clips, smallest_frames
from asdbench.generators.mimii_gen.diffusion.flat_unet import FlatUNet

CHANNELS, CONTEXT, CLIP = 4, 8, 3


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(levels: int = 3) -> FlatUNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FlatUNet(
            in_channels=CHANNELS,
            cross_attention_dim=CONTEXT,
            clip_dim=CLIP,
            width=16,
            levels=levels,
            layers_per_block=1,
            heads=2,
            condition_dim=24,
        )


def predict(
    unet: FlatUNet,
    frames: int = 12,
    sample: torch.Tensor | None = None,
    states: torch.Tensor | None = None,
    clip: torch.Tensor | None = None,
    timesteps: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    prediction: torch.Tensor = unet(
        draw(2, CHANNELS, 1, frames) if sample is None else sample,
        torch.tensor([100, 700]) if timesteps is None else timesteps,
        draw(2, 5, CONTEXT, seed=1) if states is None else states,
        class_labels=draw(2, CLIP, seed=2) if clip is None else clip,
        encoder_attention_mask=mask,
    ).sample
    return prediction


@pytest.fixture(scope="module")
def taught() -> FlatUNet:
    """A network after a few steps of training."""
    unet = build()
    adam = torch.optim.Adam(unet.parameters(), 3e-3)
    for step in range(6):
        adam.zero_grad()
        (predict(unet) - draw(2, CHANNELS, 1, 12, seed=3 + step)).square().mean().backward()
        adam.step()
    return unet


def test_it_begins_with_a_prediction_of_zero() -> None:
    assert not predict(build()).any()


def test_the_gradient_reaches_every_weight(taught: FlatUNet) -> None:
    taught.zero_grad()
    predict(taught).square().sum().backward()
    silent = [name for name, weight in taught.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []
    taught.zero_grad()


def test_noise_level_caption_clip_latent_and_sample_count(taught: FlatUNet) -> None:
    with torch.no_grad():
        plain = predict(taught)
        others = {
            "timestep": predict(taught, timesteps=torch.tensor([100, 300])),
            "caption": predict(taught, states=draw(2, 5, CONTEXT, seed=9)),
            "clip": predict(taught, clip=draw(2, CLIP, seed=9)),
            "sample": predict(taught, sample=draw(2, CHANNELS, 1, 12, seed=9)),
        }
        for name, other in others.items():
            assert float((other - plain).abs().max()) > 1e-4, name
        assert torch.equal(others["timestep"][0], plain[0])  # of the same timestep
        scalar = predict(taught, timesteps=torch.tensor(100))
        torch.testing.assert_close(scalar[0], plain[0])


def test_tokens_that_the_mask_leaves_out_change_nothing(taught: FlatUNet) -> None:
    states = draw(2, 5, CONTEXT, seed=1)
    padded = torch.cat([states, 50 * draw(2, 3, CONTEXT, seed=4)], dim=1)
    mask = torch.tensor([[1.0] * 5 + [0.0] * 3] * 2)
    with torch.no_grad():
        torch.testing.assert_close(predict(taught, states=padded, mask=mask), predict(taught), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(predict(taught, states=padded), predict(taught), atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_any_number_of_frames_is_taken_from_the_smallest_on(levels: int) -> None:
    unet = build(levels)
    torch.nn.init.normal_(unet.leave.weight)
    for frames in range(smallest_frames(unet), smallest_frames(unet) + 9):
        with torch.no_grad():
            found = predict(unet, frames)
        assert found.shape == (2, CHANNELS, 1, frames) and bool(torch.isfinite(found).all())


def test_an_example_does_not_depend_on_the_one_beside_it(taught: FlatUNet) -> None:
    with torch.no_grad():
        both = predict(taught)
        alone = taught(
            draw(2, CHANNELS, 1, 12)[1:],
            torch.tensor([700]),
            draw(2, 5, CONTEXT, seed=1)[1:],
            class_labels=draw(2, CLIP, seed=2)[1:],
        ).sample
    torch.testing.assert_close(alone[0], both[1], rtol=1e-4, atol=1e-6)


def test_it_comes_back_from_its_folder(taught: FlatUNet, tmp_path: Path) -> None:
    taught.save_pretrained(tmp_path)
    loaded = FlatUNet.from_pretrained(tmp_path)
    assert loaded.config.width == 16 and loaded.config.clip_dim == CLIP
    with torch.no_grad():
        assert torch.equal(predict(loaded), predict(taught))


def test_every_preset_has_a_width_and_both_networks_follow_from_the_seed() -> None:
    assert FLAT_WIDTHS.keys() == PRESETS.keys()
    torch.manual_seed(3)
    unet, clips = build_for_clips("smoke", CHANNELS, CLIP + 2, CLIP, CONTEXT, seed=1)
    before = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), before)  # torch's global state is left as it was
    assert (unet.config.in_channels, unet.config.clip_dim, unet.config.cross_attention_dim) == (CHANNELS, CLIP, CONTEXT)
    assert (clips.config.clip_dim, clips.config.cross_attention_dim, clips.config.width) == (CLIP + 2, CONTEXT, 48)
    assert (
        clips.config.linear_rank == 128 and build_for_clips("smoke", 3, 160, 64, CONTEXT)[1].config.linear_rank == 160
    )
    rebuilt = FlatUNet.from_config(unet.config), type(clips).from_config(clips.config)
    assert [dict(each.config) for each in rebuilt] == [dict(unet.config), dict(clips.config)]
    again, other = (build_for_clips("smoke", CHANNELS, CLIP + 2, CLIP, CONTEXT, seed=seed)[0] for seed in (1, 2))
    assert torch.equal(again.enter.weight, unet.enter.weight) and not torch.equal(other.enter.weight, unet.enter.weight)
    with pytest.raises(UserError, match="no U-Net preset 'smal'; did you mean 'small'"):
        build_for_clips("smal", CHANNELS, CLIP + 2, CLIP, CONTEXT)

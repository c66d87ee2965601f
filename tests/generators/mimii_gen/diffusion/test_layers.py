from __future__ import annotations

import pytest
import torch

from asdbench.generators.mimii_gen.diffusion.flat_unet import FlatUNet
from asdbench.generators.mimii_gen.diffusion.layers import Conditioning

WIDTH, CONTEXT = 16, 8
STATES = torch.randn(2, 5, CONTEXT, generator=torch.Generator().manual_seed(0))
TIMESTEPS = torch.tensor([100, 700])


def test_a_clip_latent_changes_what_is_conditioned_on() -> None:
    conditioning = Conditioning(WIDTH, CONTEXT, clip_dim=3)
    zeros, ones = (conditioning(TIMESTEPS, STATES, None, torch.full((2, 3), value)) for value in (0.0, 1.0))
    assert zeros.shape == (2, WIDTH) and not torch.allclose(zeros, ones)


@pytest.mark.parametrize(
    ("clip_dim", "clip", "sentence"),
    [
        (3, None, "the network is conditioned on a clip latent of 3 values, found none"),
        (0, torch.zeros(2, 3), r"the network is conditioned on no clip latent, found the shape \(2, 3\)"),
    ],
    ids=["missing", "unexpected"],
)
def test_a_clip_latent_that_is_missing_or_unexpected_is_an_error(
    clip_dim: int, clip: torch.Tensor | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Conditioning(WIDTH, CONTEXT, clip_dim)(TIMESTEPS, STATES, None, clip)
    unet = FlatUNet(in_channels=4, cross_attention_dim=CONTEXT, clip_dim=clip_dim, width=WIDTH, condition_dim=WIDTH)
    with pytest.raises(ValueError, match=sentence):
        unet(torch.zeros(2, 4, 1, 8), TIMESTEPS, STATES, class_labels=clip)

"""The network that denoises clip latents: one vector a clip, conditioned on its caption.

Most of what a caption determines of a clip latent is linear: a mean that depends on the caption, and a covariance
around it. So beside residual layers there is a linear path whose gains depend on noise level and caption, with which a
few thousand steps reach what a Wiener filter does; all of it is trained by the same denoising loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn

from .layers import Attention, Conditioning

__all__ = ["ClipNetwork"]


class _Block(nn.Module):
    """A residual layer, scaled and shifted by what the network is conditioned on, that attends to the caption."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.scale_shift = nn.Linear(width, 2 * width)
        self.first, self.second = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.cross = Attention(width, context, heads)
        for layer in (self.second, self.cross.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, condition: Tensor, states: Tensor, mask: Tensor | None) -> Tensor:
        hidden = hidden + self.cross(self.cross_norm(hidden), states, mask)
        scale, shift = self.scale_shift(condition).chunk(2, dim=-1)
        made: Tensor = hidden + self.second(F.silu(self.first(self.norm(hidden) * (1 + scale) + shift)))
        return made


class ClipNetwork(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """The network; it is called as a U-Net is, with one vector a clip."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        clip_dim: int = 64,
        cross_attention_dim: int = 128,
        width: int = 192,
        layers: int = 3,
        heads: int = 4,
        linear_rank: int = 128,
    ) -> None:
        """Build an untrained network that predicts zero.

        Args:
            clip_dim: values of a clip latent.
            cross_attention_dim: width of the captions' token states.
            width: of the residual layers.
            layers: their number.
            heads: of the attention to the caption.
            linear_rank: values between the two maps of the linear path.
        """
        super().__init__()
        self.conditioning = Conditioning(width, cross_attention_dim)
        self.enter = nn.Linear(clip_dim, width)
        self.blocks = nn.ModuleList(_Block(width, cross_attention_dim, heads) for _ in range(layers))
        self.leave = nn.Linear(width, clip_dim)
        self.centre = nn.Linear(width, clip_dim)
        self.into, self.out = nn.Linear(clip_dim, linear_rank, bias=False), nn.Linear(linear_rank, clip_dim, bias=False)
        self.gains = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, linear_rank))
        nn.init.orthogonal_(self.into.weight)
        for layer in (self.leave, self.centre, self.out):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.leave.bias)
        nn.init.zeros_(self.centre.bias)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> UNet2DConditionOutput:
        """Predict noise or v.

        Args:
            sample: clip latents, shape (batch, clip_dim), or (batch, draws, clip_dim) where each caption has several.
            timestep: shape (batch,) or (), or (batch, draws).
            encoder_hidden_states: of the captions' tokens, shape (batch, tokens, cross_attention_dim).
            encoder_attention_mask: shape (batch, tokens); 1 = keep.
            kwargs: ignored.
        """
        states = encoder_hidden_states
        mask = None if encoder_attention_mask is None else encoder_attention_mask.bool()
        timesteps = torch.as_tensor(timestep, device=sample.device)
        if single := sample.ndim == 2:
            sample, timesteps = sample[:, None], timesteps.expand(len(sample))[:, None]
        condition = self.conditioning(timesteps, states, mask, None)
        hidden = self.enter(sample)
        for block in self.blocks:
            hidden = block(hidden, condition, states, mask)
        linear = self.out(self.gains(condition) * self.into(sample)) + self.centre(condition)
        made = self.leave(F.silu(hidden)) + linear
        return UNet2DConditionOutput(sample=made[:, 0] if single else made)

"""A one-dimensional U-Net with cross-attention, for latents of height 1: those of the compact codec.

The paper's U-Net is two-dimensional, for 16 x 8 x T latents. On latents that are a sequence, two thirds of its kernels
would meet nothing but padding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn

from .layers import Attention, Conditioning

__all__ = ["FlatUNet"]

_GROUPS = 8


class _Residual(nn.Module):
    """Two convolutions with a residual path, scaled and shifted by what the network is conditioned on."""

    def __init__(self, into: int, width: int, condition: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.GroupNorm(_GROUPS, into), nn.GroupNorm(_GROUPS, width)
        self.first = nn.Conv1d(into, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.scale_shift = nn.Linear(condition, 2 * width)
        self.skip = nn.Conv1d(into, width, 1) if into != width else nn.Identity()
        _silence(self.second)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.scale_shift(condition)[:, :, None].chunk(2, dim=1)
        made = self.first(F.silu(self.first_norm(hidden)))
        made = self.second(F.silu(self.second_norm(made) * (1 + scale) + shift))
        skipped: Tensor = self.skip(hidden) + made
        return skipped


class _Transformer(nn.Module):
    """Attention of the frames to each other, then to the caption's tokens."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.own, self.cross = Attention(width, width, heads), Attention(width, context, heads)
        _silence(self.own.out)
        _silence(self.cross.out)

    def forward(self, hidden: Tensor, states: Tensor, mask: Tensor | None) -> Tensor:
        frames = hidden.transpose(1, 2)
        normed = self.norms[0](frames)
        frames = frames + self.own(normed, normed)
        frames = frames + self.cross(self.norms[1](frames), states, mask)
        return frames.transpose(1, 2)


def _silence(layer: nn.Linear | nn.Conv1d) -> None:
    """Start with a residual of zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class FlatUNet(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """The network; see `backbone.build_backbone` for what is asked of one."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        in_channels: int = 16,
        cross_attention_dim: int = 128,
        clip_dim: int = 0,
        width: int = 128,
        levels: int = 3,
        layers_per_block: int = 2,
        heads: int = 4,
        condition_dim: int = 256,
    ) -> None:
        """Build an untrained network that predicts zero.

        Args:
            in_channels: channels of the latents, in and out.
            cross_attention_dim: width of the captions' token states.
            clip_dim: values of the clip latent that the network is conditioned on; 0 for none.
            width: channels at all levels.
            levels: resolutions; each has half of the frames of the one above.
            layers_per_block: residual blocks of a level, on the way down and up alike.
            heads: of the attention at the bottom level.
            condition_dim: width of the vector of noise level, caption and clip latent.
        """
        super().__init__()
        self.conditioning = Conditioning(condition_dim, cross_attention_dim, clip_dim)
        self.enter = nn.Conv1d(in_channels, width, 3, padding=1)
        blocks = range(layers_per_block)
        self.down = nn.ModuleList(
            nn.ModuleList(_Residual(width, width, condition_dim) for _ in blocks) for _ in range(levels)
        )
        self.shrink = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(levels - 1))
        self.before, self.after = (_Residual(width, width, condition_dim) for _ in range(2))
        self.middle = _Transformer(width, cross_attention_dim, heads)
        self.up = nn.ModuleList(
            nn.ModuleList(_Residual(width if block else 2 * width, width, condition_dim) for block in blocks)
            for _ in range(levels)
        )
        self.grow = nn.ModuleList(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1) for _ in range(levels - 1))
        self.norm, self.leave = nn.GroupNorm(_GROUPS, width), nn.Conv1d(width, in_channels, 3, padding=1)
        _silence(self.leave)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> UNet2DConditionOutput:
        """Predict noise or v.

        Args:
            sample: latents, shape (batch, in_channels, 1, T).
            timestep: shape (batch,) or ().
            encoder_hidden_states: of the captions' tokens, shape (batch, tokens, cross_attention_dim).
            class_labels: clip latents, shape (batch, clip_dim); None where ``clip_dim`` is 0.
            encoder_attention_mask: shape (batch, tokens); 1 = keep.
            kwargs: ignored, as diffusers' networks take more.

        Raises:
            ValueError: clip latents are missing where the network is conditioned on them, or given where it is not.
        """
        states = encoder_hidden_states
        mask = None if encoder_attention_mask is None else encoder_attention_mask.bool()
        condition = self.conditioning(torch.as_tensor(timestep, device=sample.device), states, mask, class_labels)
        frames = sample.shape[-1]
        hidden = self.enter(F.pad(sample[:, :, 0], (0, -frames % 2 ** (self.config.levels - 1)), mode="replicate"))
        skips = []
        for level, blocks in enumerate(self.down):
            for block in cast("nn.ModuleList", blocks):
                hidden = block(hidden, condition)
            skips.append(hidden)
            if level < self.config.levels - 1:
                hidden = self.shrink[level](hidden)
        hidden = self.after(self.middle(self.before(hidden, condition), states, mask), condition)
        for level in reversed(range(self.config.levels)):
            hidden = torch.cat([hidden, skips[level]], dim=1)
            for block in cast("nn.ModuleList", self.up[level]):
                hidden = block(hidden, condition)
            if level:
                hidden = self.grow[level - 1](hidden)
        made = self.leave(F.silu(self.norm(hidden)))[:, :, None, :frames]
        return UNet2DConditionOutput(sample=made)

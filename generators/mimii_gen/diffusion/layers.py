"""Layers that the networks for compact latents share: attention, and all that they are conditioned on as one vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

__all__ = ["Attention", "Conditioning"]

_SINES = 64


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself or to the token states of captions.

    Attributes:
        heads: number of heads; it divides the width.
    """

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            hidden: shape (batch, queries, width).
            context: shape (batch, tokens, context).
            mask: bool, shape (batch, tokens); True = keep.

        Returns:
            Shape (batch, queries, width).
        """
        query = self._heads(self.query(hidden))
        key, value = (self._heads(part) for part in self.key_value(context).chunk(2, dim=-1))
        kept = None if mask is None else mask[:, None, None, :]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=kept)
        result: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return result

    def _heads(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Conditioning(nn.Module):
    """Noise level, caption and, where there is one, the clip latent as one vector.

    The caption comes in by cross-attention: learned queries attend to its token states.
    """

    def __init__(self, width: int, context: int, clip_dim: int = 0, queries: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.clip_dim = clip_dim
        self.sines = Timesteps(_SINES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(_SINES, width)
        self.queries = nn.Parameter(torch.randn(queries, width) / width**0.5)
        self.attention = Attention(width, context, heads)
        self.caption = nn.Sequential(nn.SiLU(), nn.Linear(queries * width, width))
        self.clip = nn.Sequential(nn.Linear(clip_dim, width), nn.SiLU(), nn.Linear(width, width)) if clip_dim else None

    def forward(self, timesteps: Tensor, states: Tensor, mask: Tensor | None, clip: Tensor | None) -> Tensor:
        """Return a vector for each timestep, shape (batch, width) or (batch, draws, width).

        Args:
            timesteps: shape (batch,), (batch, draws) where a clip has several, or () for one that all have.
            states: of the captions' tokens, shape (batch, tokens, context).
            mask: see `Attention`.
            clip: the clip latent, shape (batch, clip_dim); None where the network is not conditioned on one.

        Raises:
            ValueError: the network is conditioned on a clip latent and ``clip`` is None, or the other way round.
        """
        if (clip is None) != (self.clip is None):
            needed = "no clip latent" if self.clip is None else f"a clip latent of {self.clip_dim} values"
            found = "none" if clip is None else f"the shape {tuple(clip.shape)}"
            raise ValueError(f"the network is conditioned on {needed}, found {found}")
        batch = len(states)
        timesteps = timesteps.expand(batch) if timesteps.ndim == 0 else timesteps
        time: Tensor = self.time(self.sines(timesteps.flatten()).to(states.dtype)).unflatten(0, timesteps.shape)
        summed = self.caption(self.attention(self.queries.expand(batch, -1, -1), states, mask).flatten(1))
        if self.clip is not None:
            summed = summed + self.clip(clip)
        return F.silu(time + (summed if timesteps.ndim == 1 else summed[:, None]))

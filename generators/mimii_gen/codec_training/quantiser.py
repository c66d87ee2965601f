"""Training of the residual vector quantiser of `transformers.EncodecModel`, which itself only encodes and decodes.

Each codebook quantises what the ones before it left. Codewords are moving averages of the vectors that chose them
(van den Oord et al., arXiv:1711.00937, appendix A.1), begin with k-means of the first data, and are replaced by current
vectors when hardly any choose them (Defossez et al., arXiv:2210.13438, section 3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["begin", "quantise", "update"]

_KMEANS_ROUNDS = 10
_SMALLEST_USE = 0.01
"""A codeword is replaced when its moving count is below this share of what it would be if all were chosen alike."""


@torch.no_grad()
def begin(quantizer: Any, latents: Tensor, generator: torch.Generator) -> None:
    """Set all codebooks by k-means of latents, each on what the ones before it left.

    Args:
        quantizer: of an `EncodecModel`.
        latents: shape (vectors, dim).
        generator: chooses the first means.
    """
    residual = latents
    for layer in quantizer.layers:
        book = layer.codebook
        size = len(book.embed)
        means = residual[_draw(len(residual), size, generator)]
        if len(residual) <= size:  # no two first means alike, or they stay alike
            means = means + 1e-4 * residual.std() * torch.randn(means.shape, generator=generator).to(means)
        for _ in range(_KMEANS_ROUNDS):
            counts, sums = _assign(residual, _nearest(residual, means), size)
            means = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), means)
        chosen = _nearest(residual, means)
        counts, sums = _assign(residual, chosen, size)
        book.embed.copy_(means)
        # As one update would leave them, so that moving averages go on from here.
        book.cluster_size.copy_(counts)
        book.embed_avg.copy_(means * counts[:, None])
        residual = residual - means[chosen]


def quantise(quantizer: Any, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise latents; the gradient passes through as if they had not been.

    Args:
        quantizer: of an `EncodecModel`.
        latents: shape (batch, dim, frames).

    Returns:
        The sum of the codewords, shape (batch, dim, frames); codes, shape (codebooks, batch * frames); and the
        commitment loss: squared distances of what each codebook quantised to its codewords (constants), summed over the
        codebooks and divided by their number and by the mean square of the latents, which makes it free of scale.
    """
    vectors = latents.transpose(1, 2).reshape(-1, latents.shape[1])
    residual, total = vectors, torch.zeros_like(vectors)
    losses, codes = [], []
    for layer in quantizer.layers:
        embed = layer.codebook.embed
        with torch.no_grad():
            chosen = _nearest(residual, embed)
        words = embed[chosen].detach()
        losses.append((residual - words).square().mean())
        residual = residual - words
        total = total + words
        codes.append(chosen)
    power = vectors.detach().square().mean().clamp(min=1e-20)
    commitment = torch.stack(losses).mean() / power
    straight = vectors + (total - vectors).detach()
    return straight.reshape(len(latents), -1, latents.shape[1]).transpose(1, 2), torch.stack(codes), commitment


@torch.no_grad()
def update(quantizer: Any, latents: Tensor, codes: Tensor, decay: float, generator: torch.Generator) -> int:
    """Move the codewords towards the vectors that chose them, and replace those that hardly any chose.

    With counts n and sums s of the vectors that chose a codeword: N <- decay N + (1 - decay) n, S <- decay S +
    (1 - decay) s, codeword S / N.

    Args:
        quantizer: of an `EncodecModel`.
        latents: shape (batch, dim, frames), as they were quantised.
        codes: what `quantise` returned.
        decay: of the averages.
        generator: draws the vectors that replace codewords.

    Returns:
        How many codewords were replaced.
    """
    residual = latents.transpose(1, 2).reshape(-1, latents.shape[1])
    replaced = 0
    for layer, chosen in zip(quantizer.layers, codes, strict=True):
        book = layer.codebook
        size = len(book.embed)
        words = book.embed[chosen]
        counts, sums = _assign(residual, chosen, size)
        book.cluster_size.mul_(decay).add_(counts, alpha=1 - decay)
        book.embed_avg.mul_(decay).add_(sums, alpha=1 - decay)
        least = _SMALLEST_USE * float(book.cluster_size.sum()) / size
        dead = book.cluster_size < least
        number = int(dead.sum())
        if number:
            book.embed_avg[dead] = residual[_draw(len(residual), number, generator)]
            book.cluster_size[dead] = 1.0
            replaced += number
        book.embed.copy_(book.embed_avg / book.cluster_size[:, None].clamp(min=1e-12))
        residual = residual - words
    return replaced


def _nearest(vectors: Tensor, words: Tensor) -> Tensor:
    """Index of the nearest codeword of each vector, computed as in `EncodecEuclideanCodebook`, so that codes agree."""
    words = words.t()
    distances = vectors.pow(2).sum(1, keepdim=True) - 2 * vectors @ words + words.pow(2).sum(0, keepdim=True)
    return (-distances).max(dim=-1).indices


def _assign(vectors: Tensor, chosen: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Counts, shape (size,), and sums, shape (size, dim), of the vectors that chose each codeword."""
    counts = torch.bincount(chosen, minlength=size).to(vectors)
    sums = torch.zeros(size, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    return counts, sums.index_add_(0, chosen, vectors)


def _draw(available: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Indices at random, without repetition as far as there are enough."""
    order = torch.randperm(available, generator=generator)
    return order[torch.arange(wanted) % available]

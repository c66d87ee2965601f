"""Details of a clip's static spectrum that the coded part of its clip latent leaves out.

The information of the clip latent has a price in training, so that it keeps what clips differ in most and leaves some
tenths of a decibel a band out: single harmonics of a gear, say. A detector that compares mean spectra with a covariance
sees these, and finds anomalies that lack them too weak. So the mean over time of what the log power of each band is
above what the decoder expects is measured on training clips, and its principal components are further values of the
clip latent. How exactly a clip tells them is known from how the difference scatters over its blocks, and the chance
part is left out as a Wiener filter does. Estimates are taken and not draws: the prior is that of all machines, and
draws of what it leaves open would be wider than the clips of most of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from .network import CompactNetwork, Power, excess

__all__ = ["encode_details", "measure_details"]

_BLOCK = 8
"""Frames of a block, two windows: the means of two blocks differ by chance alone."""
_CLIPS_EACH = 4
"""Clips that a component is measured on, at least."""


def encode_details(network: CompactNetwork, decibels: Tensor, power: Power) -> Tensor:
    """Return the details of clips, shape (batch, detail_dim).

    Args:
        network: its details were measured.
        decibels: log-mel frames of whole clips, shape (batch, bands, frames).
        power: what the decoder makes of their latents without details, of as many frames or more.
    """
    basis = network.detail_basis
    # A component without variance tells nothing: its value is that of the prior.
    scale = basis.square().sum(dim=1, keepdim=True).clamp(min=torch.finfo(basis.dtype).tiny)
    left = excess(decibels, power) - network.detail_mean[:, None]
    values = torch.einsum("kb,nbt->nkt", basis / scale, left)
    blocks = _blocks(values)
    if blocks is None:
        return torch.zeros_like(values[..., 0])
    # In units of the deviation of the component, so that its variance over all clips is 1.
    chance = blocks.var(dim=2) / blocks.shape[2]
    return values.mean(dim=2) / (1 + chance)


def measure_details(network: CompactNetwork, left: Iterable[Tensor]) -> None:
    """Set the buffers ``detail_mean`` and ``detail_basis``.

    Args:
        network: all else that decides about the decoded level is final.
        left: for each of some training clips what `excess` returns for it without details, shape (1, bands, frames).
    """
    means, chances = [], []
    for clip in left:
        means.append(clip[0].double().mean(dim=1).cpu().numpy())
        blocks = _blocks(clip.double())
        if blocks is not None:
            chances.append(np.cov(blocks[0].cpu().numpy()) / blocks.shape[2])
    network.detail_mean.copy_(torch.from_numpy(np.mean(means, axis=0)))
    network.detail_basis.zero_()
    count = min(len(network.detail_basis), len(means) // _CLIPS_EACH)
    if count == 0 or len(chances) < len(means):
        return
    variances, axes = np.linalg.eigh(np.cov(np.transpose(means)) - np.mean(chances, axis=0))
    largest = np.argsort(-variances)[:count]
    rows = np.sqrt(np.maximum(variances[largest], 0.0))[:, None] * axes.T[largest]
    network.detail_basis[:count] = torch.from_numpy(rows).to(network.detail_basis)


def _blocks(values: Tensor) -> Tensor | None:
    """Means of blocks of frames, shape (batch, rows, blocks); None where there are not two."""
    count = values.shape[2] // _BLOCK
    if count < 2:
        return None
    return values[:, :, : count * _BLOCK].unflatten(2, (count, _BLOCK)).mean(dim=3)

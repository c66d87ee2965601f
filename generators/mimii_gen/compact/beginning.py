"""What the training of a compact codec begins with: statistics of the clips, and principal components.

The clip latent starts as the whitened principal components of the features of clips, and the decoder as their inverse,
so that the network only has to learn what is not linear.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asdbench import UserError

from .examples import Examples
from .network import CompactNetwork
from .spectra import Spectra

__all__ = ["begin", "log_shape_of"]

_MEASURED = 512
"""Clips that means and deviations of bands are measured on."""
_ANALYSED = 5000
"""Clips whose principal components are taken."""
_LEAST_STD_DB = 0.1
_LEAST_STILL, _LEAST_SHARE = 1e-2, 0.1
"""Least deviations that features are divided by: of the logs of deviations, and of shares of lines, most of which are
zero."""
_FIRST_LOG_VARIANCE = -4.0


@torch.no_grad()
def begin(network: CompactNetwork, examples: Examples, spectra: Spectra) -> Tensor:
    """Set the statistics and the first weights of an untrained network.

    Returns:
        The features of all clips, shape (clips, 4 * bands).

    Raises:
        UserError: the clips are silent or do not differ.
    """
    chosen = examples.evenly(_MEASURED)
    means = np.stack([examples.frames(index).mean(axis=0) for index in chosen])
    mean = means.mean(axis=0)
    squares = [np.square(examples.frames(index) - mean).mean(axis=0) for index in chosen]
    std = np.sqrt(np.mean(squares, axis=0))
    if not std.max() > _LEAST_STD_DB:
        raise UserError("the spectrograms of the training clips do not vary: a codec can learn nothing from them")
    network.mean[:, 0] = torch.from_numpy(mean)
    network.std[:, 0] = torch.from_numpy(np.maximum(std, _LEAST_STD_DB))
    variance = torch.from_numpy(np.square(spectra.noise.log_std.astype(np.float64)))
    network.noise_log_shape[:, 0] = log_shape_of(variance).float()
    rows = []
    for index in range(len(examples)):
        frames = network.normalized(torch.from_numpy(examples.frames(index).T)[None])
        rows.append(network.features(frames, torch.from_numpy(examples.lines[index : index + 1])))
    features = torch.cat(rows)
    _begin_with_components(network, features, examples)
    return features


def _begin_with_components(network: CompactNetwork, features: Tensor, examples: Examples) -> None:
    bands, count = network.bands, network.config.clip_dim
    spread = features.std(dim=0, correction=0)
    spread[: 2 * bands].clamp_(min=_LEAST_STILL)
    spread[2 * bands :].clamp_(min=_LEAST_SHARE)
    network.feature_mean.copy_(features.mean(dim=0))
    network.feature_std.copy_(spread)
    scaled = ((features - network.feature_mean) / spread)[examples.evenly(_ANALYSED)]
    _, sizes, axes = torch.linalg.svd(scaled, full_matrices=False)
    sizes, axes = sizes[:count] / len(scaled) ** 0.5, axes[:count]
    known = len(sizes)  # of few clips there are fewer components than values of the clip latent
    floor = max(1e-3, float(sizes[0]) * 1e-3)
    network.clip_linear.weight.zero_()
    network.clip_linear.weight[:known] = axes / sizes.clamp(min=floor)[:, None]
    network.clip_linear.bias.zero_()
    network.to_clip.weight.zero_()
    network.to_clip.bias.zero_()
    network.to_clip.bias[count:] = _FIRST_LOG_VARIANCE
    network.static_linear.weight.zero_()
    network.static_linear.bias.zero_()
    for rows in (slice(0, bands), slice(2 * bands, 3 * bands)):  # levels, and shares of lines
        network.static_linear.weight[rows, :known] = (axes * sizes[:, None]).T[rows] * spread[rows, None]
        network.static_linear.bias[rows] = network.feature_mean[rows]


def log_shape_of(variance: Tensor) -> Tensor:
    """Log of the shape of the gamma distribution whose logarithm has a variance: the inverse of trigamma(exp(x)).

    Args:
        variance: positive, any shape, float64.
    """
    low, high = torch.full_like(variance, -6.0), torch.full_like(variance, 12.0)
    for _ in range(60):
        middle = (low + high) / 2
        larger = torch.polygamma(1, middle.exp()) > variance
        low, high = torch.where(larger, middle, low), torch.where(larger, high, middle)
    return (low + high) / 2

"""The network of the DCASE autoencoder and its loss."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from ..shared import training as loop
from ..shared.frames import Frames
from ..shared.networks import seeded
from ..shared.training import Training


def build_network(num_inputs: int, width: int, bottleneck: int, seed: int) -> nn.Sequential:
    """Build the autoencoder: 4 layers down, the bottleneck, 4 layers up and a linear output.

    Every layer but the last is followed by batch normalisation (momentum 0.01, eps 1e-3) and ReLU. The weights depend
    on the seed only; torch's global random state is left as it was.
    """
    with seeded(seed):
        return _build(num_inputs, width, bottleneck)


def _build(num_inputs: int, width: int, bottleneck: int) -> nn.Sequential:
    widths = [num_inputs, *[width] * 4, bottleneck, *[width] * 4]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after, momentum=0.01, eps=1e-3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_inputs))


def train(network: nn.Sequential, frames: Frames, training: Training, device: torch.device) -> dict[str, list[float]]:
    """Train the network to reproduce its input (mean squared error, Adam); the last epoch is the model.

    A share of the vectors is held out; its loss is logged and nothing else depends on it.

    Returns:
        Mean training loss and held-out loss of each epoch.
    """

    def loss(vectors: Tensor, rows: Tensor) -> Tensor:
        return nn.functional.mse_loss(network(vectors), vectors)

    return loop.train(network, frames, training, device, loss)


def reconstruct(network: nn.Module, vectors: Tensor, device: torch.device) -> Tensor:
    """Return the residuals x - x_hat of vectors, shape (num_vectors, num_inputs), on the CPU."""
    network.eval()
    with torch.inference_mode():
        batch = vectors.to(device)
        return (batch - network(batch)).cpu()

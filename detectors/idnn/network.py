"""The networks IDNN and VIDNN, and their loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..shared.gaussian import Gaussian, kl_divergence
from ..shared.networks import BandScale, layers
from ..shared.training import Loss


class Interpolator(nn.Module):
    """Predicts the middle frame of a vector from the frames around it.

    Attributes:
        scale: scaling of the bands, to be learnt from the training frames before training.
    """

    def __init__(self, n_mels: int, stacked: int, hidden: Sequence[int], bottleneck: int, variational: bool) -> None:
        super().__init__()
        self._n_mels, self._middle = n_mels, stacked // 2
        self.scale = BandScale(n_mels)
        width = 2 * bottleneck if variational else bottleneck
        self.encoder = nn.Sequential(*layers([(stacked - 1) * n_mels, *hidden, width], nn.ReLU))
        self.decoder = nn.Sequential(*layers([bottleneck, *reversed(hidden), n_mels], nn.ReLU))
        self._variational = variational

    def split(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Cut vectors into the frames around, shape (num_vectors, (stacked - 1) * n_mels), and the middle frame."""
        start, stop = self._middle * self._n_mels, (self._middle + 1) * self._n_mels
        return torch.cat([vectors[:, :start], vectors[:, stop:]], dim=1), vectors[:, start:stop]

    def forward(self, around: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from the frames around.

        Returns:
            The middle frames in dB, shape (num_vectors, n_mels), and the divergence of the bottleneck's distribution
            from the standard normal one in nats, shape (num_vectors,), zero where there is none. The bottleneck is
            sampled while training, its mean taken otherwise.
        """
        code = self.encoder(self.scale(around))
        divergence = code.new_zeros(len(code))
        if self._variational:
            posterior = Gaussian.of(code)
            divergence = kl_divergence(posterior)
            code = posterior.sample() if self.training else posterior.mean
        else:
            code = torch.relu(code)
        return self.scale.inverse(self.decoder(code)), divergence

    def errors(self, vectors: Tensor) -> Tensor:
        """Mean squared error of the middle frame of each vector in dB squared, shape (num_vectors,), float64."""
        around, middle = self.split(vectors)
        return (self(around)[0] - middle).double().square().mean(dim=1)


def loss_of(network: Interpolator) -> Loss:
    """The loss: mean squared error, or for VIDNN minus the evidence bound with unit variance in dB, per band."""

    def loss(vectors: Tensor, rows: Tensor) -> Tensor:
        around, middle = network.split(vectors)
        predicted, divergence = network(around)
        return nn.functional.mse_loss(predicted, middle) + 2 * divergence.mean() / middle.shape[1]

    return loss

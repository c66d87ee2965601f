"""The hierarchical conditional variational autoencoder and its loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..shared.gaussian import Gaussian, kl_divergence
from ..shared.networks import BandScale, layers
from ..shared.training import Loss


class HierarchicalAutoencoder(nn.Module):
    """A latent vector for each level of what is known of a clip, the lower given the upper.

    With upper condition c1 and lower condition c2 the model is p(z1 | c1) p(z2 | z1, c1, c2) p(x | z1, z2, c1, c2); the
    posterior is q(z1 | x, c1) q(z2 | x, z1, c1, c2). All are Gaussian; that of x has unit variance in scaled bands.

    Attributes:
        scale: scaling of the bands, to be learnt from the training frames before training.
    """

    def __init__(
        self, n_mels: int, stacked: int, hidden: Sequence[int], latent: Sequence[int], conditions: Sequence[int]
    ) -> None:
        super().__init__()
        (first, second), (upper, lower) = latent, conditions
        self.scale = BandScale(n_mels)
        self.trunk = nn.Sequential(*layers([stacked * n_mels, *hidden], nn.ReLU), nn.ReLU())
        self.posterior_1 = nn.Linear(hidden[-1] + upper, 2 * first)
        self.prior_1 = nn.Linear(upper, 2 * first)
        self.posterior_2 = nn.Linear(hidden[-1] + first + upper + lower, 2 * second)
        self.prior_2 = nn.Linear(first + upper + lower, 2 * second)
        widths = [first + second + upper + lower, *reversed(hidden), stacked * n_mels]
        self.decoder = nn.Sequential(*layers(widths, nn.ReLU))

    def forward(self, vectors: Tensor, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct vectors under conditions, shapes (num_vectors, size); zeros stand for what is not known.

        Latent vectors are sampled while training, their means taken otherwise.

        Returns:
            Half the squared error of the reconstruction (of scaled bands), and the divergence of the posterior from
            the prior over both levels in nats, shape (num_vectors,) each.
        """
        unit = self.scale(vectors)
        trunk = self.trunk(unit)
        posterior = Gaussian.of(self.posterior_1(torch.cat([trunk, upper], dim=1)))
        divergence = kl_divergence(posterior, Gaussian.of(self.prior_1(upper)))
        first = posterior.sample() if self.training else posterior.mean
        posterior = Gaussian.of(self.posterior_2(torch.cat([trunk, first, upper, lower], dim=1)))
        divergence = divergence + kl_divergence(
            posterior, Gaussian.of(self.prior_2(torch.cat([first, upper, lower], dim=1)))
        )
        second = posterior.sample() if self.training else posterior.mean
        rebuilt = self.decoder(torch.cat([first, second, upper, lower], dim=1))
        return (unit - rebuilt).square().sum(dim=1) / 2, divergence

    def bound(self, vectors: Tensor, upper: Tensor, lower: Tensor) -> float:
        """Minus the evidence bound in nats, up to a constant, under one condition a level; mean over the vectors."""
        error, divergence = self(vectors, *(level.expand(len(vectors), -1) for level in (upper, lower)))
        return float((error + divergence).double().mean())


def loss_of(network: HierarchicalAutoencoder, upper: Tensor, lower: Tensor, clip_of: Tensor, blank: float) -> Loss:
    """The loss: minus the evidence bound up to a constant, per band.

    Args:
        network: the network.
        upper: condition of each clip, shape (num_clips, size).
        lower: likewise.
        clip_of: the clip of each frame, shape (num_frames,).
        blank: share of the vectors whose lower condition is blanked while training, and of these the upper one's too,
            so that the network knows clips of which less is known.
    """

    def loss(vectors: Tensor, rows: Tensor) -> Tensor:
        clips = clip_of[rows]
        levels = [upper[clips], lower[clips]]
        if network.training:
            kept = (torch.rand(2, len(rows), 1) >= blank).to(upper.dtype)
            levels = [levels[0] * (1 - (1 - kept[0]) * (1 - kept[1])), levels[1] * kept[1]]
        error, divergence = network(vectors, *(level.to(vectors.device) for level in levels))
        return (error + divergence).mean() * 2 / vectors.shape[1]

    return loss

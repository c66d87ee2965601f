"""Gaussian distributions with diagonal covariance, as variational autoencoders use them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LIMIT = 10.0  # of a log variance: exp(10) is no overflow and no useful deviation either


@dataclass(frozen=True)
class Gaussian:
    """Normal distributions with independent dimensions.

    Attributes:
        mean: shape (num_vectors, dim).
        log_variance: likewise.
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, output: Tensor) -> Gaussian:
        """From the output of a network: the first half is the mean, the second the log variance, within bounds."""
        mean, log_variance = output.chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-_LIMIT, _LIMIT))

    def sample(self) -> Tensor:
        """Draw one point a vector; gradients pass (the reparameterisation of Kingma and Welling, ICLR 2014)."""
        return self.mean + torch.exp(self.log_variance / 2) * torch.randn_like(self.mean)


def kl_divergence(first: Gaussian, second: Gaussian | None = None) -> Tensor:
    """Kullback-Leibler divergence KL(first || second) in nats, shape (num_vectors,); None is the standard normal."""
    if second is None:
        parts = first.mean.square() + first.log_variance.exp() - first.log_variance - 1
    else:
        distance = (first.mean - second.mean).square() + first.log_variance.exp()
        parts = distance / second.log_variance.exp() + second.log_variance - first.log_variance - 1
    return parts.sum(dim=1) / 2

"""Gaussian mixtures with full covariances, differentiable, in double precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture.

    Attributes:
        weights: shape (components,), sum 1.
        means: shape (components, dim).
        covariances: shape (components, dim, dim).
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @classmethod
    def of(cls, points: Tensor, memberships: Tensor, floor: float) -> Mixture:
        """The mixture of points that belong to its components in known shares.

        Source: B. Zong et al., "Deep autoencoding Gaussian mixture model for unsupervised anomaly detection", ICLR
        2018, equation 5.

        Args:
            points: shape (num_points, dim), float64.
            memberships: shape (num_points, components), rows of sum 1.
            floor: what is added to the variances, so that no covariance is singular.
        """
        shares = memberships.sum(dim=0)
        counts = shares.clamp(min=torch.finfo(shares.dtype).tiny)
        means = memberships.T @ points / counts[:, None]
        covariances = []
        for member, mean, count in zip(memberships.T, means, counts, strict=True):
            centred = points - mean
            covariances.append((member[:, None] * centred).T @ centred / count)
        diagonal = floor * torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
        return cls(shares / len(points), means, torch.stack(covariances) + diagonal)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Mixture:
        """Put back what `to_arrays` returned, in float64 on the CPU."""
        return cls(*(torch.as_tensor(np.asarray(arrays[name], dtype=np.float64)) for name in cls.__dataclass_fields__))

    def to_arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """The parameters as arrays, by the names of the attributes."""
        return {name: getattr(self, name).detach().cpu().numpy() for name in self.__dataclass_fields__}

    def to(self, device: torch.device) -> Mixture:
        """The mixture on a device."""
        return type(self)(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each dimension over the whole mixture, shape (dim,) each."""
        mean = self.weights @ self.means
        squares = self.weights @ (self.covariances.diagonal(dim1=1, dim2=2) + self.means.square())
        return mean, (squares - mean.square()).sqrt()

    def energy(self, points: Tensor) -> Tensor:
        """Minus the log likelihood of points in nats, shape (num_points,); the points are shape (num_points, dim)."""
        return -torch.logsumexp(self._joint(points), dim=0)

    def memberships(self, points: Tensor) -> Tensor:
        """Posterior probability of each component, shape (num_points, components)."""
        return torch.softmax(self._joint(points), dim=0).T

    def _joint(self, points: Tensor) -> Tensor:
        """Log density of points and component, shape (components, num_points)."""
        factors = torch.linalg.cholesky(self.covariances)
        centred = (points - self.means[:, None]).transpose(1, 2)  # (components, dim, num_points)
        squares = torch.linalg.solve_triangular(factors, centred, upper=False).square().sum(dim=1)
        log_determinants = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(dim=1, keepdim=True)
        log_densities = -(squares + log_determinants + points.shape[1] * math.log(2 * math.pi)) / 2
        return self.weights.clamp(min=torch.finfo(self.weights.dtype).tiny).log()[:, None] + log_densities

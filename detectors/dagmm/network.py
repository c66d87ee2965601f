"""The compression and estimation networks of the deep autoencoding Gaussian mixture model, and their loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..shared.mixture import Mixture
from ..shared.networks import BandScale, layers
from ..shared.training import Loss

_SMALL = 1e-12
_PART = 4096  # vectors at once


class DeepMixture(nn.Module):
    """Compresses vectors, and says to which component of a Gaussian mixture what is left belongs.

    Attributes:
        scale: scaling of the bands, to be learnt from the training frames before training.
    """

    def __init__(self, n_mels: int, stacked: int, hidden: Sequence[int], bottleneck: int, components: int) -> None:
        super().__init__()
        self.scale = BandScale(n_mels)
        widths = [stacked * n_mels, *hidden, bottleneck]
        self.encoder = nn.Sequential(*layers(widths, nn.Tanh))
        self.decoder = nn.Sequential(*layers(widths[::-1], nn.Tanh))
        self.estimation = nn.Sequential(
            nn.Linear(bottleneck + 2, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, components), nn.Softmax(dim=1)
        )

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compress vectors.

        Returns:
            For each vector the squared error of its reconstruction (of scaled bands), shape (num_vectors,); its
            features, shape (num_vectors, bottleneck + 2): the bottleneck, the relative Euclidean distance of the
            reconstruction and its cosine similarity; and its memberships, shape (num_vectors, components). Features
            and memberships are float64, and on the CPU where the device has no such numbers.
        """
        unit = self.scale(vectors)
        code = self.encoder(unit)
        rebuilt = self.decoder(code)
        distance = (unit - rebuilt).norm(dim=1) / unit.norm(dim=1).clamp(min=_SMALL)
        similarity = nn.functional.cosine_similarity(unit, rebuilt, dim=1, eps=_SMALL)
        features = torch.cat([code, distance[:, None], similarity[:, None]], dim=1)
        return (unit - rebuilt).square().sum(dim=1), _double(features), _double(self.estimation(features))


def loss_of(network: DeepMixture, energy_weight: float, variance_weight: float, floor: float) -> Loss:
    """The loss: reconstruction, energy in the batch's own mixture, and the inverse variances of its components."""

    def loss(vectors: Tensor, rows: Tensor) -> Tensor:
        errors, features, memberships = network(vectors)
        mixture = Mixture.of(features, memberships, floor)
        inverse_variances = (1 / mixture.covariances.diagonal(dim1=1, dim2=2)).sum()
        total = energy_weight * mixture.energy(features).mean() + variance_weight * inverse_variances
        return errors.mean() + total.to(errors)

    return loss


def mixture_of(network: DeepMixture, windows: Tensor, rows: Tensor, device: torch.device, floor: float) -> Mixture:
    """The mixture of all vectors, which are the given rows of the windows."""
    network.eval()
    points: list[Tensor] = []
    with torch.inference_mode():
        for part in rows.split(_PART):
            outputs = network(windows[part].to(device))[1:]
            if not points:  # whole from the start: many small tensors between large ones would scatter the memory
                points = [output.new_empty(len(rows), output.shape[1]) for output in outputs]
                start = 0
            for whole, output in zip(points, outputs, strict=True):
                whole[start : start + len(part)] = output
            start += len(part)
        features, memberships = points
        return Mixture.of(features, memberships, floor)


def _double(values: Tensor) -> Tensor:
    return (values.cpu() if values.device.type == "mps" else values).double()

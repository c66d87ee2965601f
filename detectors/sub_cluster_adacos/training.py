"""The training loop: changed and mixed batches, and two classifications that share the embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from .changes import CHANGES, Changes
from .loss import SubClusterAdaCos
from .network import DIMENSIONS, Embedder


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Attributes:
        epochs: passes over the clips.
        batch_size: clips in a batch.
        learning_rate: of Adam.
        clusters: centres of a class.
        mixup: probability that a clip of a batch is mixed with another one.
        label_weight: of the loss of the labels, beside a weight of 1 for that of the changes.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    clusters: int
    mixup: float
    label_weight: float


def train(
    network: Embedder,
    inputs: tuple[Tensor, Tensor],
    classes: npt.NDArray[np.int64],
    training: Training,
    change: Changes | None,
    rng: np.random.Generator,
    device: torch.device,
) -> list[float]:
    """Train a network in place; the last epoch is the model.

    Args:
        network: on the CPU or on ``device``.
        inputs: spectrograms, shape (clips, frames, bands), and spectra, shape (clips, bins), in half precision.
        classes: class of each clip by its labels, shape (clips,); left out of account if there is only one.
        training: the settings.
        change: makes the changes that are to be told apart, None for none.
        rng: where all randomness of training comes from.
        device: where the network is computed.

    Returns:
        Mean loss of each epoch.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    counts = [int(classes.max()) + 1, len(CHANGES) if change is not None else 1]
    weights = [training.label_weight if change is not None else 1.0, 1.0]
    losses = {
        task: SubClusterAdaCos(count, training.clusters, 2 * DIMENSIONS, generator).to(device)
        for task, count in enumerate(counts)
        if count > 1
    }
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    network.to(device).train()
    labels = torch.from_numpy(classes)
    history = []
    for _ in range(training.epochs):
        total, batches = torch.zeros((), device=device), 0
        for rows in _batches(len(classes), training.batch_size, rng):
            spectrograms, spectra = (part[rows].to(device).float() for part in inputs)
            changes = torch.from_numpy(rng.integers(counts[1], size=len(rows)))
            if change is not None:
                spectrograms, spectra = change(spectrograms, spectra, changes.to(device))
            mixing = Mixing.draw(len(rows), training.mixup, rng, device)
            embeddings = network(mixing.mix(spectrograms), mixing.mix(spectra))
            loss = torch.zeros((), device=device)
            for task, kinds in enumerate((labels[rows], changes)):
                if task in losses:
                    shares = F.one_hot(kinds, counts[task]).float().to(device)
                    loss = loss + weights[task] * losses[task](embeddings, mixing.mix(shares))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total, batches = total + loss.detach(), batches + 1
        history.append(float(total) / batches)
    return history


@dataclass(frozen=True)
class Mixing:
    """Mixup of one batch (H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018).

    Attributes:
        shares: share of each clip in what takes its place, shape (batch,).
        partners: row of the clip that has the rest, shape (batch,).
    """

    shares: Tensor
    partners: Tensor

    @classmethod
    def draw(cls, size: int, probability: float, rng: np.random.Generator, device: torch.device) -> Mixing:
        """Draw shares uniformly from 0 to 1 for clips that are mixed, 1 for the others, and partners."""
        shares = np.where(rng.random(size) < probability, rng.random(size), 1.0).astype(np.float32)
        return cls(torch.from_numpy(shares).to(device), torch.from_numpy(rng.permutation(size)).to(device))

    def mix(self, values: Tensor) -> Tensor:
        """Mix inputs or labels along their first axis."""
        shares = self.shares.reshape(-1, *[1] * (values.dim() - 1))
        return shares * values + (1 - shares) * values[self.partners]


def embed(network: Embedder, spectrograms: Tensor, spectra: Tensor, device: torch.device) -> npt.NDArray[np.float64]:
    """Return the embeddings of a batch, shape (batch, dimensions)."""
    network.to(device).eval()
    with torch.inference_mode():
        return network(spectrograms.to(device).float(), spectra.to(device).float()).cpu().numpy().astype(np.float64)


def _batches(count: int, size: int, rng: np.random.Generator) -> list[Tensor]:
    """Rows in random order, in batches of equal size but for one clip: a normalisation needs two clips at least."""
    order = torch.from_numpy(rng.permutation(count))
    return list(order.tensor_split(max(1, min(round(count / size), count // 2))))

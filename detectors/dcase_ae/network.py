"""The network of the DCASE autoencoder and its training loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


def build_network(num_inputs: int, width: int, bottleneck: int, seed: int) -> nn.Sequential:
    """Build the autoencoder: 4 layers down, the bottleneck, 4 layers up and a linear output.

    Every layer but the last is followed by batch normalisation (momentum 0.01, eps 1e-3) and ReLU. The weights depend
    on the seed only; torch's global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(num_inputs, width, bottleneck)


def _build(num_inputs: int, width: int, bottleneck: int) -> nn.Sequential:
    widths = [num_inputs, *[width] * 4, bottleneck, *[width] * 4]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after, momentum=0.01, eps=1e-3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_inputs))


def to_arrays(network: nn.Sequential) -> dict[str, npt.NDArray[Any]]:
    """The weights and running statistics of a network as arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}


def from_arrays(network: nn.Sequential, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Put back what `to_arrays` returned."""
    network.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})


@dataclass(frozen=True)
class Frames:
    """Log-mel frames of many clips in one piece of memory, and the vectors of stacked frames cut from it.

    Attributes:
        mel: shape (total frames, n_mels), float32; clips one after the other.
        lengths: number of frames of each clip.
        stacked: number of consecutive frames in a vector.
    """

    mel: Tensor
    lengths: list[int]
    stacked: int

    def windows(self) -> Tensor:
        """All runs of ``stacked`` frames as vectors, without a copy; those across two clips included."""
        total, n_mels = self.mel.shape
        return self.mel.as_strided((total - self.stacked + 1, self.stacked * n_mels), (n_mels, 1))

    def starts(self) -> list[npt.NDArray[np.int64]]:
        """For each clip the rows of `windows` that lie within it."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        return [
            np.arange(offset, offset + length - self.stacked + 1, dtype=np.int64)
            for offset, length in zip(offsets, self.lengths, strict=False)
        ]


@dataclass(frozen=True)
class Training:
    """Settings of the training loop."""

    epochs: int
    batch_size: int
    learning_rate: float
    validation: float
    seed: int


def train(network: nn.Sequential, frames: Frames, training: Training, device: torch.device) -> dict[str, list[float]]:
    """Train the network to reproduce its input (mean squared error, Adam); the last epoch is the model.

    A share of the vectors is held out; its loss is logged and nothing else depends on it.

    Returns:
        Mean training loss and held-out loss of each epoch.
    """
    generator = torch.Generator().manual_seed(training.seed)
    rows = torch.from_numpy(np.concatenate(frames.starts()))
    rows = rows[torch.randperm(len(rows), generator=generator)]
    held_out = int(training.validation * len(rows))
    validation, rows = rows[:held_out], rows[held_out:]
    # The frames of a machine fit a GPU's memory: moved once, they need not be moved batch by batch.
    windows = replace(frames, mel=frames.mel.to(device)).windows() if device.type == "cuda" else frames.windows()
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate, fused=device.type != "mps")
    history: dict[str, list[float]] = {"loss": [], "held_out_loss": []}
    for _ in range(training.epochs):
        total = torch.zeros((), device=device)
        order = rows[torch.randperm(len(rows), generator=generator)]
        for batch_rows in _batches(order, training.batch_size):
            batch = windows[batch_rows].to(device)
            loss = nn.functional.mse_loss(network(batch), batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        history["loss"].append(float(total) / max(1, len(order)))
        if held_out:
            history["held_out_loss"].append(_loss(network, windows, validation, device))
    return history


def reconstruct(network: nn.Sequential, vectors: Tensor, device: torch.device) -> Tensor:
    """Return the residuals x - x_hat of vectors, shape (num_vectors, num_inputs), on the CPU."""
    network.eval()
    with torch.inference_mode():
        batch = vectors.to(device)
        return (batch - network(batch)).cpu()


def _batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    for batch in rows.split(size):
        if len(batch) > 1:  # batch normalisation has no variance of a single vector
            yield batch


def _loss(network: nn.Sequential, windows: Tensor, rows: Tensor, device: torch.device) -> float:
    total = 0.0
    for part in rows.split(4096):
        total += float(reconstruct(network, windows[part], device).square().mean(dim=1).sum())
    network.train()
    return total / len(rows)

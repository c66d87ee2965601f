"""The training loop of networks on stacked frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from asdbench import UserError, warn

from .frames import Frames
from .grouping import held_out_groups
from .networks import seeded

Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(vectors, rows)``: mean loss of vectors, shape (batch, size) on the device, and their rows in the windows."""


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Attributes:
        epochs: passes over the vectors.
        batch_size: vectors in a batch.
        learning_rate: of Adam.
        validation: share of the vectors whose loss is logged and nothing else.
        seed: of all randomness.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    validation: float
    seed: int


class Trainer:
    """Trains a network with Adam on the vectors of `Frames`, an epoch at a time.

    Attributes:
        rows: rows of the windows that are trained on.
        held_out: rows of the windows that are not.
    """

    def __init__(self, network: nn.Module, frames: Frames, training: Training, device: torch.device) -> None:
        self._network, self._training, self._device = network, training, device
        self._generator = torch.Generator().manual_seed(training.seed)
        self.held_out, self.rows = self._divided(frames)
        if len(self.rows) < 2:
            total = len(self.held_out) + len(self.rows)
            raise UserError(
                f"{total} vectors of the training clips leave {len(self.rows)} to learn from, expected 2 at least "
                f"(validation: {training.validation:g})"
            )
        # The frames of a machine fit a GPU's memory: moved once, they need not be moved batch by batch.
        mel = frames.mel.to(device) if device.type == "cuda" else frames.mel
        self._windows = replace(frames, mel=mel).windows()
        network.to(device)
        self._optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate, fused=device.type != "mps")
        self._epoch = 0

    def _divided(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Rows of the windows that are held out and those that are trained on: groups of clips are not divided."""
        starts, share = frames.starts(), self._training.validation
        rows = torch.from_numpy(np.concatenate(starts))
        shuffled = rows[torch.randperm(len(rows), generator=self._generator)]
        held_out = int(share * len(rows))
        if frames.groups is None or not held_out:
            return shuffled[:held_out], shuffled[held_out:]
        number = int(frames.groups.max()) + 1
        if number == 1:
            warn(
                f"all {len(starts)} training clips are of one group, so vectors of it are held out for the logged loss"
            )
            return shuffled[:held_out], shuffled[held_out:]
        sizes = [len(one) for one in starts]
        order = torch.randperm(number, generator=self._generator).numpy()
        kept = torch.from_numpy(np.repeat(held_out_groups(sizes, frames.groups, share, order), sizes))
        return rows[kept], rows[~kept]

    def epoch(self, loss: Loss) -> float:
        """Train on every vector once, in a new order; return the mean loss."""
        self._network.train()
        total, used = torch.zeros((), device=self._device), 0
        order = self.rows[torch.randperm(len(self.rows), generator=self._generator)]
        seed = np.random.SeedSequence((self._training.seed, self._epoch)).generate_state(1, np.uint64)[0]
        self._epoch += 1
        with seeded(int(seed) >> 1, self._device):
            for rows in _batches(order, self._training.batch_size):
                batch = self._windows[rows].to(self._device)
                value = loss(batch, rows)
                self._optimizer.zero_grad(set_to_none=True)
                value.backward()
                self._optimizer.step()
                total, used = total + value.detach() * len(batch), used + len(batch)
        return float(total) / used

    def held_out_loss(self, loss: Loss) -> float:
        """Mean loss of the vectors held out, of which there must be some."""
        self._network.eval()
        total = 0.0
        with torch.inference_mode(), seeded(self._training.seed, self._device):
            for rows in self.held_out.split(4096):
                total += float(loss(self._windows[rows].to(self._device), rows)) * len(rows)
        return total / len(self.held_out)


def train(
    network: nn.Module, frames: Frames, training: Training, device: torch.device, loss: Loss
) -> dict[str, list[float]]:
    """Train a network for all epochs; the last epoch is the model.

    Returns:
        Mean training loss and held-out loss of each epoch.
    """
    trainer = Trainer(network, frames, training, device)
    history: dict[str, list[float]] = {"loss": [], "held_out_loss": []}
    for _ in range(training.epochs):
        history["loss"].append(trainer.epoch(loss))
        if len(trainer.held_out):
            history["held_out_loss"].append(trainer.held_out_loss(loss))
    return history


def _batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    for batch in rows.split(size):
        if len(batch) > 1:  # batch normalisation has no variance of a single vector
            yield batch

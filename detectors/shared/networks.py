"""Networks of torch in detectors: how they are seeded and scaled, and what is stored of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

_FLAT = 0.01  # dB; bands that vary less are not scaled up


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Within, torch's global random state depends on the seed only; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def layers(widths: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Fully connected layers from width to width, with an activation after each but the last."""
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after), activation()]
    return parts[:-1]


class BandScale(nn.Module):
    """Brings the bands of stacked log-mel frames to mean 0 and variance 1, and back.

    The statistics are stored with the weights of the network. A band that hardly varies, as in digital silence, is
    centred only.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("scale", torch.ones(n_mels))

    def learn(self, mel: Tensor) -> None:
        """Take the statistics of frames, shape (num_frames, n_mels)."""
        scale, mean = torch.std_mean(mel, dim=0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale < _FLAT, 1.0, scale))

    def forward(self, vectors: Tensor) -> Tensor:
        """Scale vectors of any number of frames, shape (num_vectors, frames * n_mels)."""
        frames = vectors.unflatten(1, (-1, len(self.mean)))
        return ((frames - self.mean) / self.scale).flatten(1)

    def inverse(self, vectors: Tensor) -> Tensor:
        """Undo `forward`."""
        frames = vectors.unflatten(1, (-1, len(self.mean)))
        return (frames * self.scale + self.mean).flatten(1)


def to_arrays(network: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """The weights and running statistics of a network as arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}


def from_arrays(network: nn.Module, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Put back what `to_arrays` returned."""
    network.load_state_dict({name: torch.as_tensor(np.asarray(array)) for name, array in arrays.items()})

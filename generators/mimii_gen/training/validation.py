"""The validation loss: the same clips, timesteps and noise every time.

A loss with fresh noise varies more from one draw to the next than a network improves in a thousand steps. With fixed
pairs of timestep and noise for every clip, losses can be compared over steps and between trainings on the same clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...shared.randomness import stream, unit
from ..latents.cache import LatentCache
from ..latents.space import LatentSpace
from .batches import Batch, Clip, collate, cut
from .examples import Example

__all__ = ["NOISE_LEVELS", "NUM_CLIPS", "Validation"]

NOISE_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Timesteps of the validation, as shares of T."""
NUM_CLIPS = 32
"""More clips than these are not looked at."""


class Validation:
    """Mean squared error over fixed clips, timesteps and noise, without min-SNR weights or dropped captions."""

    def __init__(
        self,
        examples: Sequence[Example],
        cache: LatentCache,
        space: LatentSpace,
        *,
        num_frames: int,
        num_timesteps: int,
        batch_size: int,
        captions: Mapping[str, Tensor] | None,
    ) -> None:
        """Choose the clips.

        Args:
            examples: held-out examples; `NUM_CLIPS` of them are used, chosen by the hash of their audio.
            cache: has their codes.
            space: layout of the latents.
            num_frames: frames of a clip that are looked at, the first ones.
            num_timesteps: T of the noise schedule.
            batch_size: examples computed at once.
            captions: states of all captions; None where the text encoder is trained.
        """
        chosen = sorted(examples, key=lambda example: unit("validation clip", example.content_hash))[:NUM_CLIPS]
        timesteps = [min(num_timesteps - 1, round(level * num_timesteps)) for level in NOISE_LEVELS]
        self._timesteps = np.array(timesteps, dtype=np.int64)
        self._pairs = [(example, timestep) for example in chosen for timestep in timesteps]
        self._cache, self._captions, self._batch_size = cache, captions, batch_size
        self._shape = (space.channels - cache.codec.clip_dim, space.height, num_frames)

    def loss(self, errors: Callable[[Batch], Tensor], share: slice = slice(None)) -> Tensor | None:
        """Return the sum of the errors and their number, shape (2,), float64; None where there are no clips.

        Args:
            errors: from a batch to the error of each of its examples, shape (batch,).
            share: the part of the pairs that this process computes; one that is empty gives zeros.
        """
        if not self._pairs:
            return None
        total = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad():
            for batch in self._batches(share):
                values = errors(batch).double().cpu()
                total += torch.stack([values.sum(), torch.tensor(float(len(values)), dtype=torch.float64)])
        return total

    def _batches(self, share: slice) -> Iterator[Batch]:
        pairs = self._pairs[share]
        for start in range(0, len(pairs), self._batch_size):
            yield collate([self._clip(*pair) for pair in pairs[start : start + self._batch_size]], self._captions)

    def _clip(self, example: Example, timestep: int) -> Clip:
        noise = stream("validation noise", example.content_hash, timestep)
        return Clip(
            *cut(self._cache.codes(example.content_hash), self._shape[-1], 0),
            noise.standard_normal(self._shape, dtype=np.float32),
            timestep,
            noise.standard_normal((1 + len(self._timesteps), self._cache.codec.clip_dim), dtype=np.float32),
            self._timesteps,
            False,
            example.caption,
        )

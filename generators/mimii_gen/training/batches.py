"""Batches of the training, each a function of the seed and the step alone.

Nothing is carried from one batch to the next: which examples a step trains on, where a window lies in a longer clip,
timesteps, noise and dropped captions all follow from (seed, step, place in the batch). Hence a training that is resumed
goes on exactly, and the same batch can be split over processes or into parts that are computed one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...shared.randomness import stream
from ..conditioning.text import Embeddings, TextEncoder
from ..latents.cache import LatentCache
from ..latents.space import LatentSpace
from .examples import Draws, Example

__all__ = [
    "CLIP_DRAWS",
    "Batch",
    "Batches",
    "Clip",
    "ahead",
    "caption_states",
    "collate",
    "cut",
    "padded",
    "timesteps_of_step",
]

CLIP_DRAWS = 8
"""Noise levels at which the clip latent of an example is trained in a step: it is small beside the frames."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Batch:
    """What the loss of some examples is computed from.

    Attributes:
        codes: codes of the clean latents, shape (batch, codebooks, frames), int64.
        keep: False for frames behind the end of a short clip, shape (batch, frames).
        noise: standard normal, shape (batch, channels, height, frames), float32.
        timesteps: shape (batch,), int64.
        clip_noise: standard normal, shape (batch, 1 + draws, clip_dim), float32: first that with which clip latents are
            drawn from what the encoder gave, then that of each noise level that they are trained on.
        clip_timesteps: of these levels, shape (batch, draws), int64.
        drop: whether the null embedding stands for the caption, shape (batch,).
        captions: one for each example.
        embeddings: of the captions; None where the text encoder is trained and has to be run in the step.
    """

    codes: Tensor
    keep: Tensor
    noise: Tensor
    timesteps: Tensor
    clip_noise: Tensor
    clip_timesteps: Tensor
    drop: Tensor
    captions: tuple[str, ...]
    embeddings: Embeddings | None

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with a function applied to each tensor."""
        text = self.embeddings
        return Batch(
            function(self.codes),
            function(self.keep),
            function(self.noise),
            function(self.timesteps),
            function(self.clip_noise),
            function(self.clip_timesteps),
            function(self.drop),
            self.captions,
            None if text is None else Embeddings(function(text.states), function(text.mask)),
        )


@dataclass(frozen=True)
class Clip:
    """One example of a batch.

    Attributes:
        codes: shape (codebooks, frames), padded with zeros to the batch's frames.
        length: frames that are the clip's own.
        noise: shape (channels, height, frames), float32.
        timestep: how far it is noised.
        clip_noise: see `Batch`, shape (1 + draws, clip_dim), float32.
        clip_timesteps: see `Batch`, shape (draws,).
        drop: whether its caption is replaced by the null embedding.
        caption: the caption.
    """

    codes: npt.NDArray[np.int64]
    length: int
    noise: npt.NDArray[np.float32]
    timestep: int
    clip_noise: npt.NDArray[np.float32]
    clip_timesteps: npt.NDArray[np.int64]
    drop: bool
    caption: str


def cut(codes: npt.NDArray[np.uint16], num_frames: int, offset: int) -> tuple[npt.NDArray[np.int64], int]:
    """Cut a window out of a clip's codes, or pad what is shorter.

    Args:
        codes: shape (codebooks, frames of the clip).
        num_frames: frames of the window.
        offset: where the window begins.

    Returns:
        Codes of shape (codebooks, num_frames), and how many of the frames are the clip's own.
    """
    window = codes[:, offset : offset + num_frames].astype(np.int64)
    length = window.shape[1]
    return np.pad(window, ((0, 0), (0, num_frames - length))), length


def caption_states(text: TextEncoder, captions: Iterable[str]) -> dict[str, Tensor]:
    """Return the token states of captions, each of shape (its tokens, dim), float32, on the CPU."""
    states = {caption: text.encode([caption]).states[0].cpu() for caption in sorted(set(captions))}
    text.clear_cache()  # it holds the same once more
    return states


def padded(rows: Sequence[Tensor]) -> Embeddings:
    """Put the states of captions, each of shape (its tokens, dim), together."""
    lengths = torch.tensor([len(row) for row in rows])
    states = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return Embeddings(states, torch.arange(states.shape[1])[None, :] < lengths[:, None])


def collate(clips: Sequence[Clip], captions_states: Mapping[str, Tensor] | None) -> Batch:
    """Put clips of equally many frames together, with the states of their captions where they are known."""
    captions = tuple(clip.caption for clip in clips)
    lengths = torch.tensor([clip.length for clip in clips])
    return Batch(
        codes=torch.from_numpy(np.stack([clip.codes for clip in clips])),
        keep=torch.arange(clips[0].codes.shape[1])[None, :] < lengths[:, None],
        noise=torch.from_numpy(np.stack([clip.noise for clip in clips])),
        timesteps=torch.tensor([clip.timestep for clip in clips]),
        clip_noise=torch.from_numpy(np.stack([clip.clip_noise for clip in clips])),
        clip_timesteps=torch.from_numpy(np.stack([clip.clip_timesteps for clip in clips])),
        drop=torch.tensor([clip.drop for clip in clips]),
        captions=captions,
        embeddings=None if captions_states is None else padded([captions_states[caption] for caption in captions]),
    )


def timesteps_of_step(seed: int, step: int, batch_size: int, num_timesteps: int) -> npt.NDArray[np.int64]:
    """Return the timesteps of a whole batch, shape (batch_size,), spread evenly: floor(T ((u + i / B) mod 1)).

    u is drawn once for the step. Each timestep alone is uniform, and together they cover the range, which makes the
    loss vary less from step to step.
    """
    places = (stream("timesteps", seed, step).random() + np.arange(batch_size) / batch_size) % 1.0
    return np.minimum((places * num_timesteps).astype(np.int64), num_timesteps - 1)


class Batches:
    """The batches of a training, by step."""

    def __init__(
        self,
        examples: Sequence[Example],
        draws: Draws,
        cache: LatentCache,
        space: LatentSpace,
        *,
        num_frames: int,
        num_timesteps: int,
        batch_size: int,
        caption_dropout: float,
        captions: Mapping[str, Tensor] | None,
        seed: int,
    ) -> None:
        """Prepare the batches.

        Args:
            examples: what is trained on.
            draws: the order in which they are drawn.
            cache: has the codes of all of them.
            space: layout of the latents.
            num_frames: latent frames of an example in a batch.
            num_timesteps: T of the noise schedule.
            batch_size: examples in a step, over all processes and parts.
            caption_dropout: share of examples whose caption is dropped.
            captions: states of all captions, see `caption_states`; None where the text encoder is trained.
            seed: seed of the training.
        """
        self._examples, self._draws, self._cache, self._captions, self._seed = examples, draws, cache, captions, seed
        self._shape = (space.channels - cache.codec.clip_dim, space.height, num_frames)
        self._num_timesteps, self._batch_size, self._caption_dropout = num_timesteps, batch_size, caption_dropout

    def make(self, step: int, places: range) -> Batch:
        """Return the examples at some places of a step's batch.

        Args:
            step: counted from 0.
            places: within the batch of the step, from 0 to batch_size.
        """
        timesteps = timesteps_of_step(self._seed, step, self._batch_size, self._num_timesteps)
        return collate([self._clip(step, place, int(timesteps[place])) for place in places], self._captions)

    def _clip(self, step: int, place: int, timestep: int) -> Clip:
        example = self._examples[self._draws[step * self._batch_size + place]]
        random = stream("example", self._seed, step, place)
        codes = self._cache.codes(example.content_hash)
        offset = int(random.integers(0, max(0, codes.shape[1] - self._shape[-1]) + 1))
        drop = bool(random.random() < self._caption_dropout)
        noise = random.standard_normal(self._shape, dtype=np.float32)
        levels = (random.random() + np.arange(CLIP_DRAWS) / CLIP_DRAWS) % 1.0
        clip_timesteps = np.minimum((levels * self._num_timesteps).astype(np.int64), self._num_timesteps - 1)
        clip_noise = random.standard_normal((1 + CLIP_DRAWS, self._cache.codec.clip_dim), dtype=np.float32)
        cutting = cut(codes, self._shape[-1], offset)
        return Clip(*cutting, noise, timestep, clip_noise, clip_timesteps, drop, example.caption)


def ahead(
    make: Callable[[_Job], _Result], jobs: Iterable[_Job], depth: int = 2, threads: int = 1
) -> Generator[_Result, None, None]:
    """Yield ``make(job)`` for every job, in order; the next ones are made in threads while one is used.

    What fails in a thread is raised where its result would have been yielded.

    Args:
        make: called in other threads, one job at a time in each.
        jobs: taken from as far as they are made.
        depth: how many results are made ahead at most.
        threads: how many are made at once; a GPU takes them faster than one thread makes them.
    """
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(make, job))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""More training of the network of clip latents alone, after it was trained together with the U-Net, with exact resume.

A step of the U-Net costs a hundred times what a step of this small network does, and clip latents want many: the values
that hardly vary among the clips of a caption are learnt last, and detectors that compare spectra find a wrong variance
of these at once. So text encoder and U-Net stay as they are, the states of all captions are computed once, and the
network sees batches of hundreds of clips.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asdbench import UserError

from ...shared.randomness import stream
from ..conditioning.text import with_null
from ..diffusion.clip_network import ClipNetwork
from ..diffusion.schedule import loss_weights, target
from ..latents.cache import LatentCache
from ..latents.space import split_clip
from ..latents.weights import weights_id
from .batches import caption_states, padded
from .denoiser import average, ema_decay_at, tensors_of
from .examples import Draws, Example, split_examples
from .identity import identity_of_training
from .notes import Notes
from .parts import Parts
from .settings import TrainingSettings
from .state import load_module, load_optimizer, newest_checkpoint, optimizer_tensors, save_checkpoint

__all__ = ["BATCH", "train_clip_network"]

BATCH, DRAWS = 64, 4
"""Clips in a step, and noise levels for each."""
_LAST_RATE = 0.02
"""Share of the learning rate at the last step; it falls by half a cosine from the first one on."""


@dataclass
class _Latents:
    """Normalised clip latents of examples, as the encoder gave them.

    Attributes:
        mean: shape (examples, clip_dim).
        deviation: likewise.
    """

    mean: Tensor
    deviation: Tensor

    def drawn(self, places: Sequence[int], noise: Tensor) -> Tensor:
        """Draw latents of some examples, of the shape of ``noise``, (len(places), draws, clip_dim)."""
        return self.mean[places][:, None] + self.deviation[places][:, None] * noise


def train_clip_network(
    parts: Parts,
    examples: Sequence[Example],
    cache: LatentCache,
    settings: TrainingSettings,
    steps: int,
    work: Path,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int, str], None],
) -> ClipNetwork:
    """Train the network of clip latents further; it goes on from the newest sound checkpoint that ``work`` holds.

    Args:
        parts: trained parts with their null embedding; none of them is changed.
        examples: all examples, those that validate among them.
        cache: has the codes of all of them.
        settings: those of the training before; learning rate, dropout, balance, average and loss weights are used.
        steps: steps to take, each on `BATCH` clips.
        work: folder of the checkpoints.
        seed: everything random follows from it.
        device: where it is computed.
        progress: called with steps done, steps in all and a note.

    Returns:
        The network with averaged weights.

    Raises:
        UserError: ``work`` holds another training or only damaged checkpoints, or the loss is not finite any more.
    """
    if parts.clip_network is None or parts.null is None:
        raise ValueError("the parts have no network of clip latents or no null embedding")
    return _ClipTraining(parts, examples, cache, settings, steps, work, seed, device, progress).run()


class _ClipTraining:
    """One training."""

    def __init__(
        self,
        parts: Parts,
        examples: Sequence[Example],
        cache: LatentCache,
        settings: TrainingSettings,
        steps: int,
        work: Path,
        seed: int,
        device: torch.device,
        progress: Callable[[int, int, str], None],
    ) -> None:
        assert parts.clip_network is not None
        self.parts, self.cache, self.settings, self.steps = parts, cache, settings, steps
        self.seed, self.device, self.report = seed, device, progress
        self.checkpoints = work / "clip_checkpoints"
        self.examples, _ = split_examples(examples, settings.validation_share)
        self.draws = Draws(self.examples, settings.balance, seed)
        identity = identity_of_training(parts, examples, 0, settings, seed)
        begun_with = {
            "network": weights_id(tensors_of(parts.clip_network)),
            "text encoder": parts.text_encoder.identity,
        }
        self.identity = {
            "settings": identity["settings"] | {"clip_steps": steps},
            "with": identity["with"] | begun_with,
        }
        self.network: Any = copy.deepcopy(parts.clip_network).to(device).requires_grad_(True).train()
        self.averaged: Any = copy.deepcopy(parts.clip_network).to(device).requires_grad_(False).eval()
        named = list(tensors_of(self.network).items())
        self.names, weights = [name for name, _ in named], [tensor for _, tensor in named]
        self.adamw = torch.optim.AdamW(weights, settings.learning_rate, weight_decay=settings.weight_decay)
        self.scheduler = parts.schedule.scheduler()
        self.step = 0
        self.note = Notes(progress)

    def run(self) -> ClipNetwork:
        """Train from the newest checkpoint, or from the beginning, to the last step."""
        self._resume()
        if self.step < self.steps:
            self.states = caption_states(self.parts.text_encoder, [example.caption for example in self.examples])
            self.latents = self._latents(self.examples)
            self._train()
        network: ClipNetwork = self.averaged
        return network

    def _train(self) -> None:
        while self.step < self.steps:
            loss = self._loss(self.network, *self._batch())
            if not math.isfinite(float(loss.detach())):
                raise UserError(
                    f"the loss of clip latents ({float(loss.detach())}) is not finite at step {self.step + 1}; "
                    "try a lower learning_rate"
                )
            self.adamw.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*self.network.parameters()], self.settings.max_grad_norm)
            for group in self.adamw.param_groups:
                group["lr"] = self._learning_rate()
            self.adamw.step()
            average(self.averaged, self.network, ema_decay_at(self.step, self.settings.ema_decay))
            self.step += 1
            if self.step == self.steps or self.step % self.settings.save_every == 0:
                self._save()
            self.note(self.step, self.steps, f"clip latents, loss {float(loss.detach()):.4f}")

    def _learning_rate(self) -> float:
        share = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        return self.settings.learning_rate * share * min(1.0, (self.step + 1) / max(1, self.settings.warmup_steps))

    def _batch(self) -> tuple[Tensor, list[Example], Tensor, Tensor, Tensor]:
        """Clean latents, their examples, noise, timesteps and which captions are dropped."""
        places = [self.draws[self.step * BATCH + place] for place in range(BATCH)]
        generator = torch.Generator().manual_seed(int(stream("clip latents", self.seed, self.step).integers(2**62)))
        shape = (BATCH, DRAWS, self.latents.mean.shape[1])
        clean = self.latents.drawn(places, torch.randn(shape, generator=generator))
        noise = torch.randn(shape, generator=generator)
        places_of_levels = torch.randperm(BATCH * DRAWS, generator=generator).reshape(BATCH, DRAWS)
        levels = (torch.rand((), generator=generator) + places_of_levels / (BATCH * DRAWS)) % 1.0
        timesteps = (levels * self.parts.schedule.steps).long().clamp(max=self.parts.schedule.steps - 1)
        drop = torch.rand(BATCH, generator=generator) < self.settings.caption_dropout
        return clean, [self.examples[place] for place in places], noise, timesteps, drop

    def _loss(
        self, network: Any, clean: Tensor, examples: Sequence[Example], noise: Tensor, timesteps: Tensor, drop: Tensor
    ) -> Tensor:
        embeddings = padded([self.states[example.caption] for example in examples])
        assert self.parts.null is not None
        embeddings = with_null(embeddings, self.parts.null, drop).to(self.device)
        clean, noise, timesteps = (part.to(self.device) for part in (clean, noise, timesteps))
        levels = timesteps.flatten()
        flat = clean.flatten(0, 1), noise.flatten(0, 1)
        noisy = self.scheduler.add_noise(*flat, levels).unflatten(0, timesteps.shape)
        found = network(noisy, timesteps, embeddings.states, encoder_attention_mask=embeddings.mask).sample
        squares = (found.flatten(0, 1) - target(self.scheduler, *flat, levels)).square().mean(dim=1)
        return (squares * loss_weights(self.scheduler, levels, self.settings.snr_gamma)).mean()

    def _latents(self, examples: Sequence[Example]) -> _Latents:
        codec, means, deviations = self.parts.codec, [], []
        for example in examples:
            codes = torch.from_numpy(self.cache.codes(example.content_hash)[:, :1].astype("int64"))[None]
            found = [
                split_clip(self.parts.space.to_unet(codec.latents(codes, noise).cpu()), codec.clip_dim)[1][0]
                for noise in (None, torch.ones(1, codec.clip_dim))
            ]
            means.append(found[0])
            deviations.append(found[1] - found[0])
        return _Latents(torch.stack(means), torch.stack(deviations))

    # -- what is kept

    def _save(self) -> None:
        groups = {
            "model": tensors_of(self.network),
            "ema": tensors_of(self.averaged),
            "optimizer": optimizer_tensors(self.adamw, self.names),
        }
        save_checkpoint(self.checkpoints, self.step, groups, self.identity, {})

    def _resume(self) -> None:
        say: Callable[[str], None] = lambda line: self.report(0, self.steps, line)  # noqa: E731
        checkpoint = newest_checkpoint(self.checkpoints, self.identity, say)
        if checkpoint is None:
            return
        load_module(self.network, checkpoint.tensors("model"))
        load_module(self.averaged, checkpoint.tensors("ema"))
        load_optimizer(self.adamw, self.names, checkpoint.tensors("optimizer"))
        self.step = checkpoint.step
        self.report(self.step, self.steps, f"going on from {checkpoint.folder}")

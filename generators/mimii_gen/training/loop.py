"""Training of the latent diffusion model (the paper's eqs. 1 to 3), with exact resume.

A step is a function of the weights, the seed and the step's number, so a training that is interrupted and started again
with the same command ends with the same weights, bit by bit on the same machine.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asdbench import UserError

from ..conditioning.text import TextEncoder
from ..diffusion.backbone import smallest_frames
from ..latents.cache import LatentCache
from .acceleration import build_accelerator, start_trackers
from .batches import Batch, Batches, ahead, caption_states
from .denoiser import Denoiser, Objective, average, ema_decay_at, tensors_of
from .examples import Draws, Example, split_examples
from .identity import identity_of_training
from .interrupts import uninterrupted
from .notes import Notes
from .parts import Parts, Progress, Trained
from .settings import TrainingSettings
from .state import (
    Checkpoint,
    load_module,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from .validation import Validation

__all__ = ["Example", "Parts", "Trained", "TrainingSettings", "train"]

_MOST_THREADS = 8
"""Threads that make batches for a GPU."""


def train(
    parts: Parts,
    examples: Sequence[Example],
    cache: LatentCache,
    num_frames: int,
    settings: TrainingSettings,
    work: Path,
    *,
    seed: int,
    device: str,
    progress: Callable[[int, int, str], None],
    preview: Callable[[Parts, int], None] | None = None,
) -> Trained:
    """Train the U-Net, and what else the settings say, on captioned clips.

    Where ``work`` holds checkpoints of the same training, it goes on from the newest sound one. Started by
    ``accelerate launch``, every process calls this with the same arguments; the first one writes and reports.

    Args:
        parts: what is trained; the U-Net (and the text encoder where it is trained) change in place.
        examples: clips with captions; some of them are held out for validation, see `split_examples`.
        cache: has the codes of all the clips.
        num_frames: latent frames the network is trained on: a random window of longer clips, while shorter ones are
            padded with zeros that the loss does not see.
        settings: see `TrainingSettings`.
        work: folder of checkpoints and logs.
        seed: everything random follows from it.
        device: "cpu", "cuda", "mps" ...
        progress: called with steps done, steps in all and a note, a few times a second at most.
        preview: called every ``preview_every`` steps with the parts as they would be sampled from, and the step.

    Raises:
        UserError: If there are no clips, the clips are too short for the U-Net, ``work`` holds another training or only
            damaged checkpoints, the device or tracker is missing, or the loss is not finite any more.
        KeyboardInterrupt: As it came, after the last whole step has been saved.
    """
    parts.space.require(parts.codec)
    if not examples:
        raise UserError("there are no clips to train on")
    if num_frames < smallest_frames(parts.unet):
        raise UserError(
            f"the clips have {num_frames} latent frames, the U-Net needs at least {smallest_frames(parts.unet)}"
        )
    training = _Training(parts, examples, cache, num_frames, settings, work, seed, device, progress, preview)
    try:
        return training.run()
    finally:
        training.close()


class _Training:
    """One training in this process."""

    def __init__(
        self,
        parts: Parts,
        examples: Sequence[Example],
        cache: LatentCache,
        num_frames: int,
        settings: TrainingSettings,
        work: Path,
        seed: int,
        device: str,
        progress: Callable[[int, int, str], None],
        preview: Callable[[Parts, int], None] | None,
    ) -> None:
        self.parts, self.examples, self.cache, self.num_frames = parts, examples, cache, num_frames
        self.settings, self.work, self.seed = settings, work, seed
        self.report, self.preview = progress, preview
        self.accelerator = build_accelerator(settings, device, work / "logs")
        self.main, device_ = self.accelerator.is_main_process, self.accelerator.device
        self.now = Progress()
        self.saved: Path | None = None
        self.note = Notes(progress)
        joint = settings.train_text_encoder
        self.identity = identity_of_training(parts, examples, num_frames, settings, seed)
        # Dropout in the text encoder would draw from torch's global stream, which no step can repeat: it stays off.
        parts.text_encoder.model.eval()
        null = parts.text_encoder.null() if parts.null is None else parts.null
        text = parts.text_encoder if joint else None
        self.network = Denoiser(
            parts.unet, text, null, learned=settings.learned_null, clip_network=parts.clip_network
        ).to(device_)
        self.network.requires_grad_(True)
        self.averaged = self.network.clone().to(device_)
        parts.unet.train()
        if settings.gradient_checkpointing:
            parts.unet.enable_gradient_checkpointing()
        named = [(name, each) for name, each in tensors_of(self.network).items() if each.requires_grad]
        self.names, self.weights = [name for name, _ in named], [each for _, each in named]
        self.adamw = torch.optim.AdamW(
            self.weights,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device_.type == "cuda",
        )
        self.scheduler = parts.schedule.scheduler()
        self.objective = Objective(parts.codec, parts.space, self.scheduler, device_)
        self.part = settings.batch_size // (settings.accumulation * self.accelerator.num_processes)

    def run(self) -> Trained:
        """Train from the newest checkpoint, or from the beginning, to the last step."""
        self._resume()
        self._read_examples()
        start_trackers(self.accelerator, self.identity["settings"])
        self.model, self.optimizer = self.accelerator.prepare(self.network, self.adamw)
        try:
            if self.now.step < self.settings.steps:
                self._train()
            elif self.now.summed:  # interrupted between the last update and its row of the history
                self._log(self._validate())
            return self._trained()
        except KeyboardInterrupt:
            if self.main and self.now.step > 0 and self._finite():
                self._save()
            raise

    def close(self) -> None:
        """End what outlives the training otherwise."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if self.settings.gradient_checkpointing:
            self.parts.unet.disable_gradient_checkpointing()
        self.parts.unet.eval()
        self.accelerator.free_memory()

    def _read_examples(self) -> None:
        """Make what batches come from; the frozen text encoder runs over every caption once, here."""
        parts, settings = self.parts, self.settings
        training, held_out = split_examples(self.examples, settings.validation_share)
        captions = [example.caption for example in self.examples]
        parts.text_encoder.require_short(captions)
        states = None if settings.train_text_encoder else caption_states(parts.text_encoder, captions)
        self.batches = Batches(
            training,
            Draws(training, settings.balance, self.seed),
            self.cache,
            parts.space,
            num_frames=self.num_frames,
            num_timesteps=parts.schedule.steps,
            batch_size=settings.batch_size,
            caption_dropout=settings.caption_dropout,
            captions=states,
            seed=self.seed,
        )
        self.validation = Validation(
            held_out,
            self.cache,
            parts.space,
            num_frames=self.num_frames,
            num_timesteps=parts.schedule.steps,
            batch_size=self.part,
            captions=states,
        )

    # -- the steps

    def _train(self) -> None:
        settings, now = self.settings, self.now
        threads = 1 if self.accelerator.device.type == "cpu" else min(_MOST_THREADS, os.cpu_count() or 1)
        batches = ahead(self._batch, self._jobs(), depth=2 * threads, threads=threads)
        clock = time.monotonic()
        try:
            while now.step < settings.steps:
                loss, norm = self._gradients(batches)
                # The gradient of the next step has shown that these weights are sound: only now are they saved.
                if now.step > 0 and now.step % settings.save_every == 0:
                    self._save()
                with uninterrupted():
                    self._update()
                    now.losses, now.norms, now.summed = now.losses + loss, now.norms + norm, now.summed + 1
                    now.seconds, clock = now.seconds + time.monotonic() - clock, time.monotonic()
                last = now.step == settings.steps
                validated = self._validate() if last or now.step % settings.validate_every == 0 else None
                if last or validated is not None or now.step % settings.log_every == 0:
                    self._log(validated)
                if self.main and self.preview is not None and now.step % settings.preview_every == 0:
                    self.preview(self._sampled(), now.step)
                if self.main:
                    self.note(now.step, settings.steps, f"loss {loss:.4f}")
        finally:
            batches.close()
        if not self._finite():
            raise self._not_finite("a weight", self.now.step)
        self._save()

    def _jobs(self) -> Iterator[tuple[int, range]]:
        """The parts of the coming steps that this process computes: the step and places within its batch."""
        for step in range(self.now.step, self.settings.steps):
            for part in range(self.settings.accumulation):
                start = (part * self.accelerator.num_processes + self.accelerator.process_index) * self.part
                yield step, range(start, start + self.part)

    def _batch(self, job: tuple[int, range]) -> Batch:
        batch = self.batches.make(*job)
        return batch.map(Tensor.pin_memory) if self.accelerator.device.type == "cuda" else batch

    def _gradients(self, batches: Iterator[Batch]) -> tuple[float, float]:
        """Compute the gradients of the coming step; return its loss and the norm of the gradients."""
        loss = norm = torch.zeros((), device=self.accelerator.device)
        for _ in range(self.settings.accumulation):
            batch = next(batches)
            with self.accelerator.accumulate(self.model):
                weighted = self.objective.errors(self.model, batch, self.settings.snr_gamma).mean()
                self.accelerator.backward(weighted)
                loss = loss + weighted.detach() / self.settings.accumulation
                if self.accelerator.sync_gradients:
                    norm = self.accelerator.clip_grad_norm_(self.weights, self.settings.max_grad_norm)
        loss = self.accelerator.reduce(loss, reduction="mean")
        values: list[float] = torch.stack([loss, norm.to(loss)]).tolist()  # waits for the device
        if not all(math.isfinite(value) for value in values):
            raise self._not_finite(f"the loss ({values[0]}) or its gradient (norm {values[1]})", self.now.step + 1)
        return values[0], values[1]

    def _update(self) -> None:
        for group in self.adamw.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.now.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        average(self.averaged, self.network, ema_decay_at(self.now.step, self.settings.ema_decay))
        self.now.step += 1

    # -- what is looked at

    def _validate(self) -> float | None:
        def predict(*inputs: Any) -> tuple[Tensor, Tensor | None]:
            with self.accelerator.autocast():
                prediction: tuple[Tensor, Tensor | None] = self.averaged(*inputs)
                return prediction

        share = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        total = self.validation.loss(lambda batch: self.objective.errors(predict, batch), share)
        if total is None:
            return None
        if self.accelerator.num_processes > 1:  # else it stays on the CPU: not every device has float64
            total = self.accelerator.reduce(total.to(self.accelerator.device), reduction="sum").cpu()
        loss = float(total[0] / total[1])
        if not math.isfinite(loss):
            raise self._not_finite(f"the validation loss ({loss})", self.now.step)
        self.now.validation_loss = loss
        self.now.best = loss if self.now.best is None else min(loss, self.now.best)
        return loss

    def _log(self, validated: float | None) -> None:
        now = self.now
        row = {
            "step": now.step,
            "loss": now.losses / now.summed,
            "validation_loss": validated,
            "learning_rate": self.settings.learning_rate_at(now.step - 1),
            "gradient_norm": now.norms / now.summed,
            "seconds": round(now.seconds, 3),
        }
        now.history.append(row)
        now.losses, now.norms, now.summed = 0.0, 0.0, 0
        logged = {name: value for name, value in row.items() if value is not None and name != "step"}
        self.accelerator.log(logged, step=now.step)

    def _sampled(self) -> Parts:
        """The parts with averaged weights."""
        text = self.averaged.text or self.parts.text_encoder
        if self.averaged.text is not None:  # a new one, which keeps no states of weights that change afterwards
            text = TextEncoder(text.model, text.tokenizer, text.max_tokens, text.pooling)
        null = self.averaged.null_embedding().float().cpu().clone()
        averaged = self.averaged
        return dataclasses.replace(
            self.parts, unet=averaged.unet, clip_network=averaged.clip_network, text_encoder=text, null=null
        )

    def _trained(self) -> Trained:
        sampled = self._sampled()
        assert sampled.null is not None
        return Trained(
            unet=sampled.unet,
            raw_unet=self.parts.unet,
            clip_network=sampled.clip_network,
            text_encoder=sampled.text_encoder,
            null=sampled.null,
            history=self.now.history,
            validation_loss=self.now.validation_loss,
            best_validation_loss=self.now.best,
            steps=self.now.step,
        )

    # -- checkpoints

    @property
    def _checkpoints(self) -> Path:
        return self.work / "checkpoints"

    def _save(self) -> None:
        folder = self._checkpoints / f"step-{self.now.step:08d}"
        if self.saved == folder:
            return
        if self.main:
            groups = {
                "model": tensors_of(self.network),
                "ema": tensors_of(self.averaged),
                "optimizer": optimizer_tensors(self.adamw, self.names),
            }
            save_checkpoint(self._checkpoints, self.now.step, groups, self.identity, dataclasses.asdict(self.now))
        self.saved = folder

    def _resume(self) -> None:
        def say(line: str) -> None:
            if self.main:
                self.report(0, self.settings.steps, line)

        checkpoint = newest_checkpoint(self._checkpoints, self.identity, say)
        if checkpoint is not None:
            if checkpoint.step > self.settings.steps:
                raise UserError(
                    f"the training in {self.work} has done {checkpoint.step} steps already, steps is "
                    f"{self.settings.steps}; choose another folder or delete it"
                )
            self._restore(checkpoint)
            say(f"going on from {checkpoint.folder}")
        self.accelerator.wait_for_everyone()  # nobody removes what another still reads

    def _restore(self, checkpoint: Checkpoint) -> None:
        load_module(self.network, checkpoint.tensors("model"))
        load_module(self.averaged, checkpoint.tensors("ema"))
        load_optimizer(self.adamw, self.names, checkpoint.tensors("optimizer"))
        if self.network.text is not None:
            self.network.text.clear_cache()
        self.now, self.saved = Progress(**checkpoint.record), checkpoint.folder

    def _finite(self) -> bool:
        tensors = [*tensors_of(self.network).values(), *tensors_of(self.averaged).values()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def _not_finite(self, what: str, step: int) -> UserError:
        kept = "no checkpoint had been saved before"
        if self.saved is not None:
            kept = f"the last good checkpoint is kept in {self.saved}"
        return UserError(f"{what} is not finite at step {step}; {kept}; try a lower learning_rate")

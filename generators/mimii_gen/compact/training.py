"""Training of a compact codec, with exact resume.

A step is a function of the weights, the seed and the step's number, so a training that is interrupted and started again
with the same command ends with the same weights, bit by bit on the same machine.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asdbench import UserError

from ...shared.kept import kept
from ...shared.randomness import stream
from ..latents.weights import weights_id
from ..training.denoiser import average, tensors_of
from ..training.notes import Notes
from ..training.state import load_module, load_optimizer, newest_checkpoint, optimizer_tensors, save_checkpoint
from .beginning import begin
from .calibration import CALIBRATED, VERSION, calibrate
from .examples import Examples
from .network import CompactNetwork, gamma_nll
from .settings import CompactSettings

__all__ = ["Trained", "train"]

_SHARE_DEVIATION, _PLACE_DEVIATION = 0.1, 0.15
"""Deviations with which the share and the place of lines are to be known."""
_SLOW_START = 400
"""Steps over which the weight of the information rises to its value."""
_LEAST_WEIGHT = 0.1
_BETAS, _WEIGHT_DECAY, _LARGEST_GRADIENT = (0.9, 0.99), 1e-4, 1.0


@dataclass
class Trained:
    """What a training made.

    Attributes:
        network: the codec's network with averaged weights, calibrated.
        history: a row for every ``log_every`` steps: step, nll (nats a cell), frame and clip information (nats a latent
            frame and a clip), lines (negative log-likelihood of a clip's lines), as means over these steps; seconds.
    """

    network: CompactNetwork
    history: list[dict[str, Any]]


@dataclass
class _Progress:
    """How far a training is; all of it is saved in checkpoints."""

    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    examples: Examples,
    settings: CompactSettings,
    work: Path,
    *,
    seed: int,
    device: torch.device,
    clips_id: str,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Trained:
    """Train a codec; where ``work`` holds checkpoints of the same training, it goes on from the newest sound one.

    Args:
        examples: what is learnt from.
        settings: see `CompactSettings`.
        work: folder of the checkpoints.
        seed: everything random follows from it.
        device: where it is computed.
        clips_id: hash of the clips; a training goes on with the same clips only.
        progress: called with steps done, steps in all and a note, a few times a second at most.

    Raises:
        UserError: a clip is shorter than a segment, ``work`` holds another training or only damaged checkpoints, or a
            loss is not finite any more.
        KeyboardInterrupt: as it came, after the last whole step has been saved.
    """
    examples.require(settings.segment_frames)
    return _Training(examples, settings, work, seed, device, clips_id, progress).run()


class _Training:
    """One training."""

    def __init__(
        self,
        examples: Examples,
        settings: CompactSettings,
        work: Path,
        seed: int,
        device: torch.device,
        clips_id: str,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.examples, self.settings, self.seed, self.device, self.report = examples, settings, seed, device, progress
        self.checkpoints = work / "checkpoints"
        self.identity = {"settings": settings.fixed() | {"seed": seed}, "with": {"clips": clips_id}}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            # By name: diffusers takes what is given by position for defaults.
            self.network: Any = CompactNetwork(
                sample_rate=settings.sample_rate,
                window=settings.spectra.window,
                bands=settings.bands,
                clip_dim=settings.clip_dim,
                frame_dim=settings.frame_dim,
                width=settings.width,
                detail_dim=settings.details,
            )
        self.averaged: Any = copy.deepcopy(self.network)
        self.features = begin(self.network, examples, settings.spectra)
        load_module(self.averaged, tensors_of(self.network))
        self.network.to(device).train()
        self.averaged.to(device).requires_grad_(False).eval()
        self.lines = torch.from_numpy(examples.lines)
        named = [(name, tensor) for name, tensor in tensors_of(self.network).items() if tensor.requires_grad]
        self.names = [name for name, _ in named]
        self.adam = torch.optim.AdamW(
            [tensor for _, tensor in named], settings.learning_rate, _BETAS, weight_decay=_WEIGHT_DECAY
        )
        self.now = _Progress()
        self.saved: Path | None = None
        self.whole = True
        self.note = Notes(progress)

    def run(self) -> Trained:
        """Train from the newest checkpoint, or from the beginning, to the last step."""
        self._resume()
        try:
            self._train()
        except KeyboardInterrupt:
            if self.whole and self.now.step > 0:  # half a step must not be saved
                self._save()
            raise
        self._calibrate()
        return Trained(self.averaged.cpu(), self.now.history)

    def _train(self) -> None:
        settings, now = self.settings, self.now
        clock = time.monotonic()
        while now.step < settings.steps:
            batch = self.examples.draw(settings.batch_size, settings.segment_frames, self.seed, now.step)
            self.whole = False
            figures = self._step(*batch)
            now.step += 1
            for name, value in figures.items():
                now.sums[name] = now.sums.get(name, 0.0) + value
            now.seconds, clock = now.seconds + time.monotonic() - clock, time.monotonic()
            last = now.step == settings.steps
            if last or now.step % settings.log_every == 0:
                self._log()
            self.whole = True
            if last or now.step % settings.save_every == 0:
                self._save()
            self.note(now.step, settings.steps, f"nll {figures['nll']:.3f}")

    def _step(self, chosen: np.ndarray[Any, np.dtype[np.int64]], segments: np.ndarray[Any, Any]) -> dict[str, float]:
        """One step on segments of clips; returns what is logged."""
        settings, network, step = self.settings, self.network, self.now.step
        generator = torch.Generator().manual_seed(int(stream("compact noise", self.seed, step).integers(2**62)))
        decibels = torch.from_numpy(segments).to(self.device)
        clip = network.encode_clip(self.features[chosen].to(self.device))
        drawn_clip = clip.sample(self._noise(clip.mean, generator))
        frames = network.encode_frames(network.normalized(decibels), drawn_clip)
        drawn = frames.sample(self._noise(frames.mean, generator))
        nll = gamma_nll(decibels, network.decode(drawn, drawn_clip)).sum(dim=(1, 2))
        information = frames.divergence().sum(dim=(1, 2)), clip.divergence().sum(dim=1)
        lines = self._lines_nll(chosen, *network.static(drawn_clip)[1:])
        # What a clip has once counts by the share of the clip that the segment is.
        counts = torch.tensor([self.examples.num_frames(int(index)) for index in chosen], device=self.device)
        share = segments.shape[2] / counts
        weight = min(1.0, _LEAST_WEIGHT + step / _SLOW_START)
        per_frame, per_clip = weight * settings.frame_weight, weight * settings.clip_weight
        total = nll + per_frame * information[0] + share * (per_clip * information[1] + lines)
        loss = total.mean() / (segments.shape[1] * segments.shape[2])
        figures = {
            "nll": float(nll.detach().mean()) / (segments.shape[1] * segments.shape[2]),
            "frame_information": float(information[0].detach().mean()) / frames.mean.shape[2],
            "clip_information": float(information[1].detach().mean()),
            "lines": float(lines.detach().mean()),
        }
        if not all(map(math.isfinite, figures.values())):
            raise self._not_finite(figures)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*network.parameters()], _LARGEST_GRADIENT)
        for group in self.adam.param_groups:
            group["lr"] = settings.learning_rate_at(step)
        self.adam.step()
        average(self.averaged, network, min(settings.ema_decay, (1 + step) / (10 + step)))
        return figures

    def _lines_nll(self, chosen: np.ndarray[Any, np.dtype[np.int64]], share: Tensor, place: Tensor) -> Tensor:
        """Negative log-likelihood of the clips' lines, shape (batch,); where there is none its place does not count."""
        found, where = self.lines[chosen].to(self.device).unbind(1)
        of_share = ((share - found) / _SHARE_DEVIATION).square()
        of_place = found * ((place - where) / _PLACE_DEVIATION).square()
        return 0.5 * (of_share + of_place).sum(dim=1)

    def _noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    def _not_finite(self, figures: dict[str, float]) -> UserError:
        kept = "no checkpoint had been saved before"
        if self.saved is not None:
            kept = f"the last good checkpoint is kept in {self.saved}"
        found = ", ".join(f"{name} {value:g}" for name, value in figures.items())
        return UserError(
            f"the loss is not finite at step {self.now.step + 1} ({found}); {kept}; try a lower learning_rate"
        )

    def _calibrate(self) -> None:
        """Calibrate the averaged weights, once: it takes as long as hundreds of steps, and trainings resume often."""

        def compute() -> dict[str, np.ndarray[Any, Any]]:
            calibrate(self.averaged, self.examples, self.settings.spectra, self.seed)
            return {name: getattr(self.averaged, name).cpu().numpy() for name in CALIBRATED}

        depends_on = [weights_id(tensors_of(self.averaged)), self.identity, VERSION]
        found = kept(self.checkpoints.parent, "calibration", depends_on, compute)
        for name in CALIBRATED:
            getattr(self.averaged, name).copy_(torch.from_numpy(np.array(found[name])))

    # -- what is kept

    def _log(self) -> None:
        now = self.now
        since = now.step - (now.history[-1]["step"] if now.history else 0)
        means = {name: total / since for name, total in now.sums.items()}
        now.history.append({"step": now.step, **means, "seconds": round(now.seconds, 3)})
        now.sums = {}

    def _save(self) -> None:
        groups = {
            "model": tensors_of(self.network),
            "ema": tensors_of(self.averaged),
            "adam": optimizer_tensors(self.adam, self.names),
        }
        self.saved = save_checkpoint(
            self.checkpoints, self.now.step, groups, self.identity, dataclasses.asdict(self.now)
        )

    def _resume(self) -> None:
        steps = self.settings.steps
        checkpoint = newest_checkpoint(self.checkpoints, self.identity, lambda line: self.report(0, steps, line))
        if checkpoint is None:
            return
        load_module(self.network, checkpoint.tensors("model"))
        load_module(self.averaged, checkpoint.tensors("ema"))
        load_optimizer(self.adam, self.names, checkpoint.tensors("adam"))
        self.now, self.saved = _Progress(**checkpoint.record), checkpoint.folder
        self.report(self.now.step, steps, f"going on from {checkpoint.folder}")

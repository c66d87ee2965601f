"""Training of a codec against a discriminator, with exact resume.

A step is a function of the weights, the seed and the step's number, so a training that is interrupted and started again
with the same command ends with the same weights, bit by bit on the same machine.

Source: Defossez et al., arXiv:2210.13438, sections 3.3 and 3.4.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EncodecModel

from asdbench import UserError

from ...shared.randomness import stream, unit
from ..training.denoiser import tensors_of
from ..training.notes import Notes
from ..training.state import load_module, load_optimizer, newest_checkpoint, optimizer_tensors, save_checkpoint
from . import quantiser
from .balancer import Balancer
from .discriminator import Discriminator
from .initial import whiten
from .losses import MelLoss, discriminator_loss, feature_loss, generator_loss, waveform_loss
from .network import build, input_scale, with_gain
from .settings import CodecSettings
from .sound import Sound

__all__ = ["Trained", "train"]

_BETAS = (0.5, 0.9)
"""Of Adam, as in the paper."""
_FIRST_VECTORS = 4096
"""Latent frames that codebooks begin with."""
_HEARS_NOTHING = 2.0
"""Hinge loss of a discriminator that judges everything alike."""
_HINGE_DECAY = 0.9
"""Of the moving average of the discriminator's loss, by steps that train it."""


@dataclass
class Trained:
    """What a training made.

    Attributes:
        model: the codec, for sound at the level of the clips.
        history: a row for every ``log_every`` steps: step, the losses and snr (dB) as means over these steps, replaced
            (codewords in these steps), seconds (since the beginning).
        level: median RMS of the clips.
    """

    model: EncodecModel
    history: list[dict[str, Any]]
    level: float


@dataclass
class _Progress:
    """How far a training is; all of it is saved in checkpoints.

    Attributes:
        level: median RMS of the clips.
        step: steps done.
        seconds: time spent on them.
        sums: of the figures since the last row of the history.
        counts: of the steps in the sums, by figure.
        history: see `Trained`.
        balance: state of the balancer.
        hinge: moving average of the discriminator's loss.
    """

    level: float
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    balance: dict[str, dict[str, float]] = field(default_factory=lambda: {"sums": {}, "counts": {}})
    hinge: float = _HEARS_NOTHING


def train(
    sound: Sound,
    settings: CodecSettings,
    work: Path,
    *,
    seed: int,
    device: torch.device,
    clips_id: str,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Trained:
    """Train a codec; where ``work`` holds checkpoints of the same training, it goes on from the newest sound one.

    Args:
        sound: what is learnt from.
        settings: see `CodecSettings`.
        work: folder of the checkpoints.
        seed: everything random follows from it.
        device: where it is computed.
        clips_id: hash of the clips; a training goes on with the same clips only.
        progress: called with steps done, steps in all and a note, a few times a second at most.

    Raises:
        UserError: ``work`` holds another training or only damaged checkpoints, or a loss is not finite any more.
        KeyboardInterrupt: as it came, after the last whole step has been saved.
    """
    return _Training(sound, settings, work, seed, device, clips_id, progress).run()


class _Training:
    """One training."""

    def __init__(
        self,
        sound: Sound,
        settings: CodecSettings,
        work: Path,
        seed: int,
        device: torch.device,
        clips_id: str,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.sound, self.settings, self.seed, self.device, self.report = sound, settings, seed, device, progress
        self.checkpoints = work / "checkpoints"
        self.identity = {"settings": settings.fixed() | {"seed": seed}, "with": {"clips": clips_id}}
        self.model: Any = build(settings, seed).to(device)  # half typed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            self.discriminator = Discriminator(settings.discriminator_filters, settings.segment_samples).to(device)
        self.mel = MelLoss(settings.sample_rate, settings.segment_samples).to(device)
        self.adam, self.names = _adam(self.model, settings.learning_rate)
        self.other_adam, self.other_names = _adam(self.discriminator, settings.discriminator_learning_rate)
        self.balancer = Balancer(
            {
                "waveform": settings.waveform_weight,
                "mel": settings.mel_weight,
                "adversarial": settings.adversarial_weight,
                "feature": settings.feature_weight,
            }
        )
        self.saved: Path | None = None
        self.whole = True
        self.note = Notes(progress)

    def run(self) -> Trained:
        """Train from the newest checkpoint, or from the beginning, to the last step."""
        self._begin()
        try:
            self._train()
        except KeyboardInterrupt:
            if self.whole and self.now.step > 0:  # half a step must not be saved
                self._save()
            raise
        model = with_gain(self.model, input_scale(self.settings, self.now.level)).eval()
        return Trained(model, self.now.history, self.now.level)

    # -- the beginning

    def _begin(self) -> None:
        steps = self.settings.steps
        checkpoint = newest_checkpoint(self.checkpoints, self.identity, lambda line: self.report(0, steps, line))
        if checkpoint is not None:
            load_module(self.model, checkpoint.tensors("model"))
            load_module(self.discriminator, checkpoint.tensors("discriminator"))
            load_optimizer(self.adam, self.names, checkpoint.tensors("adam"))
            load_optimizer(self.other_adam, self.other_names, checkpoint.tensors("other_adam"))
            self.now, self.saved = _Progress(**checkpoint.record), checkpoint.folder
            self.balancer.restore(self.now.balance)
            self.report(self.now.step, steps, f"going on from {checkpoint.folder}")
            return
        level = self.sound.level(lambda done, total: self.report(done, total, "clips measured"))
        self.now = _Progress(level)
        self.report(0, steps, "codebooks begin with k-means")
        if self.settings.start == "lapped":
            whiten(self.model, self._first_latents())
        quantiser.begin(self.model.quantizer, self._first_latents(), self._generator("k-means"))

    @torch.no_grad()
    def _first_latents(self) -> Tensor:
        """Latents of the first data, shape (vectors, dim)."""
        latents: list[Tensor] = []
        while sum(map(len, latents)) < _FIRST_VECTORS:
            batch = self._batch("first", len(latents))
            scaled = input_scale(self.settings, self.now.level) * batch[:, None]
            latents.append(self.model.encoder(scaled).transpose(1, 2).flatten(0, 1))
        return torch.cat(latents)

    # -- the steps

    def _train(self) -> None:
        settings, now = self.settings, self.now
        clock = time.monotonic()
        while now.step < settings.steps:
            real = self._batch("step", now.step)
            self.whole = False
            figures = self._step(real)
            now.step += 1
            for name, value in figures.items():
                now.sums[name] = now.sums.get(name, 0.0) + value
                now.counts[name] = now.counts.get(name, 0) + 1
            now.seconds, clock = now.seconds + time.monotonic() - clock, time.monotonic()
            last = now.step == settings.steps
            if last or now.step % settings.log_every == 0:
                self._log()
            self.whole = True
            if last or now.step % settings.save_every == 0:
                self._save()
            self.note(now.step, settings.steps, f"mel {figures['mel']:.3f}, SNR {figures['snr']:.1f} dB")

    def _step(self, real: Tensor) -> dict[str, float]:
        """One step of the codec and, in its share of the steps, of the discriminator; returns what is logged."""
        settings, step = self.settings, self.now.step
        weighted = bool(settings.adversarial_weight or settings.feature_weight)
        adversarial = weighted and step >= settings.adversarial_after
        scale = input_scale(settings, self.now.level)
        latents = self.model.encoder(scale * real[:, None])
        quantised, codes, commitment = quantiser.quantise(self.model.quantizer, latents)
        made = self.model.decoder(quantised)[:, 0] / (scale * self.now.level)
        reference = real / self.now.level  # losses see unit power
        losses = {"waveform": waveform_loss(reference, made), "mel": self.mel(reference, made)}
        if adversarial and self.now.hinge < settings.discriminator_below:
            with torch.no_grad():
                _, real_features = self.discriminator(reference)
            judged, features = self.discriminator(made)
            losses |= {"adversarial": generator_loss(judged), "feature": feature_loss(real_features, features)}
        figures = {name: float(loss.detach()) for name, loss in losses.items()}
        figures |= {"commitment": float(commitment.detach()), "snr": _snr(reference, made.detach())}
        self._require_finite(figures)
        self.adam.zero_grad()
        self.balancer.backward(losses, made)
        (settings.commitment_weight * commitment).backward()
        self._descend(self.adam, settings.learning_rate)
        replacements = self._generator("replace", step)
        figures["replaced"] = float(
            quantiser.update(self.model.quantizer, latents.detach(), codes, settings.codebook_decay, replacements)
        )
        if adversarial and unit("discriminator", self.seed, step) < settings.discriminator_share:
            figures["discriminator"] = self._train_discriminator(reference, made.detach())
        return figures

    def _train_discriminator(self, real: Tensor, made: Tensor) -> float:
        loss = discriminator_loss(self.discriminator(real)[0], self.discriminator(made)[0])
        value = float(loss.detach())
        self._require_finite({"discriminator": value})
        self.other_adam.zero_grad()
        loss.backward()
        self._descend(self.other_adam, self.settings.discriminator_learning_rate)
        self.now.hinge = _HINGE_DECAY * self.now.hinge + (1 - _HINGE_DECAY) * value
        return value

    def _descend(self, adam: torch.optim.Adam, highest: float) -> None:
        for group in adam.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.now.step, highest)
        adam.step()

    def _batch(self, *name: str | int) -> Tensor:
        return self.sound.batch(self.settings.batch_size, self.seed, *name).to(self.device)

    def _generator(self, *name: str | int) -> torch.Generator:
        seed = int(stream("codec", self.seed, *name).integers(2**62))
        return torch.Generator().manual_seed(seed)

    def _require_finite(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                kept = "no checkpoint had been saved before"
                if self.saved is not None:
                    kept = f"the last good checkpoint is kept in {self.saved}"
                raise UserError(
                    f"{name} is not finite ({value}) at step {self.now.step + 1}; {kept}; try a lower learning_rate"
                )

    # -- what is kept

    def _log(self) -> None:
        now = self.now
        means = {name: total / now.counts[name] for name, total in now.sums.items()}
        means["replaced"] = now.sums["replaced"]
        now.history.append({"step": now.step, **means, "seconds": round(now.seconds, 3)})
        now.sums, now.counts = {}, {}

    def _save(self) -> None:
        groups = {
            "model": tensors_of(self.model),
            "discriminator": tensors_of(self.discriminator),
            "adam": optimizer_tensors(self.adam, self.names),
            "other_adam": optimizer_tensors(self.other_adam, self.other_names),
        }
        self.now.balance = self.balancer.state()
        record = dataclasses.asdict(self.now)
        self.saved = save_checkpoint(self.checkpoints, self.now.step, groups, self.identity, record)


def _adam(module: torch.nn.Module, learning_rate: float) -> tuple[torch.optim.Adam, list[str]]:
    named = [(name, tensor) for name, tensor in tensors_of(module).items() if tensor.requires_grad]
    return torch.optim.Adam([tensor for _, tensor in named], learning_rate, _BETAS), [name for name, _ in named]


def _snr(real: Tensor, made: Tensor) -> float:
    """Signal-to-noise ratio in dB, of the batch as a whole."""
    noise = (real - made).square().sum().clamp(min=1e-20)
    return float(10 * torch.log10(real.square().sum().clamp(min=1e-20) / noise))

"""Settings of the training, and what may change when a training goes on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from asdbench import UserError

from .examples import Balance

__all__ = ["TrainingSettings"]

_FREE = ("steps", "validate_every", "save_every", "preview_every", "log_every", "tracker")
"""Settings that do not change what a step does: they may differ when a training goes on."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the diffusion model is trained.

    Attributes:
        steps: optimiser steps in all.
        batch_size: examples in one optimiser step, over all processes and all parts of an accumulated step together.
        accumulation: parts that a process computes one after the other in a step, to save memory; each part holds
            batch_size / accumulation / processes examples. The result is the same up to rounding.
        learning_rate: of AdamW, after the warm-up.
        warmup_steps: the learning rate rises linearly over these steps.
        learning_rate_end: share of the learning rate that the last step has; 1 keeps it constant after the warm-up.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this Euclidean norm.
        ema_decay: largest decay of the moving average of the weights, which is what is sampled from.
        mixed_precision: "no", or "bf16" for the network's matrix products (weights and loss stay in float32).
        gradient_checkpointing: compute the U-Net's activations twice instead of keeping them, to save memory.
        snr_gamma: gamma of the min-SNR weights of the loss, None for equal weights.
        caption_dropout: share of examples that are trained with the null embedding, for classifier-free guidance.
        balance: "none": every clip equally often; "condition": every machine equally often, and of a machine its
            anomalies as often as its normal clips; "caption": within that every caption equally often.
        validation_share: share of the clips that are kept for the validation loss.
        validate_every: steps between two validation losses.
        save_every: steps between two checkpoints.
        preview_every: steps between two previews.
        log_every: steps that one row of the history stands for.
        tracker: "tensorboard" or another tracker that accelerate knows.
        train_text_encoder: train the text encoder too (the paper's eq. 3).
        learned_null: train the null embedding, from the encoding of the empty caption on.

    Raises:
        UserError: If a value is out of its range.
    """

    steps: int = 100_000
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup_steps: int = 500
    learning_rate_end: float = 1.0
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    ema_decay: float = 0.9999
    mixed_precision: Literal["no", "bf16"] = "no"
    gradient_checkpointing: bool = False
    snr_gamma: float | None = None
    caption_dropout: float = 0.1
    balance: Balance = "none"
    validation_share: float = 0.1
    validate_every: int = 500
    save_every: int = 1000
    preview_every: int = 5000
    log_every: int = 10
    tracker: str | None = None
    train_text_encoder: bool = False
    learned_null: bool = False

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulation", "validate_every", "save_every", "preview_every", "log_every")
        for name in counts:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "weight_decay"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("learning_rate", "max_grad_norm"):
            self._require(name, getattr(self, name) > 0, "a number above 0")
        self._require("learning_rate_end", 0 < self.learning_rate_end <= 1, "a number above 0 and up to 1")
        for name in ("ema_decay", "validation_share"):
            self._require(name, 0 <= getattr(self, name) < 1, "a number from 0 to less than 1")
        self._require("caption_dropout", 0 <= self.caption_dropout <= 1, "a number from 0 to 1")
        self._require("snr_gamma", self.snr_gamma is None or self.snr_gamma > 0, "a number above 0, or none")
        self._require("mixed_precision", self.mixed_precision in ("no", "bf16"), "'no' or 'bf16'")
        self._require("balance", self.balance in ("none", "condition", "caption"), "'none', 'condition' or 'caption'")
        if self.batch_size % self.accumulation:
            self._require("batch_size", False, f"a multiple of accumulation, {self.accumulation}")

    def _require(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise UserError(f"{name} is {getattr(self, name)!r}, expected {expected}")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        It rises linearly over the warm-up, and falls over the second half of the steps, by half a cosine, to
        ``learning_rate_end`` of its height.
        """
        late = max(0.0, 2 * step / self.steps - 1)
        left = self.learning_rate_end + (1 - self.learning_rate_end) * 0.5 * (1 + math.cos(math.pi * late))
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps)) * left

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a training goes on."""
        fixed = {name: value for name, value in asdict(self).items() if name not in _FREE}
        if self.learning_rate_end == 1.0:
            del fixed["learning_rate_end"]
        else:  # the learning rate depends on how many steps there are
            fixed["steps"] = self.steps
        return fixed

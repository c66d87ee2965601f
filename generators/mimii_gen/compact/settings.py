"""Settings of a compact codec and its training."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from asdbench import UserError

from .spectra import STRIDE, Spectra

__all__ = ["SEGMENT_SECONDS", "CompactSettings"]

SEGMENT_SECONDS = 2.0
"""Length of the segments that are trained on unless the settings say otherwise."""

_WINDOW_SECONDS = 0.064
"""Length of a window before it is made a power of 2 in samples: 46 to 85 ms at the usual rates, see `spectra`."""
_FREE = ("save_every", "log_every")
"""Settings that do not change what a step does: they may differ when a training goes on."""
_LEAST_FRAMES = 4
"""Latent frames of a segment."""


@dataclass(frozen=True)
class CompactSettings:
    """A compact codec and how it is trained; names as in `asdbench list codec`.

    Attributes:
        sample_rate: Hz.
        bands: mel bands.
        clip_dim: values of the clip latent that the network codes.
        detail_dim: further values of it, for details of the static level that are measured after the training; None
            for three quarters of the bands.
        frame_dim: values of a frame latent; those that say nothing are left out after the training.
        width: channels of the network.
        clip_weight: of the information in the clip latent, against the likelihood of the spectrogram. Frames overlap by
            three quarters, so that their likelihood counts the same sound some four times.
        frame_weight: of the information in the frame latents, likewise.
        seconds: length of the segments that are trained on.
        batch_size: segments in a step.
        steps: optimiser steps in all; the learning rate falls to 0.02 of the highest over them.
        learning_rate: of AdamW.
        warmup_steps: steps over which the learning rate rises.
        ema_decay: of the moving average of the weights.
        save_every: steps between checkpoints.
        log_every: steps that a row of the history stands for.

    Raises:
        UserError: a value is out of its range.
    """

    sample_rate: int = 16000
    bands: int = 128
    clip_dim: int = 64
    detail_dim: int | None = None
    frame_dim: int = 16
    width: int = 160
    clip_weight: float = 2.5
    frame_weight: float = 2.3
    seconds: float = SEGMENT_SECONDS
    batch_size: int = 24
    steps: int = 3000
    learning_rate: float = 1.5e-3
    warmup_steps: int = 100
    ema_decay: float = 0.995
    save_every: int = 500
    log_every: int = 10

    def __post_init__(self) -> None:
        if self.clip_dim < 2:  # rescaled guidance takes the deviation of its values
            self._refuse("clip_dim", "at least 2")
        if not 0 <= self.details <= self.bands:
            self._refuse("detail_dim", f"0 to {self.bands}, the number of bands")
        for name in ("bands", "frame_dim", "batch_size", "steps", "save_every", "log_every"):
            if getattr(self, name) < 1:
                self._refuse(name, "at least 1")
        if self.width < 8 or self.width % 8:
            self._refuse("width", "a multiple of 8")
        for name in ("clip_weight", "frame_weight", "learning_rate"):
            if not getattr(self, name) > 0:
                self._refuse(name, "a number above 0")
        if self.spectra.empty_bands():
            self._refuse("bands", f"so few that each has a bin of the {self.spectra.window} samples of a frame")
        least = _LEAST_FRAMES * STRIDE * self.spectra.hop / self.sample_rate
        if self.segment_frames < _LEAST_FRAMES * STRIDE:
            self._refuse("seconds", f"at least {least:g} s, {_LEAST_FRAMES * STRIDE} frames of the spectrogram")

    def _refuse(self, name: str, expected: str) -> None:
        raise UserError(f"{name} is {getattr(self, name)}, expected {expected}")

    @property
    def spectra(self) -> Spectra:
        """The spectrogram: windows of that power of 2 in samples which is nearest to 64 ms on a log scale.

        They last 64 ms at 8, 16 and 32 kHz, 46 ms at 11.025, 22.05 and 44.1 kHz, and 85 ms at 12, 24 and 48 kHz.
        """
        return Spectra(self.sample_rate, 2 ** round(math.log2(_WINDOW_SECONDS * self.sample_rate)), self.bands)

    @property
    def details(self) -> int:
        """Values of the clip latent for details."""
        return 3 * self.bands // 4 if self.detail_dim is None else self.detail_dim

    @property
    def segment_frames(self) -> int:
        """Frames of a segment, whole latent frames."""
        return round(self.seconds * self.sample_rate / self.spectra.hop / STRIDE) * STRIDE

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a training goes on."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE}

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: a linear warm-up, and half a cosine down to 0.02."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

"""Settings of a codec and its training, with what the presets stand for."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from asdbench import UserError

__all__ = ["LATENT_DIM", "PRESETS", "CodecSettings"]

LATENT_DIM = 128
"""Values in a latent frame, as in EnCodec and in MIMII-Gen."""
_FREE = ("save_every", "log_every")
"""Settings that do not change what a step does: they may differ when a training goes on."""

PRESETS: dict[str, dict[str, Any]] = {
    "16k": {"sample_rate": 16000, "ratios": (8, 4, 4), "filters": 32, "causal": False, "start": "lapped"},
    "24k": {"sample_rate": 24000, "ratios": (8, 5, 4, 2), "filters": 16, "causal": True, "start": "random"},
}
"""16 kHz at 125 frames a second (as many latent values as samples), and 24 kHz at 75 frames as in the paper. What they
do not say has the defaults of `CodecSettings`."""


@dataclass(frozen=True)
class CodecSettings:
    """A codec and how it is trained; names as in `asdbench list codec`.

    Attributes:
        sample_rate: Hz.
        ratios: upsampling ratios of the decoder; the encoder takes them in reverse. Their product is the hop.
        filters: channels at the full rate; each ratio doubles them.
        causal: whether a latent frame depends on earlier samples only.
        start: "random" weights, or "lapped": weights that compute a lapped transform; see `initial`.
        codebooks: codebooks of the residual quantiser.
        codebook_size: codewords in a codebook, a power of 2.
        codebook_decay: of the moving averages that codewords are.
        seconds: length of the segments that are trained on.
        batch_size: segments in a step.
        steps: optimiser steps in all; the learning rate falls to 0 over them.
        learning_rate: of Adam, for the codec.
        discriminator_learning_rate: of Adam, for the discriminator.
        warmup_steps: steps over which the learning rates rise.
        adversarial_after: step from which the discriminator is trained.
        discriminator_below: the discriminator's losses count in steps before which its hinge loss, as a moving
            average, is below this. One that judges everything alike has a hinge loss of 2, and the gradient of its
            judgement is noise, which the balancer would scale to its full share.
        discriminator_filters: channels of the discriminator.
        discriminator_share: share of the steps in which the discriminator is trained (2/3 in the paper at 24 kHz).
        waveform_weight, mel_weight, adversarial_weight, feature_weight: of the losses, as shares of the gradient.
        commitment_weight: of the commitment loss, which is not balanced.
        save_every: steps between checkpoints.
        log_every: steps that a row of the history stands for.

    Raises:
        UserError: a value is out of its range, or values do not fit together.
    """

    sample_rate: int = 16000
    ratios: tuple[int, ...] = (8, 4, 4)
    filters: int = 32
    causal: bool = False
    start: Literal["random", "lapped"] = "lapped"
    codebooks: int = 128
    codebook_size: int = 64
    codebook_decay: float = 0.99
    seconds: float = 1.0
    batch_size: int = 8
    steps: int = 20_000
    learning_rate: float = 1e-4
    discriminator_learning_rate: float = 3e-4
    warmup_steps: int = 100
    adversarial_after: int = 200
    discriminator_below: float = 1.8
    discriminator_filters: int = 8
    discriminator_share: float = 2 / 3
    waveform_weight: float = 0.1
    mel_weight: float = 1.0
    adversarial_weight: float = 3.0
    feature_weight: float = 3.0
    commitment_weight: float = 1.0
    save_every: int = 500
    log_every: int = 10

    def __post_init__(self) -> None:
        if not self.ratios or any(ratio < 2 for ratio in self.ratios):
            self._refuse("ratios", "whole numbers of at least 2")
        if self.codebook_size & (self.codebook_size - 1) or self.codebook_size < 2:
            self._refuse("codebook_size", "a power of 2")
        if self.hop_length > self.sample_rate:
            self._refuse("ratios", f"a product of at most the sample rate, {self.sample_rate}")
        if self.segment_frames < 8:
            least = 8 * self.hop_length / self.sample_rate
            self._refuse("seconds", f"at least {least:g} s, 8 frames of {self.hop_length} samples")
        if not any((self.waveform_weight, self.mel_weight, self.adversarial_weight, self.feature_weight)):
            self._refuse("mel_weight", "a number above 0 for one of the losses")
        if self.start == "lapped":
            self._check_lapped()

    def _check_lapped(self) -> None:
        """A lapped transform needs as many values as samples, the frame after, and a channel for either sign."""
        if self.hop_length != LATENT_DIM:
            raise UserError(
                f"start is 'lapped', which takes ratios with a product of {LATENT_DIM}, found {self.ratios}"
            )
        if self.causal:
            raise UserError("start is 'lapped', which looks one frame ahead, so causal must be false")
        needed = 2 * LATENT_DIM // 2 ** len(self.ratios)
        if self.filters < needed:
            raise UserError(
                f"start is 'lapped', which takes at least {needed} filters with ratios {self.ratios}, "
                f"found {self.filters}"
            )

    def _refuse(self, name: str, expected: str) -> None:
        raise UserError(f"{name} is {getattr(self, name)}, expected {expected}")

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return math.prod(self.ratios)

    @property
    def segment_frames(self) -> int:
        """Frames in a segment."""
        return round(self.seconds * self.sample_rate) // self.hop_length

    @property
    def segment_samples(self) -> int:
        """Samples in a segment, whole frames."""
        return self.segment_frames * self.hop_length

    @property
    def bandwidth(self) -> float:
        """Bits a second, in thousands, of all codebooks; frames a second are rounded up as EnCodec does."""
        frames = math.ceil(self.sample_rate / self.hop_length)
        return self.codebooks * int(math.log2(self.codebook_size)) * frames / 1000

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a training goes on."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE}

    def learning_rate_at(self, step: int, highest: float) -> float:
        """Return the learning rate of a step, counted from 0: a linear warm-up, then half a cosine down to 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return highest * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))

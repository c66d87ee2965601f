"""What a training takes, what it makes, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor

from ..conditioning.text import TextEncoder
from ..diffusion.clip_network import ClipNetwork
from ..diffusion.flat_unet import FlatUNet
from ..diffusion.schedule import NoiseSchedule
from ..latents.interface import LatentCodec
from ..latents.space import LatentSpace

__all__ = ["Parts", "Progress", "Trained"]


@dataclass
class Parts:
    """The parts of a latent diffusion model.

    Attributes:
        unet: the denoising network.
        schedule: noise schedule and what the network predicts.
        text_encoder: embeds the captions.
        codec: between audio and latents.
        space: layout and normalisation of the latents.
        null: the null embedding, shape (tokens, dim); None for the text encoder's encoding of the empty caption.
        clip_network: denoises the codec's clip latents; None where it has none.
    """

    unet: UNet2DConditionModel | FlatUNet
    schedule: NoiseSchedule
    text_encoder: TextEncoder
    codec: LatentCodec
    space: LatentSpace
    null: Tensor | None = None
    clip_network: ClipNetwork | None = None


@dataclass
class Trained:
    """What a training made.

    Attributes:
        unet: the U-Net with averaged weights, the one to sample from.
        raw_unet: the U-Net with the weights of the last step (the one that was passed in, trained in place).
        clip_network: with averaged weights, None where there is none.
        text_encoder: with averaged weights where it was trained, else the one that was passed in.
        null: the null embedding that goes with them, shape (tokens, dim), float32, on the CPU.
        history: a row for every ``log_every`` steps: step, loss and gradient_norm (means over the steps since the row
            before), validation_loss (None where it was not computed), learning_rate, seconds (since the beginning).
        validation_loss: the last one, None without validation clips.
        best_validation_loss: the lowest one.
        steps: optimiser steps done.
    """

    unet: UNet2DConditionModel | FlatUNet
    raw_unet: UNet2DConditionModel | FlatUNet
    clip_network: ClipNetwork | None
    text_encoder: TextEncoder
    null: Tensor
    history: list[dict[str, Any]]
    validation_loss: float | None
    best_validation_loss: float | None
    steps: int


@dataclass
class Progress:
    """How far a training is; all of it is saved in checkpoints.

    Attributes:
        step: optimiser steps done.
        seconds: time spent on them.
        losses: sum of the losses since the last row of the history.
        norms: sum of the gradient norms since then.
        summed: steps in the sums.
        validation_loss: the last one.
        best: the lowest one.
        history: see `Trained`.
    """

    step: int = 0
    seconds: float = 0.0
    losses: float = 0.0
    norms: float = 0.0
    summed: int = 0
    validation_loss: float | None = None
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

"""What makes a training the same one as that of a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from .examples import Example, examples_id
from .parts import Parts
from .settings import TrainingSettings

__all__ = ["identity_of_training"]


def identity_of_training(
    parts: Parts, examples: Sequence[Example], num_frames: int, settings: TrainingSettings, seed: int
) -> dict[str, dict[str, Any]]:
    """Return what a training that goes on must have in common with the one that began; see `save_checkpoint`."""
    text = parts.text_encoder
    schedule = dataclasses.asdict(parts.schedule)
    schedule["timesteps"] = schedule.pop("steps")  # `steps` are those of the training
    fixed = settings.fixed() | schedule | {"num_frames": num_frames, "seed": seed}
    begun_with = {
        "examples": examples_id(examples),
        "codec": parts.codec.identity,
        "latent statistics": parts.space.to_dict(),
        "U-Net": _config_text(parts.unet.config),
        "clip network": None if parts.clip_network is None else _config_text(parts.clip_network.config),
        "null embedding": None if parts.null is None else parts.null.tolist(),
        # The weights of an encoder that is trained change in place, so of that one only the rest counts.
        "text encoder": text.architecture if settings.train_text_encoder else text.identity,
    }
    return {"settings": fixed, "with": begun_with}


def _config_text(config: Any) -> str:
    """A configuration as text, without names of paths and versions of libraries."""
    known = {name: value for name, value in dict(config).items() if not name.startswith("_")}
    known.pop("transformers_version", None)
    return json.dumps(known, sort_keys=True, default=str)

"""A training from clips to the folder of a codec: weights, losses, the clips that were heard, and how it was made."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd
import torch

from asdbench import Training
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.hub import quiet

from ...shared.disk import os_errors
from ...shared.record import RECORD
from ..record import CODEC_COLUMNS
from .loop import Trained, train
from .settings import CodecSettings
from .sound import Sound

if TYPE_CHECKING:
    from .part import CodecPart

LOSSES, ABOUT = "losses.csv", "training.json"


def learn(part: CodecPart, training: Training) -> None:
    """Train a codec; see `CodecPart.train`."""
    settings = part.resolved()
    sound = Sound(training.clips, settings.sample_rate, settings.segment_samples)
    trained = train(
        sound,
        settings,
        training.work,
        seed=part.seed,
        device=choose_device(part.device),
        clips_id=training.clips.content_id(),
        progress=training.progress,
    )
    _write(part, training, settings, trained)


def _write(part: CodecPart, training: Training, settings: CodecSettings, trained: Trained) -> None:
    out = training.out
    with quiet(), os_errors(out):
        trained.model.to(torch.device("cpu"), getattr(torch, part.weights)).save_pretrained(out)
    pd.DataFrame(trained.history).to_csv(out / LOSSES, index=False)
    training.clips.frame[list(CODEC_COLUMNS)].to_csv(out / RECORD, index=False)
    weights = sum(tensor.numel() for tensor in trained.model.parameters())
    about = {
        "settings": part.settings(late=False),
        "bandwidth": settings.bandwidth,
        "frame_rate": settings.sample_rate / settings.hop_length,
        "parameters": weights,
        "seed": part.seed,
        "steps": settings.steps,
        "seconds": trained.history[-1]["seconds"],
        "clips": len(training.clips),
        "exposure": training.exposure,
        "level": trained.level,
        "last": trained.history[-1],
        "versions": {name: version(name) for name in ("asdbench", "torch", "transformers")},
    }
    (out / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

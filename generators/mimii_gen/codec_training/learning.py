"""A training from clips to the folder of a codec: weights, losses, the clips that it learnt from, how it was made."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from asdbench import Training
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.hub import quiet

from ...shared.disk import os_errors
from ...shared.record import RECORD
from ..compact.codec import CompactCodec
from ..compact.learning import learn_compact, usual_rate
from ..record import CODEC_COLUMNS
from .loop import train
from .sound import Sound

if TYPE_CHECKING:
    from .part import CodecPart

LOSSES, ABOUT = "losses.csv", "training.json"


def learn(part: CodecPart, training: Training) -> None:
    """Train a codec; see `CodecPart.train`."""
    if part.preset == "compact":
        _learn_compact(part, training)
    else:
        _learn_encodec(part, training)


def _learn_encodec(part: CodecPart, training: Training) -> None:
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
    about = {
        "settings": part.settings(late=False) | _plain(settings.fixed()),
        "bandwidth": settings.bandwidth,
        "frame_rate": settings.sample_rate / settings.hop_length,
        "level": trained.level,
    }
    _write(part, training, trained.model, trained.history, about)


def _learn_compact(part: CodecPart, training: Training) -> None:
    settings = part.resolved_compact(usual_rate(training.clips))
    trained = learn_compact(
        training.clips,
        settings,
        work=training.work,
        cache=training.cache,
        seed=part.seed,
        device=choose_device(part.device),
        weights=part.weights,
        progress=training.progress,
    )
    codec = CompactCodec(trained.network.cpu())
    about = {
        "settings": {"preset": part.preset} | _plain(settings.fixed()),
        "frame_rate": codec.frame_rate,
        "clip_latent": codec.clip_dim,
        "frame_latent": (codec.dim - codec.clip_dim) // 2,
    }
    _write(part, training, trained.network, trained.history, about)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _write(
    part: CodecPart, training: Training, model: Any, history: list[dict[str, Any]], about: dict[str, Any]
) -> None:
    out = training.out
    with quiet(), os_errors(out):
        model.to(torch.device("cpu"), getattr(torch, part.weights)).save_pretrained(out)
    pd.DataFrame(history).to_csv(out / LOSSES, index=False)
    training.clips.frame[list(CODEC_COLUMNS)].to_csv(out / RECORD, index=False)
    about = about | {
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "seed": part.seed,
        "steps": history[-1]["step"],
        "seconds": history[-1]["seconds"],
        "clips": len(training.clips),
        "exposure": training.exposure,
        "last": history[-1],
        "versions": {name: version(name) for name in ("asdbench", "torch", "transformers", "diffusers")},
    }
    (out / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

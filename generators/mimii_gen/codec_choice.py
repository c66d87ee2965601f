"""The codec of a training: a trained one by name, or a compact one that is trained on the clips at hand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from asdbench import ClipSet, Training, UserError

from .compact.codec import CompactCodec
from .compact.kind import NAME as COMPACT
from .compact.learning import learn_compact, usual_rate
from .compact.settings import SEGMENT_SECONDS, CompactSettings
from .latents.interface import LatentCodec, load_codec

if TYPE_CHECKING:
    from .generator import MimiiGen


_WHOLE_FRAMES = 0.95
"""Share of the shortest clip that segments may have: they are rounded to whole latent frames."""


def codec_for(generator: MimiiGen, clips: ClipSet, training: Training, device: torch.device) -> LatentCodec:
    """Load the codec that the settings name, or train a compact one.

    Raises:
        UserError: it cannot be loaded or trained.
    """
    if generator.codec != COMPACT:
        return load_codec(generator.codec, generator.bandwidth, device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "codec is 'compact', which is trained in one process, found WORLD_SIZE above 1; train it first with "
            "'asdbench train codec --set preset=compact' and set codec to its folder"
        )
    shortest = float((clips.frame["num_samples"] / clips.frame["sample_rate"]).min())
    settings = CompactSettings(
        sample_rate=usual_rate(clips),
        seconds=min(SEGMENT_SECONDS, _WHOLE_FRAMES * shortest),
        steps=generator.codec_steps,
        save_every=generator.save_every,
    )
    trained = learn_compact(
        clips,
        settings,
        work=training.work / "codec",
        cache=training.cache,
        seed=generator.seed,
        device=device,
        weights=generator.weights,
        progress=lambda done, total, note: training.progress(done, total, f"codec: {note}"),
    )
    return CompactCodec(trained.network.to(device), COMPACT)

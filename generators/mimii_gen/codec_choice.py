"""The codec of a training: a trained one by name, or a compact one that is trained on the clips at hand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from asdbench import ClipSet, Training, UserError

from .compact.codec import NAME as COMPACT
from .compact.codec import CompactCodec
from .compact.examples import Examples
from .compact.settings import CompactSettings
from .compact.training import train
from .latents.interface import LatentCodec, load_codec

if TYPE_CHECKING:
    from .generator import MimiiGen


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
    settings = CompactSettings(
        sample_rate=usual_rate(clips), steps=generator.codec_steps, save_every=generator.save_every
    )
    examples = Examples(
        clips,
        settings.spectra,
        training.cache / "spectra",
        lambda done, total: training.progress(done, total, "clips analysed"),
    )
    trained = train(
        examples,
        settings,
        training.work / "codec",
        seed=generator.seed,
        device=device,
        clips_id=clips.content_id(),
        progress=lambda done, total, note: training.progress(done, total, f"codec {note}"),
    )
    network = trained.network
    if generator.weights == "float16":  # else what is saved would be another codec than what the U-Net was trained with
        network = network.half().float()
    return CompactCodec(network.to(device), COMPACT)


def usual_rate(clips: ClipSet) -> int:
    """The rate at which clips are read, or that of most of them, in Hz."""
    return clips.sample_rate or int(clips.frame["sample_rate"].mode().iloc[0])

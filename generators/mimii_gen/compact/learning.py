"""A compact codec from clips, as `asdbench train codec` and a training of the generator make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from asdbench import ClipSet, UserError

from .examples import Examples
from .settings import CompactSettings
from .training import Trained, train

__all__ = ["learn_compact", "usual_rate"]

_LEAST_CLIPS = 8


def learn_compact(
    clips: ClipSet,
    settings: CompactSettings,
    *,
    work: Path,
    cache: Path,
    seed: int,
    device: torch.device,
    weights: str,
    progress: Callable[[int, int, str], None],
) -> Trained:
    """Train a compact codec on clips; a training that ``work`` holds goes on.

    Args:
        clips: what is learnt from.
        settings: see `CompactSettings`.
        work: folder of the checkpoints.
        cache: folder of the spectrograms.
        seed: everything random follows from it.
        device: where it is computed.
        weights: "float16" rounds the network to what is saved in half precision; it stays in float32.
        progress: called with what is done, all that is to be done, and a note.

    Raises:
        UserError: the clips are too few, too short or silent; see also `train`.
    """
    if len(clips) < _LEAST_CLIPS:
        raise UserError(f"a compact codec is trained on at least {_LEAST_CLIPS} clips, found {len(clips)}")
    examples = Examples(
        clips, settings.spectra, cache / "spectra", lambda done, total: progress(done, total, "clips analysed")
    )
    trained = train(examples, settings, work, seed=seed, device=device, clips_id=clips.content_id(), progress=progress)
    if weights == "float16":  # else what is saved would be another codec than the one that is used
        trained.network.half().float()
    return trained


def usual_rate(clips: ClipSet) -> int:
    """The rate at which clips are read, or that of most of them, in Hz."""
    return clips.sample_rate or int(clips.frame["sample_rate"].mode().iloc[0])

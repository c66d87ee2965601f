"""Real clips as the codec reproduces them: the control for artefacts of the codec that a detector responds to.

Normal clips should be as normal as before (AUC 0.5 against others), anomalies as anomalous: no model in this codec can
do better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from asdbench import GeneratedClip, Request
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.files import identity_of

from ..holdout import RealHoldout
from ..shared.resampling import resampled
from .pipeline import load_pipeline

if TYPE_CHECKING:
    from .generator import MimiiGen


def reconstruct(generator: MimiiGen, request: Request) -> Iterator[GeneratedClip]:
    """Yield a real clip of the pool for each row, of the condition that is asked for, through the codec of the model.

    Raises:
        NotApplicableError: the pool has no such clip.
        UserError: the pool has fewer than rows ask for.
    """
    model = generator.place_of(request.model)
    pipeline = load_pipeline(model, choose_device(generator.device))
    identity = identity_of(model, "checkpoint")
    hosts = RealHoldout()
    hosts.seed = generator.seed
    for index, clip in enumerate(hosts.generate(request)):
        audio = resampled(np.asarray(clip.waveform, dtype=np.float32), request.sample_rate, pipeline.sample_rate)
        seed = int(generator.rng(request.rows["clip_id"].iloc[index], "codec").integers(2**63))
        decoded = pipeline.reconstruct(audio, seed)
        waveform = resampled(decoded, pipeline.sample_rate, request.sample_rate, len(clip.waveform))
        yield replace(clip, waveform=waveform, provenance={**clip.provenance, "model": identity})

"""Real clips through the transform of a model and back: the control for artefacts of the transform.

Normal clips should be as normal as before (AUC 0.5 against others), anomalies as anomalous. The transform is
orthogonal, so only rounding is lost, and what is above half of the model's sample rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from asdbench import GeneratedClip, Request
from asdbench.pretrained.files import identity_of

from ..holdout import RealHoldout
from ..shared.resampling import resampled
from .model import TextureModel

if TYPE_CHECKING:
    from .generator import Texture


def reconstruct(generator: Texture, request: Request) -> Iterator[GeneratedClip]:
    """Yield a real clip of the pool for each row, of the condition that is asked for, through the transform.

    Raises:
        NotApplicableError: the pool has no such clip.
        UserError: the pool has fewer than rows ask for.
    """
    folder = generator.place_of(request.model)
    model, identity = TextureModel.load(folder), identity_of(str(folder), "checkpoint")
    rate, hosts = model.transform.sample_rate, RealHoldout()
    hosts.seed = generator.seed
    for clip in hosts.generate(request):
        audio = resampled(np.asarray(clip.waveform, dtype=np.float32), request.sample_rate, rate)
        back = model.reconstruct(audio).astype(np.float32)
        waveform = resampled(back, rate, request.sample_rate, len(clip.waveform))
        yield replace(clip, waveform=waveform, provenance={**clip.provenance, "model": identity})

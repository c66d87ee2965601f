"""Between the sample rates of clips and codec, exact in length and level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

Waveform = npt.NDArray[np.float32]


def resampled(waveform: Waveform, from_rate: int, to_rate: int, length: int | None = None) -> Waveform:
    """Resample to exactly a length, if none is given to that which the rates ask for; the level is kept."""
    length = round(len(waveform) * to_rate / from_rate) if length is None else length
    if from_rate != to_rate:
        waveform = np.asarray(soxr.resample(waveform, from_rate, to_rate, quality="HQ"), dtype=np.float32)
    return np.pad(waveform[:length], (0, max(0, length - len(waveform))))

"""Log-mel statistics: an embedding without weights, for machines without network and for tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, LogmelSettings, logmel, setting

_HOP, _FFT = 512, 1024
_QUIETEST_DB = -100.0
"""Below this a band counts as silent; else digital silence (-156 dB) would outweigh all that can be heard."""
_MIDDLE_DB, _UNIT_DB = -50.0, 20.0
"""Levels are counted from here in these units: kernels such as KID's expect values of about one."""


class LogmelStats(Embedding):
    """Mean and deviation of log-mel bands over windows of a second: no weights, deterministic, works offline.

    It hears levels and spectra as the features of many detectors do. It is no neural embedding, and its distances
    cannot be compared with published ones.
    """

    bands: int = setting(64, ge=8, le=128, description="number of mel bands; a vector has twice as many values")
    window_seconds: float = setting(1.0, gt=0, description="length of a window; a shorter clip is one window")

    @property
    def sample_rate(self) -> int:
        return 16000

    @property
    def dim(self) -> int:
        return 2 * self.bands

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        settings = LogmelSettings(sample_rate=self.sample_rate, n_fft=_FFT, hop_length=_HOP, n_mels=self.bands)
        mel = np.maximum(logmel(waveform, settings).astype(np.float64), _QUIETEST_DB)
        mel = (mel - _MIDDLE_DB) / _UNIT_DB
        frames = max(1, round(self.window_seconds * self.sample_rate / _HOP))
        windows = max(1, len(mel) // frames)  # what is left at the end is dropped
        parts = [mel[start * frames : (start + 1) * frames] for start in range(windows)]
        return np.stack([np.concatenate([part.mean(axis=0), part.std(axis=0)]) for part in parts])

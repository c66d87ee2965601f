"""Log-mel spectrograms, shared by detectors and metrics.

Equal to librosa's (``melspectrogram`` with its defaults, then ``10 log10``) to within 1e-4 dB; numpy and scipy only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from asdbench.audio import Waveform
from asdbench.remembered import Remembered

FLOOR = float(np.finfo(np.float64).eps)
"""Smallest mel power (2.22e-16, -156.5 dB): what digital silence gives in the DCASE baseline."""

_BLOCK = 64  # frames

_remembered = Remembered(256 * 2**20)
"""Some 1,600 spectrograms of clips of 10 s. To recognise a waveform takes a quarter of the time of its spectrogram."""


@dataclass(frozen=True)
class LogmelSettings:
    """Parameters of a log-mel spectrogram; the defaults are those of the DCASE Task 2 baseline.

    Attributes:
        n_fft, hop_length: frame and hop in samples; frames are centred, the edges padded with zeros.
        n_mels, fmin, fmax: bands of the Slaney mel scale between two frequencies in Hz (fmax None: half the rate).
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None


def logmel(waveform: Waveform, settings: LogmelSettings | None = None) -> npt.NDArray[np.float32]:
    """Return the log-mel power spectrogram of a waveform in dB, shape (frames, n_mels), frames = 1 + samples // hop."""
    settings = settings or LogmelSettings()
    mel = mel_power(waveform, settings)
    np.maximum(mel, np.float32(FLOOR), out=mel)
    np.log10(mel, out=mel)
    mel *= np.float32(10)
    return mel


def remembered_logmel(waveform: Waveform, settings: LogmelSettings | None = None) -> npt.NDArray[np.float32]:
    """Return what `logmel` does, from memory where it was asked for lately: detectors hear the same clips in turn."""
    chosen = settings or LogmelSettings()
    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    key = (hashlib.blake2b(samples.data, digest_size=16).digest(), chosen)
    return _remembered.get(key, lambda: logmel(samples, chosen))


def mel_power(waveform: Waveform, settings: LogmelSettings) -> npt.NDArray[np.float32]:
    """Return the mel power spectrogram, shape (frames, n_mels), linear scale."""
    padded = np.pad(np.asarray(waveform, dtype=np.float32), settings.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)[:: settings.hop_length]
    filters = mel_filters(settings).T
    mel = np.empty((len(frames), settings.n_mels), dtype=np.float32)
    # In double precision: a float32 transform leaves errors of 1e-4 dB in quiet bands. In blocks, to stay in the cache.
    for start in range(0, len(frames), _BLOCK):
        spectrum = scipy.fft.rfft(frames[start : start + _BLOCK] * _hann(settings.n_fft), axis=-1)
        parts = spectrum.view(np.float64)
        np.square(parts, out=parts)
        power = (parts[:, 0::2] + parts[:, 1::2]).astype(np.float32)
        np.matmul(power, filters, out=mel[start : start + _BLOCK])
    return mel


@lru_cache(maxsize=16)
def mel_filters(settings: LogmelSettings) -> npt.NDArray[np.float32]:
    """Triangular filters with equal area on Slaney's mel scale, shape (n_mels, 1 + n_fft // 2).

    Source: M. Slaney, "Auditory Toolbox", Interval Research technical report 1998-010, 1998.
    """
    fmax = settings.fmax or settings.sample_rate / 2
    edges = _mel_to_hz(np.linspace(_hz_to_mel(settings.fmin), _hz_to_mel(fmax), settings.n_mels + 2))
    bins = np.fft.rfftfreq(settings.n_fft, 1 / settings.sample_rate)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise = (bins - lower) / (centre - lower)
    fall = (upper - bins) / (upper - centre)
    filters: npt.NDArray[np.float32] = (np.maximum(0, np.minimum(rise, fall)) * 2 / (upper - lower)).astype(np.float32)
    filters.setflags(write=False)  # shared by all callers
    return filters


@lru_cache(maxsize=16)
def _hann(n_fft: int) -> npt.NDArray[np.float64]:
    window: npt.NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    window.setflags(write=False)
    return window


# Slaney's scale is linear up to 1 kHz (15 mel) and logarithmic above, 27 mel for a factor of 6.4.
_BREAK_HZ, _BREAK_MEL, _HZ_PER_MEL = 1000.0, 15.0, 200.0 / 3
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, logarithmic)

"""The time and frequency grid that one simulated clip is computed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from asdbench.audio import Waveform

Spectrum = npt.NDArray[np.complex64]
"""One-sided spectrum of a clip: complex64, shape (n_fft // 2 + 1,), scaled as `scipy.fft.rfft` scales it."""


@dataclass(frozen=True)
class Grid:
    """Length and rate of a clip.

    Attributes:
        num_samples: samples of the clip.
        sample_rate: in Hz.
    """

    num_samples: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def nyquist(self) -> float:
        """Half the sample rate, in Hz."""
        return self.sample_rate / 2

    @property
    def n_fft(self) -> int:
        """Length of the transforms: the clip, padded to a size that is fast."""
        return _fast_length(self.num_samples)

    @property
    def frequencies(self) -> npt.NDArray[np.float32]:
        """Frequencies of the spectrum in Hz, shape (n_fft // 2 + 1,); read-only."""
        return _frequencies(self.n_fft, self.sample_rate)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Times of the samples in seconds, shape (num_samples,); read-only."""
        return _times(self.num_samples, self.sample_rate)

    def knots(self, step: int) -> npt.NDArray[np.float64]:
        """Times in s, ``step`` samples apart, that cover the clip: where slow quantities are worked out."""
        count = -(-self.num_samples // step) + 1
        return np.arange(count, dtype=np.float64) * (step / self.sample_rate)

    def to_spectrum(self, waveform: Waveform) -> Spectrum:
        """Transform a waveform of ``num_samples`` samples."""
        spectrum: Spectrum = scipy.fft.rfft(waveform, n=self.n_fft)
        return spectrum

    def to_waveform(self, spectrum: Spectrum) -> Waveform:
        """Transform back; sound that rings beyond the end of the clip comes round to its start."""
        waveform: Waveform = scipy.fft.irfft(spectrum, n=self.n_fft)
        return waveform[: self.num_samples]


@lru_cache(maxsize=64)
def _fast_length(num_samples: int) -> int:
    length = int(scipy.fft.next_fast_len(num_samples, real=True))
    return length if length % 2 == 0 else _fast_length(length + 1)


@lru_cache(maxsize=8)
def _frequencies(n_fft: int, sample_rate: int) -> npt.NDArray[np.float32]:
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float32)
    frequencies.setflags(write=False)  # shared by all callers
    return frequencies


@lru_cache(maxsize=8)
def _times(num_samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    times = np.arange(num_samples) / sample_rate
    times.setflags(write=False)
    return times

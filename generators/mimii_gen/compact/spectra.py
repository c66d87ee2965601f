"""Short-time spectra of a compact codec: frames, mel bands, what white noise looks like in them, and back to sound.

The frames are those of `asdbench.logmel` (centred, periodic Hann window, Slaney's filters), four to a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.fft

from asdbench import LogmelSettings, mel_filters

from .white_noise import NoiseStatistics, noise_statistics

__all__ = ["FLOOR", "STRIDE", "Spectra", "Spectrum", "decibels_of"]

Array = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

FLOOR = 1e-16
"""Least power of a band (-160 dB): digital silence has a logarithm too."""
STRIDE = 4
"""Spectrogram frames in a latent frame."""
_OVERLAP = 4
_LEAST_WINDOW = 1e-3


def decibels_of(power: Array) -> Array:
    """Return power in dB, that below `FLOOR` as `FLOOR`."""
    return np.asarray(np.float32(10) * np.log10(np.maximum(power, np.float32(FLOOR))))


@dataclass(frozen=True)
class Spectra:
    """Analysis and resynthesis with one window.

    Attributes:
        sample_rate: in Hz.
        window: samples of a frame, a multiple of 4; the hop is a quarter of it.
        bands: mel bands.
    """

    sample_rate: int = 16000
    window: int = 1024
    bands: int = 128

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.window // _OVERLAP

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip."""
        return 1 + num_samples // self.hop

    @cached_property
    def filters(self) -> Array:
        """Power of the bins to power of the bands, shape (bins, bands)."""
        settings = LogmelSettings(self.sample_rate, self.window, self.hop, self.bands)
        return np.ascontiguousarray(mel_filters(settings).T.astype(np.float32))

    def empty_bands(self) -> int:
        """Number of bands that lie between two bins and have neither."""
        return int((self.filters.sum(axis=0) == 0).sum())

    @cached_property
    def spreading(self) -> Array:
        """Weights by which a bin takes the log gains of bands, shape (bands, bins); each covered bin's sum to 1."""
        return np.ascontiguousarray((self.filters / np.maximum(self.filters.sum(axis=1, keepdims=True), 1e-12)).T)

    @cached_property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Bins that any band has, shape (bins,)."""
        return np.asarray(self.filters.sum(axis=1) > 0)

    @cached_property
    def _hann(self) -> Array:
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(np.float32)

    def transform(self, waveform: Array) -> Spectrum:
        """Return the spectrum of each frame, shape (frames, bins); the edges are padded with zeros."""
        padded = np.pad(np.asarray(waveform, dtype=np.float32), self.window // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        return np.asarray(scipy.fft.rfft(frames * self._hann, axis=-1))

    def inverse(self, spectrum: Spectrum, num_samples: int) -> Array:
        """Return the waveform whose frames are nearest to a spectrum, shape (num_samples,).

        Source: D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans.
        Acoust., Speech, Signal Process. 32, 1984, eq. 6.
        """
        frames = scipy.fft.irfft(spectrum, self.window, axis=-1).astype(np.float32, copy=False) * self._hann
        return self._overlapped(frames)[self.window // 2 :][:num_samples] / self._weights(len(frames))[:num_samples]

    def _overlapped(self, frames: Array) -> Array:
        quarters = frames.reshape(len(frames), _OVERLAP, self.hop)
        total = np.zeros((len(frames) + _OVERLAP - 1, self.hop), dtype=np.float32)
        for part in range(_OVERLAP):
            total[part : part + len(frames)] += quarters[:, part]
        return total.reshape(-1)

    def _weights(self, frames: int) -> Array:
        """Sum of the squared windows at each sample from the first frame's middle on; kept, a vocoder asks often."""
        if frames not in self._kept_weights:
            self._kept_weights.clear()
            squares = np.broadcast_to(np.square(self._hann), (frames, self.window))
            weights = np.maximum(self._overlapped(np.asarray(squares)), _LEAST_WINDOW)[self.window // 2 :]
            self._kept_weights[frames] = weights
        return self._kept_weights[frames]

    @cached_property
    def _kept_weights(self) -> dict[int, Array]:
        return {}

    def mel(self, spectrum: Spectrum) -> Array:
        """Return the power of the bands, shape (frames, bands)."""
        return np.asarray((np.square(spectrum.real) + np.square(spectrum.imag)) @ self.filters)

    def decibels(self, waveform: Array) -> Array:
        """Return the log-mel spectrogram in dB, shape (frames, bands)."""
        return decibels_of(self.mel(self.transform(waveform)))

    def gains(self, log_gains: Array) -> Array:
        """Return amplitude factors of the bins from log power gains of the bands, shape (frames, bins)."""
        return np.exp(np.float32(0.5) * (log_gains @ self.spreading)) * self.covered

    @cached_property
    def noise(self) -> NoiseStatistics:
        """What white noise looks like, exactly but for its numerical integration."""
        return noise_statistics(self._hann, self.filters)

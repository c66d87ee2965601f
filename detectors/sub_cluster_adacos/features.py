"""The two inputs: a log-magnitude mel spectrogram and the log-magnitude spectrum of the whole clip.

Both are averaged to a coarse grid in which they are kept in half precision, 24 kB for a clip of 10 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional as F

from asdbench import LogmelSettings, mel_filters, mel_power

FLOOR = 3e-5
"""Added to magnitudes, as RMS of white noise: three times the noise of 16-bit PCM, so that silence is flat."""


@dataclass(frozen=True)
class Grid:
    """Size of the inputs.

    Attributes:
        num_samples: samples that are looked at; shorter clips are repeated, longer ones cut off.
        mel: frames and bands of the spectrogram.
        frames: frames that are averaged into one.
        bins: bands of equal width of the spectrum.
    """

    num_samples: int
    mel: LogmelSettings
    frames: int
    bins: int

    def band_frequencies(self) -> npt.NDArray[np.float64]:
        """Centres of the spectrogram's bands relative to half the sample rate, shape (n_mels,), rising."""
        filters = mel_filters(self.mel).astype(np.float64)
        centres = filters @ np.linspace(0, 1, filters.shape[1]) / np.maximum(filters.sum(axis=1), 1e-30)
        # A band that is narrower than the resolution may hold no line at all; it stands with the one below.
        return np.maximum.accumulate(np.maximum(centres, 1e-6))

    def bin_frequencies(self) -> npt.NDArray[np.float64]:
        """Centres of the spectrum's bands relative to half the sample rate, shape (bins,)."""
        return (np.arange(self.bins) + 0.5) / self.bins


def extract(waveform: npt.NDArray[np.float32], grid: Grid) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return the spectrogram, shape (frames, bands), and the spectrum, shape (bins,), of a waveform.

    Magnitudes are scaled so that those of white noise have its RMS, averaged to the grid, and given as natural
    logarithms.
    """
    waveform = np.resize(np.asarray(waveform, dtype=np.float32), grid.num_samples)
    # A Hann window has a mean square of 3/8; filters have an area of 1 Hz, lines a distance of rate / n_fft.
    mel = np.sqrt(mel_power(waveform, grid.mel) * (8 / 3 * grid.mel.sample_rate / grid.mel.n_fft**2))
    spectrogram = _log(_coarse(mel, -(-len(mel) // grid.frames), grid.mel.n_mels))
    whole = np.abs(scipy.fft.rfft(waveform))[None, 1:] / np.float32(np.sqrt(grid.num_samples))
    spectrum = _log(_coarse(whole, 1, grid.bins))[0]
    return spectrogram.astype(np.float16), spectrum.astype(np.float16)


def _coarse(magnitudes: npt.NDArray[np.floating], rows: int, columns: int) -> Tensor:
    """Average to a coarser grid of equal cells; where the grid is finer, values are repeated."""
    return F.adaptive_avg_pool2d(torch.from_numpy(magnitudes)[None], (rows, columns))[0]


def _log(magnitudes: Tensor) -> npt.NDArray[np.float32]:
    logarithms: npt.NDArray[np.float32] = torch.log(magnitudes + FLOOR).numpy()
    return logarithms

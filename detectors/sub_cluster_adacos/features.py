"""The two inputs: a log-magnitude spectrogram without its temporal mean, and the log-magnitude spectrum of the clip.

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

from asdbench.audio import Waveform

FLOOR = 3e-5
"""Added to magnitudes, as RMS of white noise: three times the noise of 16-bit PCM, so that silence is flat."""


@dataclass(frozen=True)
class Grid:
    """Size of the inputs.

    Attributes:
        num_samples: samples that are looked at; shorter clips are repeated, longer ones cut off.
        n_fft, hop_length: frame and hop of the spectrogram, in samples.
        frames: frames that are averaged into one.
        bands: bands of equal width of the spectrogram.
        bins: bands of equal width of the spectrum.
    """

    num_samples: int
    n_fft: int
    hop_length: int
    frames: int
    bands: int
    bins: int


def extract(waveform: Waveform, grid: Grid) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return the spectrogram, shape (frames, bands), and the spectrum, shape (bins,), of a waveform.

    Magnitudes are those of white noise of the same RMS, in units of full scale, as natural logarithms.
    """
    waveform = np.resize(np.asarray(waveform, dtype=np.float32), grid.num_samples)
    spectrogram = _log(_coarse(_magnitudes(waveform, grid), -(-_num_frames(grid) // grid.frames), grid.bands))
    spectrogram -= spectrogram.mean(axis=0)
    whole = np.abs(scipy.fft.rfft(waveform))[None, 1:]
    whole /= np.float32(np.sqrt(grid.num_samples))
    spectrum = _log(_coarse(whole, 1, grid.bins))[0]
    return spectrogram.astype(np.float16), spectrum.astype(np.float16)


def _num_frames(grid: Grid) -> int:
    return 1 + grid.num_samples // grid.hop_length


def _magnitudes(waveform: npt.NDArray[np.float32], grid: Grid) -> npt.NDArray[np.float32]:
    """Magnitudes of centred Hann frames without the constant, shape (frames, n_fft // 2)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(grid.n_fft) / grid.n_fft)).astype(np.float32)
    padded = np.pad(waveform, (grid.n_fft // 2, grid.n_fft - grid.n_fft // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, grid.n_fft)[:: grid.hop_length][: _num_frames(grid)]
    magnitudes: npt.NDArray[np.float32] = np.abs(scipy.fft.rfft(frames * window, axis=-1)[:, 1:])
    magnitudes /= np.sqrt(np.square(window).sum())
    return magnitudes


def _coarse(magnitudes: npt.NDArray[np.floating], rows: int, columns: int) -> Tensor:
    """Average to a coarser grid of equal cells; where the grid is finer, values are repeated."""
    return F.adaptive_avg_pool2d(torch.from_numpy(magnitudes)[None], (rows, columns))[0]


def _log(magnitudes: Tensor) -> npt.NDArray[np.float32]:
    logarithms: npt.NDArray[np.float32] = torch.log(magnitudes + FLOOR).numpy()
    return logarithms

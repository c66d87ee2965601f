"""The modified discrete cosine transform (MDCT): the time-frequency plane in which clips are analysed and synthesised.

A frame of `bands` coefficients stands for `bands` samples, so the transform is critically sampled; blocks overlap by
half, and the aliasing of one block is cancelled by the next (time-domain aliasing cancellation). The window is the
sine, which satisfies the condition of Princen and Bradley, so the transform is orthogonal: energy is kept, and the
inverse is the transpose. At both ends of a clip the window is cut straight, so that nothing outside the clip is needed
and a clip of n samples has ceil(n / bands) frames.

A windowed block of 2 N samples is folded to N, which the orthogonal DCT-IV transforms; so a frame costs a fast Fourier
transform and no product of matrices.

Sources: J. Princen and A. Bradley, "Analysis/synthesis filter bank design based on time domain aliasing cancellation",
IEEE Trans. Acoust., Speech, Signal Process. 34, 1986; H. S. Malvar, "Signal Processing with Lapped Transforms", Artech
House, 1992 (the folding); for the ends, B. Edler, "Coding of audio signals with overlapping block transform and
adaptive window functions", Frequenz 43, 1989.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import UserError

__all__ = ["LappedTransform", "default_bands"]

Array = npt.NDArray[np.float64]

MOST_BANDS = 4096
_FRAME = 0.032
"""Length in s of a frame by default."""
_MULTIPLE = 64
"""The default number of bands is a multiple of this, so that it has divisors for shorter frames."""


def default_bands(sample_rate: int) -> int:
    """Bands of frames of about 32 ms: 512 at 16 kHz, 1408 at 44.1 kHz."""
    return min(MOST_BANDS, _MULTIPLE * max(1, round(_FRAME * sample_rate / _MULTIPLE)))


@dataclass(frozen=True)
class LappedTransform:
    """The transform.

    Attributes:
        bands: coefficients in a frame, and samples between two frames; an even number from 2 to 4096.
        sample_rate: in Hz.

    Raises:
        UserError: there can be no transform of so many bands, or at this rate.
    """

    bands: int
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if not (2 <= self.bands <= MOST_BANDS and self.bands % 2 == 0):
            raise UserError(f"bands is {self.bands}, expected an even number from 2 to {MOST_BANDS}")
        if self.sample_rate < 1:
            raise UserError(f"the lapped transform has a sample rate of {self.sample_rate}, expected 1 or more")

    @property
    def identity(self) -> str:
        """What the coefficients mean, in a word."""
        return f"mdct-{self.bands}-{self.sample_rate}"

    def num_frames(self, num_samples: int) -> int:
        """Number of frames of a clip; the last may be filled only in part."""
        return -(-num_samples // self.bands)

    def transform(self, waveform: npt.NDArray[np.floating]) -> Array:
        """Transform a waveform, shape (num_samples,), to coefficients, shape (bands, frames).

        The coefficients of frame t are sqrt(2 / N) sum over n of w(n) x(t N - N / 2 + n) cos(pi / N (n + 1/2 + N / 2)
        (k + 1/2)), n from 0 to 2 N - 1, with N bands and k from 0 to N - 1.
        """
        from scipy.fft import dct

        if waveform.ndim != 1 or len(waveform) == 0:
            raise ValueError(f"expected a waveform of shape (num_samples,), found {waveform.shape}")
        size, frames = self.bands, self.num_frames(len(waveform))
        half = size // 2
        padded = np.zeros((frames + 1) * size)
        padded[half : half + len(waveform)] = waveform
        blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * size)[::size] * self._windows(frames)
        a, b, c, d = (blocks[:, place * half : (place + 1) * half] for place in range(4))
        folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
        return np.ascontiguousarray(dct(folded, type=4, norm="ortho", axis=1, overwrite_x=True).T)

    def inverse(self, coefficients: Array) -> Array:
        """Undo `transform`: shape (bands, frames) to (frames * bands,)."""
        from scipy.fft import dct

        if coefficients.ndim != 2 or len(coefficients) != self.bands or not coefficients.shape[1]:
            raise ValueError(f"expected coefficients of shape ({self.bands}, frames), found {coefficients.shape}")
        size, frames = self.bands, coefficients.shape[1]
        half = size // 2
        folded = dct(np.ascontiguousarray(coefficients.T), type=4, norm="ortho", axis=1, overwrite_x=True)
        first, second = folded[:, :half], folded[:, half:]
        blocks = np.concatenate([second, -second[:, ::-1], -first[:, ::-1], -first], axis=1) * self._windows(frames)
        overlapped = np.zeros((frames + 1, size))
        overlapped[:-1] += blocks[:, :size]
        overlapped[1:] += blocks[:, size:]
        return overlapped.reshape(-1)[half:-half]

    def power(self, waveform: npt.NDArray[np.floating]) -> Array:
        """Squared coefficients of a waveform, shape (bands, frames)."""
        return np.square(self.transform(waveform))

    @cached_property
    def window(self) -> Array:
        """The sine window, shape (2 * bands,)."""
        return np.asarray(np.sin(math.pi / (2 * self.bands) * (np.arange(2 * self.bands) + 0.5)))

    def _windows(self, frames: int) -> Array:
        """The window of each frame, shape (frames, 2 * bands): cut straight at the two ends of the clip."""
        half = self.bands // 2
        windows = np.tile(self.window, (frames, 1))
        windows[0, :half], windows[0, half : 2 * half] = 0.0, 1.0
        windows[-1, 2 * half : 3 * half], windows[-1, 3 * half :] = 1.0, 0.0
        return windows

    def to_dict(self) -> dict[str, int]:
        """Return what makes the transform, as JSON values."""
        return {"bands": self.bands, "sample_rate": self.sample_rate}

    @classmethod
    def from_dict(cls, data: Any) -> LappedTransform:
        """Read what `to_dict` wrote.

        Raises:
            UserError: the data are not those of a transform.
        """
        if not isinstance(data, dict) or sorted(data) != ["bands", "sample_rate"]:
            raise UserError(f"transform is {data!r}, expected bands and sample_rate")
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in data.values()):
            raise UserError(f"transform is {data!r}, expected whole numbers")
        return cls(data["bands"], data["sample_rate"])

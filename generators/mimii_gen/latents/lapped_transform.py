"""A codec without weights: the modified discrete cosine transform (MDCT), which loses nothing.

A frame of `bands` coefficients stands for `bands` samples, so the transform is critically sampled; blocks overlap by
half, and the aliasing of one block is cancelled by the next (time-domain aliasing cancellation). The window is the
sine, which satisfies the condition of Princen and Bradley, so the transform is orthogonal: energy is kept, and the
inverse is the transpose. At both ends of a clip the window is cut straight, so that nothing outside the clip is needed
and a clip of n samples has ceil(n / bands) frames.

Sources: J. Princen and A. Bradley, "Analysis/synthesis filter bank design based on time domain aliasing cancellation",
IEEE Trans. Acoust., Speech, Signal Process. 34, 1986; H. S. Malvar, "Signal Processing with Lapped Transforms", Artech
House, 1992; for the ends, B. Edler, "Coding of audio signals with overlapping block transform and adaptive window
functions", Frequenz 43, 1989.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from asdbench import UserError

Waveform = npt.NDArray[np.float32]

NAME = "mdct"
"""The setting ``codec`` for this transform; ``mdct:512`` has 512 bands."""
BANDS = 128
"""128 bands at 16 kHz are 125 frames a second: the width of EnCodec's latents."""
_LEVELS = 2**15 - 1
"""Codes on either side of zero."""
_COMPANDING = 2.0**20
"""mu of the logarithmic quantiser: steps of 0.04 %, which is 78 dB below a coefficient of any size but the tiniest."""


class LappedTransform:
    """The transform behind the interface of a codec, see `interface.LatentCodec`.

    Codes are the coefficients on a logarithmic scale of 65535 levels (as mu-law, with a far finer and longer scale):
    the error is 78 dB below the coefficient. A band counts as a codebook.

    Attributes:
        name: "mdct:BANDS".
        bands: coefficients in a frame, and samples between two frames.
        sample_rate: in Hz.
    """

    bandwidth: float | None = None
    gain = 1.0
    codebook_size = 2**16
    causal = False
    model = None

    def __init__(self, bands: int = BANDS, sample_rate: int = 16000, device: str | torch.device = "cpu") -> None:
        """Prepare a transform.

        Args:
            bands: an even number from 2 to 4096.
            sample_rate: in Hz.
            device: where `encode` and `latents` put their results.

        Raises:
            UserError: there can be no transform of so many bands.
        """
        if not (2 <= bands <= 4096 and bands % 2 == 0):
            raise UserError(f"codec: the lapped transform has {bands} bands, expected an even number from 2 to 4096")
        if sample_rate < 1:
            raise UserError(f"codec: the lapped transform has a sample rate of {sample_rate}, expected 1 or more")
        self.bands, self.sample_rate, self.device = bands, sample_rate, torch.device(device)
        self.name = f"{NAME}:{bands}"
        self._largest = 4 * math.sqrt(bands)  # four times what a full-scale sine can reach

    @classmethod
    def named(cls, name: str, device: str | torch.device = "cpu") -> LappedTransform | None:
        """Return the transform of a setting, ``mdct`` or ``mdct:BANDS``; None where it names something else.

        Raises:
            UserError: the number of bands is none.
        """
        word, colon, bands = name.partition(":")
        if word != NAME:
            return None
        if not colon:
            return cls(device=device)
        if not bands.isdecimal():
            raise UserError(f"codec is '{name}', expected {NAME}:BANDS with a whole number of bands")
        return cls(int(bands), device=device)

    def to_dict(self) -> dict[str, int]:
        """Return what makes the transform, as JSON values."""
        return {"bands": self.bands, "sample_rate": self.sample_rate}

    @property
    def dim(self) -> int:
        """Values in a latent frame."""
        return self.bands

    @property
    def num_codebooks(self) -> int:
        """Rows of codes."""
        return self.bands

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return self.bands

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def identity(self) -> str:
        """What codes and latents mean, in a word."""
        return f"{NAME}-{self.bands}-{self.sample_rate}"

    def calibrated(self, waveforms: Iterable[Waveform]) -> LappedTransform:
        """Return this transform: there is nothing to set."""
        return self

    def num_frames(self, num_samples: int) -> int:
        """Number of latent frames of a clip; the last may be filled only in part."""
        return -(-num_samples // self.hop_length)

    def resample(self, waveform: Waveform, sample_rate: int) -> Waveform:
        """Resample a waveform, shape (num_samples,), to the transform's rate with soxr; the level is kept."""
        if sample_rate == self.sample_rate:
            return waveform
        return np.asarray(soxr.resample(waveform, sample_rate, self.sample_rate, quality="HQ"), dtype=np.float32)

    def transform(self, waveforms: Tensor) -> Tensor:
        """Transform waveforms, shape (batch, num_samples), to coefficients, shape (batch, bands, frames), float32.

        The coefficients of frame t are sqrt(2 / N) sum over n of w(n) x(t N - N / 2 + n) cos(pi / N (n + 1/2 + N / 2)
        (k + 1/2)), n from 0 to 2 N - 1, with N bands and k from 0 to N - 1.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] == 0:
            raise ValueError(f"expected waveforms of shape (batch, num_samples), found {tuple(waveforms.shape)}")
        size, frames = self.bands, self.num_frames(waveforms.shape[1])
        end = frames * size - waveforms.shape[1] + size // 2
        padded = torch.nn.functional.pad(waveforms.float(), (size // 2, end))
        blocks = padded.unfold(1, 2 * size, size) * self._windows(frames).to(waveforms.device)
        return (blocks @ self._cosines.to(waveforms.device)).transpose(1, 2)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Undo `transform`: shape (batch, bands, frames) to (batch, frames * bands), float32."""
        size, frames = self.bands, coefficients.shape[2]
        blocks = coefficients.float().transpose(1, 2) @ self._cosines.to(coefficients.device).T
        blocks = blocks * self._windows(frames).to(coefficients.device)
        overlapped = torch.nn.functional.fold(
            blocks.transpose(1, 2), (1, (frames + 1) * size), kernel_size=(1, 2 * size), stride=(1, size)
        )
        return overlapped[:, 0, 0, size // 2 : -(size // 2)]

    def encode(self, waveforms: Tensor) -> Tensor:
        """Encode waveforms, shape (batch, num_samples); return int64 codes, shape (batch, bands, frames)."""
        values = self.transform(waveforms.to(self.device)).double() / self._largest
        scaled = values.sign() * torch.log1p(_COMPANDING * values.abs().clamp(max=1.0)) / math.log1p(_COMPANDING)
        return ((scaled * _LEVELS).round().long() + _LEVELS + 1).contiguous()

    def latents(self, codes: Tensor) -> Tensor:
        """De-quantise codes to the coefficients, float32 of shape (batch, bands, frames)."""
        if codes.ndim != 3 or codes.shape[1] != self.bands:
            raise ValueError(f"expected codes of shape (batch, {self.bands}, T), found {tuple(codes.shape)}")
        return self._table.to(self.device)[codes.to(self.device, torch.int64)]

    def decode(self, latents: Tensor, num_samples: int | None = None) -> Tensor:
        """Transform coefficients back to waveforms, float32 of shape (batch, num_samples); None takes all samples."""
        if latents.ndim != 3 or latents.shape[1] != self.bands:
            raise ValueError(f"expected latents of shape (batch, {self.bands}, T), found {tuple(latents.shape)}")
        available = latents.shape[2] * self.hop_length
        if num_samples is not None and not 0 < num_samples <= available:
            raise ValueError(f"{latents.shape[2]} frames hold {available} samples, {num_samples} were asked for")
        return self.inverse(latents)[:, :num_samples]

    @cached_property
    def window(self) -> Tensor:
        """The sine window, shape (2 * bands,), float32."""
        return torch.sin(math.pi / (2 * self.bands) * (torch.arange(2 * self.bands).double() + 0.5)).float()

    @cached_property
    def _cosines(self) -> Tensor:
        """Shape (2 * bands, bands)."""
        size = self.bands
        time, band = torch.arange(2 * size).double() + 0.5 + size / 2, torch.arange(size).double() + 0.5
        return (math.sqrt(2 / size) * torch.cos(math.pi / size * time[:, None] * band[None, :])).float()

    @cached_property
    def _table(self) -> Tensor:
        """The coefficient of each code, shape (65536,), float32."""
        scaled = (torch.arange(self.codebook_size).double() - _LEVELS - 1).clamp(min=-_LEVELS) / _LEVELS
        values: Tensor = scaled.sign() * torch.expm1(scaled.abs() * math.log1p(_COMPANDING)) / _COMPANDING
        return (values * self._largest).float()

    def _windows(self, frames: int) -> Tensor:
        """The window of each frame, shape (frames, 2 * bands): cut straight at the two ends of the clip."""
        half = self.bands // 2
        windows = self.window.repeat(frames, 1)
        windows[0, :half], windows[0, half : 2 * half] = 0.0, 1.0
        windows[-1, 2 * half : 3 * half], windows[-1, 3 * half :] = 1.0, 0.0
        return windows


def from_dict(data: Any) -> LappedTransform:
    """Read what `LappedTransform.to_dict` wrote.

    Raises:
        UserError: the data are not those of a transform.
    """
    if not isinstance(data, dict) or sorted(data) != ["bands", "sample_rate"]:
        raise UserError(f"lapped_transform is {data!r}, expected bands and sample_rate")
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in data.values()):
        raise UserError(f"lapped_transform is {data!r}, expected whole numbers")
    return LappedTransform(data["bands"], data["sample_rate"])

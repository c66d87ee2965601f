"""What a codec is trained on: segments of clips, drawn by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from asdbench import ClipSet, UserError

from ...shared.randomness import stream

__all__ = ["Sound"]

_MEMORY = 512 * 2**20
"""Bytes of sound that are kept; what is beyond them is read again when it is drawn."""
_MEASURED = 256
"""Clips whose level is measured."""


class Sound:
    """The clips of a training at the codec's rate.

    Attributes:
        num_samples: of a segment.
    """

    def __init__(self, clips: ClipSet, sample_rate: int, num_samples: int, memory: int = _MEMORY) -> None:
        """Check the clips; nothing is read.

        Args:
            clips: what is learnt from.
            sample_rate: of the codec, in Hz.
            num_samples: of a segment, at that rate.
            memory: bytes of sound that may be kept.

        Raises:
            UserError: there are no clips, or one is shorter than a segment.
        """
        if not len(clips):
            raise UserError("there are no clips to train a codec on")
        self._clips, self._rate, self.num_samples, self._memory = clips, sample_rate, num_samples, memory
        for index, row in enumerate(clips.frame.itertuples()):
            seconds = int(row.num_samples) / int(row.sample_rate)  # type: ignore[arg-type]
            if round(seconds * sample_rate) < num_samples:
                raise UserError(
                    f"{clips.file(index)}: the clip lasts {seconds:.3f} s, shorter than the segments of "
                    f"{num_samples / sample_rate:.3f} s that are trained on; set seconds to less, or leave it out"
                )
        machines = clips.frame["machine"].to_numpy()
        self._rows = [np.flatnonzero(machines == machine) for machine in sorted(set(machines))]
        self._kept: dict[int, npt.NDArray[np.float32]] = {}
        self._bytes = 0

    def level(self, progress: Callable[[int, int], None] = lambda done, total: None) -> float:
        """Return the median RMS of the clips, of many those of some that lie evenly among them."""
        chosen = np.unique(np.linspace(0, len(self._clips) - 1, min(_MEASURED, len(self._clips))).round().astype(int))
        levels = []
        for done, index in enumerate(chosen):
            levels.append(float(np.sqrt(np.mean(np.square(self._waveform(int(index)), dtype=np.float64)))))
            progress(done + 1, len(chosen))
        return float(np.median(levels))

    def batch(self, size: int, *name: str | int) -> Tensor:
        """Draw segments: every machine as likely as the others, of it every clip, of that every place.

        Args:
            size: number of segments.
            name: of the random stream; equal names give equal segments.

        Returns:
            float32, shape (size, num_samples).
        """
        segments = np.empty((size, self.num_samples), dtype=np.float32)
        for place in range(size):
            random = stream("codec segment", *name, place)
            rows = self._rows[random.integers(len(self._rows))]
            waveform = self._waveform(int(rows[random.integers(len(rows))]))
            start = int(random.integers(len(waveform) - self.num_samples + 1))
            segments[place] = waveform[start : start + self.num_samples]
        return torch.from_numpy(segments)

    def _waveform(self, index: int) -> npt.NDArray[np.float32]:
        if index in self._kept:
            return self._kept[index]
        waveform = self._clips.waveform(index)
        rate = self._clips.sample_rate or int(self._clips.frame["sample_rate"].iloc[index])
        if rate != self._rate:
            waveform = np.asarray(soxr.resample(waveform, rate, self._rate, quality="HQ"), dtype=np.float32)
        if len(waveform) < self.num_samples:  # a resampler may leave a sample out
            waveform = np.pad(waveform, (0, self.num_samples - len(waveform)))
        if self._bytes + waveform.nbytes <= self._memory:
            self._kept[index] = waveform
            self._bytes += waveform.nbytes
        return waveform

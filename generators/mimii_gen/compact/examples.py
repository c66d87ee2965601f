"""What a compact codec is trained on: log-mel frames of all clips in one file on disk, and the lines of each clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from asdbench import ClipSet, UserError

from ...shared.disk import whole_file
from ...shared.randomness import stream
from .lines import LineAnalysis
from .spectra import Spectra

__all__ = ["Examples"]

Array = npt.NDArray[np.float32]

_VERSION = 2
"""Of what is kept on disk: raised where frames or lines come out differently."""


class Examples:
    """The clips of a training as spectrograms.

    Attributes:
        lines: share and place of the line of each band, shape (clips, 2, bands).
    """

    def __init__(
        self,
        clips: ClipSet,
        spectra: Spectra,
        folder: Path,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Analyse the clips, or open what an earlier training has analysed.

        Args:
            clips: what is learnt from.
            spectra: the spectrogram.
            folder: where the spectrograms are kept.
            progress: called with clips done and clips in all.

        Raises:
            UserError: there are no clips, or a clip is too short for a single frame.
        """
        if not len(clips):
            raise UserError("there are no clips to train a codec on")
        self._clips, self._spectra = clips, spectra
        counts = [spectra.num_frames(self._length(index)) for index in range(len(clips))]
        self._ends = np.cumsum(counts)
        parts = clips.content_id(), spectra.sample_rate, spectra.window, spectra.bands, _VERSION
        kept = folder / "-".join(map(str, parts))
        if not (kept / "about.json").is_file():
            self._analyse(kept, progress)
        shape = (int(self._ends[-1]), spectra.bands)
        self._frames = np.memmap(kept / "frames.f16", np.float16, "r", shape=shape)
        self.lines = np.load(kept / "lines.npy")
        machines = clips.frame["machine"].to_numpy()
        self._normal = clips.frame["condition"].to_numpy() == "normal"
        self._rows = [np.flatnonzero(machines == machine) for machine in sorted(set(machines))]

    def __len__(self) -> int:
        return len(self._ends)

    def require(self, frames: int) -> None:
        """Refuse clips that are shorter than a segment.

        Raises:
            UserError: a clip is; it is named.
        """
        for index in range(len(self)):
            if self.num_frames(index) < frames:
                seconds = self._length(index) / self._spectra.sample_rate
                least = frames * self._spectra.hop / self._spectra.sample_rate
                raise UserError(
                    f"{self._clips.file(index)}: the clip lasts {seconds:.3f} s, shorter than the segments of "
                    f"{least:.3f} s that are trained on; set seconds to less"
                )

    def num_frames(self, index: int) -> int:
        """Frames of a clip."""
        return int(self._ends[index] - (self._ends[index - 1] if index else 0))

    def frames(self, index: int, start: int = 0, count: int | None = None) -> Array:
        """Log-mel frames of a clip in dB, shape (frames, bands)."""
        begin = int(self._ends[index]) - self.num_frames(index) + start
        end = int(self._ends[index]) if count is None else begin + count
        return self._frames[begin:end].astype(np.float32)

    def evenly(self, count: int) -> list[int]:
        """Choose clips of every machine that lie evenly among its clips, ``count`` in all at most."""
        each = max(1, count // len(self._rows))
        chosen = [rows[np.unique(np.linspace(0, len(rows) - 1, each).round().astype(int))] for rows in self._rows]
        return [int(index) for index in np.concatenate(chosen)]

    def machines(self, chosen: list[int]) -> npt.NDArray[np.int64]:
        """Return a number for the machine of each clip."""
        numbers = np.empty(len(self), dtype=np.int64)
        for number, rows in enumerate(self._rows):
            numbers[rows] = number
        return np.asarray(numbers[chosen])

    def normal(self, chosen: list[int]) -> npt.NDArray[np.bool_]:
        """Say which of these clips are normal."""
        return np.asarray(self._normal[chosen])

    def draw(self, size: int, frames: int, *name: str | int) -> tuple[npt.NDArray[np.int64], Array]:
        """Draw segments: every machine as likely as the others, of it every clip, of that every place.

        Args:
            size: number of segments.
            frames: of a segment.
            name: of the random stream; equal names give equal segments.

        Returns:
            The clips, shape (size,), and their frames, shape (size, bands, frames).
        """
        random = stream("compact segments", *name)
        chosen = np.empty(size, dtype=np.int64)
        segments = np.empty((size, self._spectra.bands, frames), dtype=np.float32)
        for place in range(size):
            rows = self._rows[random.integers(len(self._rows))]
            chosen[place] = index = int(rows[random.integers(len(rows))])
            start = int(random.integers(self.num_frames(index) - frames + 1))
            segments[place] = self.frames(index, start, frames).T
        return chosen, segments

    def waveform(self, index: int) -> Array:
        """A clip at the codec's rate, of exactly the length that its frames stand for."""
        waveform = self._clips.waveform(index)
        rate = self._rate(index)
        if rate != self._spectra.sample_rate:
            waveform = np.asarray(soxr.resample(waveform, rate, self._spectra.sample_rate, quality="HQ"), np.float32)
        length = self._length(index)
        return np.pad(waveform[:length], (0, max(0, length - len(waveform))))

    def _rate(self, index: int) -> int:
        return self._clips.sample_rate or int(self._clips.frame["sample_rate"].iloc[index])

    def _length(self, index: int) -> int:
        row = self._clips.frame.iloc[index]
        return round(int(row["num_samples"]) / int(row["sample_rate"]) * self._spectra.sample_rate)

    def _analyse(self, kept: Path, progress: Callable[[int, int], None]) -> None:
        """Write spectrograms and lines; the folder counts once ``about.json`` is there."""
        analysis, lines = LineAnalysis(self._spectra), []
        with whole_file(kept / "frames.f16") as part, part.open("wb") as file:
            for index in range(len(self)):
                progress(index, len(self))
                frames, found = analysis.analyse(self.waveform(index))
                frames.astype(np.float16).tofile(file)
                lines.append(found.array())
        with whole_file(kept / "lines.npy") as part, part.open("wb") as file:  # by name, numpy would add a suffix
            np.save(file, np.stack(lines))
        with whole_file(kept / "about.json") as part:
            part.write_text(json.dumps({"clips": len(self)}) + "\n", encoding="utf-8")
        progress(len(self), len(self))

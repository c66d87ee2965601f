"""Near copies: clips that hold the same recording, whatever its level, file format, start and mild noise.

Two recordings of a machine have alike spectra, but their noise differs from moment to moment. A trace of a clip keeps
these fluctuations: band levels in dB at 25 frames a second, less their own mean over a third of a second and over the
bands, compressed so that knocks count no more than noise. The largest correlation of two traces over all shifts in time
is near 0 for different recordings and near 1 for a copy. It is computed by FFT over time, for all pairs at once. A
machine that repeats itself exactly, such as a valve that switches in one of a few patterns, makes clips that are alike
without being copies: where there are enough clips to tell how alike these are, a copy has to be more alike.

Found are copies that are louder, softer, inverted, shifted, resampled, filtered, coded (OGG, MP3), or have noise some
10 dB below the sound, and cuts that share most of the shorter clip. Not found are copies at another speed or pitch, and
cuts of one recording that have no moment in common: these share no audio, and only the column ``group`` can tell them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench.audio import resample
from asdbench.clips import ClipSet
from asdbench.features import LogmelSettings, mel_filters

SAMPLE_RATE = 16000
"""Clips are brought to this rate in Hz."""
BANDS, FRAME_RATE = 16, 25
_SPECTRUM = LogmelSettings(sample_rate=SAMPLE_RATE, n_fft=2560, hop_length=640, n_mels=BANDS, fmin=100.0, fmax=7000.0)
_MEAN = 7  # frames
_SCALE = 3.0  # dB: fluctuations beyond are compressed
_RANGE = 80.0  # dB below the loudest band; what is softer counts as silent
_LONGEST = 400  # frames: longer clips are compared in parts
_ENOUGH, _ASKED = 40, 120  # clips of a machine that tell how alike its clips are, at least and at most
_PATTERN, _CLIPS = 0.95, 0.75  # quantiles: of a clip's similarities with the others, and of that over clips
_QUERIES = 4  # at a time: their products stay in the processor's cache

TRACES = "traces.safetensors"
"""File of the traces of an artefact's clips."""

Trace = npt.NDArray[np.int8]
"""Shape (frames, BANDS)."""


def trace(waveform: npt.NDArray[np.floating]) -> Trace:
    """The trace of a clip.

    Args:
        waveform: shape (num_samples,), at `SAMPLE_RATE`.
    """
    import scipy.fft

    size, hop = _SPECTRUM.n_fft, _SPECTRUM.hop_length
    samples = np.asarray(waveform, dtype=np.float32)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.empty((len(frames), BANDS), dtype=np.float32)
    for start in range(0, len(frames), 32):
        spectrum = scipy.fft.rfft(frames[start : start + 32] * _window(), axis=-1)
        power[start : start + 32] = (spectrum.real**2 + spectrum.imag**2) @ mel_filters(_SPECTRUM).T
    levels = 10 * np.log10(np.maximum(power, 1e-20))
    levels = np.maximum(levels, levels.max() - _RANGE)
    width = min(_MEAN, len(levels))
    padded = np.pad(levels, ((width // 2, width - 1 - width // 2), (0, 0)), mode="edge").astype(np.float64)
    sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    fine = levels - (sums[width:] - sums[:-width]) / width
    fine -= fine.mean(axis=1, keepdims=True)
    found: Trace = np.round(127 * np.tanh(fine / _SCALE)).astype(np.int8)
    return found


@cache
def _window() -> npt.NDArray[np.float32]:
    return np.hanning(_SPECTRUM.n_fft + 1)[:-1].astype(np.float32)


@dataclass(frozen=True)
class Traces:
    """Traces of a set of clips, with the names of the clips and their peaks (1 is full scale)."""

    names: tuple[str, ...]
    values: tuple[Trace, ...]
    peaks: tuple[float, ...]

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        from safetensors.numpy import save_file

        lengths = np.array([len(one) for one in self.values], dtype=np.int32)
        stacked = np.concatenate([*self.values, np.zeros((0, BANDS), dtype=np.int8)])
        peaks = np.array(self.peaks, dtype=np.float64)
        save_file({"lengths": lengths, "values": stacked, "peaks": peaks}, path, {"names": json.dumps(self.names)})

    @classmethod
    def load(cls, path: Path) -> Traces:
        """Read what `save` wrote."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            lengths, stacked = file.get_tensor("lengths"), file.get_tensor("values")
            names = tuple(json.loads(file.metadata()["names"]))
            values = tuple(np.split(stacked, np.cumsum(lengths)[:-1])) if names else ()
            return cls(names, values, tuple(file.get_tensor("peaks").tolist()))

    def named(self, names: list[str]) -> Traces:
        """Those of some clips."""
        places = {name: place for place, name in enumerate(self.names)}
        rows = [places[name] for name in names]
        return Traces(tuple(names), tuple(self.values[row] for row in rows), tuple(self.peaks[row] for row in rows))


def traces(clips: ClipSet) -> Traces:
    """The traces of a set of clips, in its order.

    Raises:
        UserError: a clip cannot be read.
    """
    values, peaks = [], []
    rates = [clips.sample_rate or int(rate) for rate in clips.frame["sample_rate"]]
    for index in range(len(clips)):
        waveform = clips.waveform(index)
        rate = rates[index]
        values.append(trace(resample(waveform, rate, SAMPLE_RATE)))
        peaks.append(float(np.abs(waveform).max(initial=0.0)))
    return Traces(tuple(clips.frame["clip_id"]), tuple(values), tuple(peaks))


def least_similarity(frames: Any) -> Any:
    """Similarity from which two clips count as copies of one recording, by the frames of the shorter one.

    Different recordings reach 0.3 in 10 s and, where both have regular knocks, 0.8 in 1 s.
    """
    return np.minimum(0.95, 0.4 + 0.45 / np.sqrt(np.maximum(frames, 1) / FRAME_RATE))


def usual_similarity(known: Traces) -> float:
    """How alike different clips of a machine are that repeat one pattern, 0 where too few clips are known to tell.

    A recording may have copies among them, and a pattern may be rare: quantiles leave both out.
    """
    if len(known.names) < _ENOUGH:
        return 0.0
    rows = np.unique(np.linspace(0, len(known.names) - 1, _ASKED).round().astype(int))
    some = known.named([known.names[row] for row in rows])
    found, _ = similarities(some, some)
    others = found[~np.eye(len(found), dtype=bool)].reshape(len(found), -1)
    return max(0.0, float(np.quantile(np.quantile(others, _PATTERN, axis=1), _CLIPS)))


def similarities(
    queries: Traces, known: Traces, usual: float = 0.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The largest correlation over shifts of each clip with each that is known, and whether it is that of a copy.

    Args:
        queries: clips.
        known: clips that they may be copies of.
        usual: see `usual_similarity`; a copy is twice as near to 1.

    Returns:
        Two arrays of shape (len(queries.names), len(known.names)).
    """
    shape = len(queries.names), len(known.names)
    found, copied = np.full(shape, -1.0), np.zeros(shape, dtype=bool)
    if not all(shape):
        return found, copied
    mine, theirs = _Spectra(queries), _Spectra(known)
    length = max(mine.longest, theirs.longest)
    first, second = mine.transformed(length), np.conj(theirs.transformed(length)).transpose(0, 2, 1).copy()
    for start in range(0, len(mine.owners), _QUERIES):
        part = slice(start, start + _QUERIES)
        best = _largest(first[:, part], second, length)
        shorter = np.minimum(mine.lengths[part, None], theirs.lengths)
        cosine = best / np.maximum(np.sqrt(mine.energies[part, None] * theirs.energies) * shorter, 1e-9)
        where = (np.broadcast_to(mine.owners[part, None], cosine.shape), np.broadcast_to(theirs.owners, cosine.shape))
        np.maximum.at(found, where, cosine)
        np.logical_or.at(copied, where, cosine >= np.maximum(least_similarity(shorter), 1 - (1 - usual) / 2))
    return found, copied


def _largest(
    first: npt.NDArray[np.complex64], second: npt.NDArray[np.complex64], length: int
) -> npt.NDArray[np.float32]:
    """Largest circular correlation of each part with each, from spectra (F, parts, BANDS) and (F, BANDS, parts)."""
    import scipy.fft

    found: npt.NDArray[np.float32] = scipy.fft.irfft(
        np.matmul(first, second), _padded(length), axis=0, overwrite_x=True
    ).max(axis=0)
    return found


def _padded(length: int) -> int:
    import scipy.fft

    return int(scipy.fft.next_fast_len(length, real=True))


class _Spectra:
    """Traces in parts of `_LONGEST` frames at most: whose each is, its length and its energy a frame."""

    def __init__(self, traces: Traces) -> None:
        parts = [
            (owner, one[start : start + _LONGEST])
            for owner, one in enumerate(traces.values)
            for start in range(0, max(1, len(one)), _LONGEST)
            if start == 0 or len(one) - start >= FRAME_RATE
        ]
        self._parts = [part.astype(np.float32) / 127 for _, part in parts]
        self.owners = np.array([owner for owner, _ in parts])
        self.lengths = np.array([len(part) for part in self._parts])
        self.energies = np.array([float((part**2).sum()) / max(1, len(part)) for part in self._parts])
        self.longest = int(self.lengths.max())

    def transformed(self, length: int) -> npt.NDArray[np.complex64]:
        """Spectra over time, shape (frequencies, parts, BANDS)."""
        import scipy.fft

        padded = np.zeros((_padded(length), len(self._parts), BANDS), dtype=np.float32)
        for row, part in enumerate(self._parts):
            padded[: len(part), row] = part
        spectra: npt.NDArray[np.complex64] = scipy.fft.rfft(padded, axis=0)
        return spectra

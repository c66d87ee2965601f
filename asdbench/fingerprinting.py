"""Fingerprints of clips: small traces of the fine structure of a spectrogram, by which a copy of a clip is known again.

Two recordings of the same machine have alike spectra, but their noise is not the same: the deviations of a log-mel
spectrogram from its own mean over time are uncorrelated between them. A generator that gives a training clip back gives
its noise back, too. So a fingerprint keeps these deviations, second by second, in a few random projections, and the
cosine of two fingerprints estimates the correlation of the fine structures: near 0 for different recordings (more where
both have knocks at the same times), near 1 for a copy, whatever the level and however it was smoothed.

A model may carry the fingerprints of what it has learnt from in 0.5 kB a clip of 10 s, so that it can be checked
without its training clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asdbench.audio import resample
from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.features import LogmelSettings, logmel
from asdbench.remembered import Remembered

SAMPLE_RATE = 16000
"""Clips are brought to this rate in Hz."""
VALUES = 48
"""Random projections of a second."""
_SPECTRUM = LogmelSettings(sample_rate=SAMPLE_RATE, n_fft=1024, hop_length=500, n_mels=64)
_FRAMES = 32  # of a second, exactly: a part of a clip is found at every whole second
_LEAST = 1e-6  # dB: smaller deviations are rounding
_RANGE = 80.0  # dB below the loudest band, as far as what is heard goes

Fingerprint = npt.NDArray[np.int8]
"""Shape (seconds, VALUES): projections of unit mean square over the clip, times `_SCALE`."""
_SCALE = 32.0

_remembered = Remembered(16 * 2**20)
"""Some 30,000 fingerprints of clips of 10 s."""


class _Stack:
    """Fingerprints of one length, for dot products; single precision holds these whole numbers exactly.

    Attributes:
        values: shape (clips, seconds, VALUES).
    """

    def __init__(self, values: list[Fingerprint]) -> None:
        self.values: npt.NDArray[np.float32] = np.stack(values).astype(np.float32)
        self._squares = np.einsum("nsv,nsv->ns", self.values, self.values)

    def cosines(self, clip: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Largest cosine of each with a clip, shape (seconds, VALUES), over offsets of the shorter in the longer."""
        mine, theirs = len(clip), self.values.shape[1]
        seconds = min(mine, theirs)
        found = np.full(len(self.values), -np.inf)
        for offset in range(max(mine, theirs) - seconds + 1):
            own = clip[offset : offset + seconds] if mine > theirs else clip
            part = slice(offset, offset + seconds) if theirs > mine else slice(None)
            dots = self.values[:, part].reshape(len(self.values), -1) @ own.reshape(-1)
            norms = np.sqrt(np.square(own).sum(dtype=np.float64) * self._squares[:, part].sum(axis=1, dtype=np.float64))
            found = np.maximum(found, np.divide(dots, norms, out=np.zeros(len(dots)), where=norms > 0))
        return found


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of a set of clips.

    Attributes:
        names: of the clips, such as their ``clip_id``.
        values: one fingerprint a clip.
    """

    names: tuple[str, ...]
    values: tuple[Fingerprint, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def by_length(self) -> list[tuple[list[int], _Stack]]:
        """Places of the fingerprints of each length, the shortest first, and these as one stack."""
        places: dict[int, list[int]] = {}
        for place, one in enumerate(self.values):
            places.setdefault(len(one), []).append(place)
        return [(some, _Stack([self.values[place] for place in some])) for _, some in sorted(places.items())]

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        from safetensors.numpy import save_file

        lengths = np.array([len(one) for one in self.values], dtype=np.int32)
        stacked = np.concatenate([*self.values, np.zeros((0, VALUES), dtype=np.int8)])
        save_file({"lengths": lengths, "values": stacked}, path, {"names": json.dumps(list(self.names))})

    @classmethod
    def load(cls, path: Path) -> Fingerprints:
        """Read what `save` wrote.

        Raises:
            UserError: the file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                lengths, stacked = file.get_tensor("lengths"), file.get_tensor("values")
                names = json.loads((file.metadata() or {})["names"])
            if len(names) != len(lengths) or stacked.shape != (int(lengths.sum()), VALUES) or (lengths < 1).any():
                raise ValueError(f"{len(names)} names, {len(lengths)} lengths, values of shape {stacked.shape}")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: the fingerprints are damaged ({error})") from error
        return cls(tuple(map(str, names)), tuple(np.split(stacked, np.cumsum(lengths)[:-1])) if len(names) else ())


def fingerprint(waveform: npt.NDArray[np.floating]) -> Fingerprint:
    """The fingerprint of a clip.

    Args:
        waveform: shape (num_samples,), at `SAMPLE_RATE`; what follows its last whole second is left out, and a clip of
            less than a second is filled up with its own mean.
    """
    spectrum = logmel(np.asarray(waveform, dtype=np.float32), _SPECTRUM).astype(np.float64)
    spectrum = np.maximum(spectrum, spectrum.max() - _RANGE)
    seconds = max(1, len(spectrum) // _FRAMES)
    fine = (spectrum - spectrum.mean(axis=0))[: seconds * _FRAMES]
    fine = np.pad(fine, ((0, seconds * _FRAMES - len(fine)), (0, 0)))
    projected = fine.reshape(seconds, -1) @ _projection()
    level = float(np.sqrt(np.mean(projected**2)))
    scaled = projected * (_SCALE / level if level > _LEAST else 0.0)
    return np.clip(np.round(scaled), -127, 127).astype(np.int8)


def fingerprints(clips: ClipSet, advance: Callable[[], None] = lambda: None) -> Fingerprints:
    """The fingerprints of a set of clips, in its order.

    Args:
        clips: read at their own rate and brought to `SAMPLE_RATE`.
        advance: called after each clip.

    Raises:
        UserError: a clip cannot be read.
    """
    values = []
    for index in range(len(clips)):
        rate = clips.sample_rate or int(clips.frame["sample_rate"].iloc[index])
        values.append(_remembered_fingerprint(clips.waveform(index), rate))
        advance()
    return Fingerprints(tuple(clips.frame["clip_id"]), tuple(values))


def _remembered_fingerprint(waveform: npt.NDArray[np.floating], sample_rate: int) -> Fingerprint:
    """The fingerprint of a waveform at any rate: one generator after another is compared with the same clips."""
    samples = np.ascontiguousarray(waveform)
    key = (hashlib.blake2b(samples.data, digest_size=16).digest(), samples.dtype.str, sample_rate)
    return _remembered.get(key, lambda: fingerprint(resample(samples, sample_rate, SAMPLE_RATE)))


def nearest(clip: Fingerprint, known: Fingerprints) -> tuple[float, str]:
    """The largest cosine of a clip with any that is known, and the name of that one.

    Where one is longer, the shorter is compared with every stretch of it, second by second.

    Args:
        clip: what `fingerprint` gave.
        known: one or more.
    """
    best, name = -np.inf, ""
    for places, stack in known.by_length:
        cosines = stack.cosines(clip.astype(np.float32))
        top = int(np.argmax(cosines))
        if cosines[top] > best:
            best, name = float(cosines[top]), known.names[places[top]]
    return best, name


@cache
def _projection() -> npt.NDArray[np.float64]:
    """Gaussian directions, shape (frames x bands, VALUES): always the same, so that fingerprints can be stored."""
    size = _FRAMES * _SPECTRUM.n_mels
    directions: npt.NDArray[np.float64] = np.random.default_rng(20).standard_normal((size, VALUES))
    directions /= np.sqrt(size)
    return directions

"""Reading, checking, resampling and writing audio files."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from asdbench.errors import UserError
from asdbench.segments import file_of, samples_of
from asdbench.wav_headers import CorrectedFile, Header, examine

if TYPE_CHECKING:
    import soundfile

_NO_LENGTH = 1 << 60
"""libsndfile gives this many samples or more where it does not know how many there are."""
_BLOCK = 1 << 18
"""Samples that are decoded at a time."""

Waveform = npt.NDArray[np.float32]
"""One channel of audio: float32, shape (num_samples,), full scale at 1.0."""


def _channel(value: object) -> object:
    if value == "mean" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError("expected the index of a channel from 0, or 'mean'")


Channel = Annotated[int | Literal["mean"], pydantic.BeforeValidator(_channel)]
"""Which channel of a multichannel file is used: its index, or the mean of all."""

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".mp3", ".opus", ".oga", ".aifc", ".w64", ".caf", ".au")
"""Endings of files that libsndfile reads."""
OTHER_AUDIO_SUFFIXES = (".m4a", ".aac", ".mp4", ".wma", ".amr", ".3gp", ".webm", ".mka", ".ape", ".wv", ".ac3", ".mpc")
"""Endings of recordings that libsndfile does not read: they are counted, so that nobody misses them unawares."""
RATES = (1000, 768000)
"""Sample rates of recordings, in Hz; a file of 1 Hz is the log of a sensor, and would become 16000 times as long."""
LOUDEST = 1e6
"""Samples beyond this are no sound; float files in units of 16-bit integers reach 32768."""
MIN_SECONDS = 0.2
"""Shorter clips are refused: five frames of 1024 samples with a hop of 512 at 16 kHz take 0.19 s."""


@dataclass(frozen=True)
class AudioInfo:
    """What decoding a file, or a part of one, finds out.

    Attributes:
        content_hash: BLAKE2b over sample rate, shape and decoded samples; equal audio in another container is equal.
        problem: why the file cannot be used as a clip (one phrase), or "" when it can.
        silent_channels: the channels in which every sample is the same.
        has_wrong_length: whether the header gives another length than the file has, and the file was read to its end.
    """

    content_hash: str
    sample_rate: int
    channels: int
    num_samples: int
    problem: str
    silent_channels: tuple[int, ...] = ()
    has_wrong_length: bool = False

    def problem_of(self, channel: Channel, sample_rate: int | None = None) -> str:
        """Why the file cannot be used when ``channel`` is read at ``sample_rate`` (None: its own), "" when it can."""
        problem = (rate_problem(self.sample_rate, sample_rate) if self.sample_rate else "") or self.problem
        if problem or channel == "mean":
            return problem
        if not 0 <= channel < self.channels:
            return no_such_channel(channel, self.channels)
        return f"channel {channel} is silent (every sample is the same)" if channel in self.silent_channels else ""


def inspect(path: str | Path) -> AudioInfo:
    """Decode a file, or a part of one, block by block, hash it, and say whether it can serve as a clip.

    Never raises for what is wrong with the file; the reason is in ``problem``.

    Args:
        path: a file, or a part of one (see `asdbench.segments`).
    """
    try:
        with _opened(path) as opened:
            form = opened.sample_rate, opened.channels
            found = _listened(opened.blocks(), *form, opened.num_samples)
            if found.num_samples != opened.num_samples:  # the number of samples is hashed first
                opened.rewind()
                found = _listened(opened.blocks(), *form, found.num_samples)
    except _UnreadableError as error:
        return AudioInfo("", error.sample_rate, 0, 0, error.problem)
    problem = opened.problem or found.flaw(opened.sample_rate)
    silent = tuple(np.flatnonzero(found.silent).tolist())
    return AudioInfo(
        found.content_hash,
        opened.sample_rate,
        opened.channels,
        found.num_samples,
        problem,
        silent,
        opened.header.is_off,
    )


def duration(path: str | Path) -> float | None:
    """How many seconds a file lasts, by its header; None where it cannot be read."""
    try:
        with _opened(path) as opened:
            if opened.problem or rate_problem(opened.sample_rate, None):
                return None
            return opened.num_samples / opened.sample_rate
    except _UnreadableError:
        return None


def hash_of_samples(samples: npt.NDArray[np.float32], sample_rate: int) -> str:
    """BLAKE2b over sample rate, shape and samples, shape (num_samples, channels), as hexadecimal digits."""
    num_samples, channels = samples.shape
    digest = hashlib.blake2b(struct.pack("<qqq", sample_rate, channels, num_samples), digest_size=16)
    digest.update(np.ascontiguousarray(samples).data)
    return digest.hexdigest()


def inspect_all(paths: Sequence[str], advance: Callable[[int], None] = lambda count: None) -> Iterator[AudioInfo]:
    """Inspect files, two at a time, and yield what was found of each, in order.

    Args:
        paths: the files.
        advance: called with the number of files done since the last call.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=2) as pool:  # decoding and hashing release the interpreter's lock
        for info in pool.map(inspect, paths):
            advance(1)
            yield info


def read(path: str | Path, sample_rate: int | None = None, channel: Channel = 0) -> Waveform:
    """Read one channel of an audio file.

    Args:
        path: a file that libsndfile can read, or a part of one (see `asdbench.segments`).
        sample_rate: the rate to resample to, in Hz; None keeps the file's own.
        channel: index of the channel, or "mean".

    Raises:
        UserError: the file cannot be read, is truncated, has no such channel, or a rate that no recording has.
    """
    try:
        with _opened(path) as opened:
            problem = opened.problem or rate_problem(opened.sample_rate, sample_rate)
            samples = opened.rest() if not problem else np.zeros((0, opened.channels), dtype=np.float32)
    except _UnreadableError as error:
        raise UserError(f"{path}: {error.problem}") from error
    if problem:
        raise UserError(f"{path}: {problem}")
    native_rate = opened.sample_rate
    if channel == "mean":
        waveform = samples.mean(axis=1, dtype=np.float32)
    elif 0 <= channel < samples.shape[1]:
        waveform = samples[:, channel]
    else:
        raise UserError(f"{path}: {no_such_channel(channel, samples.shape[1])}")
    return resample(np.ascontiguousarray(waveform), native_rate, sample_rate or native_rate)


def rate_problem(native_rate: int, sample_rate: int | None) -> str:
    """Why a file of ``native_rate`` cannot be read at ``sample_rate`` (None: its own), "" when it can."""
    low, high = RATES
    if low <= native_rate <= high:
        return ""
    wanted = f" and cannot be read at {sample_rate} Hz" if sample_rate and sample_rate != native_rate else ""
    return f"the file has a sample rate of {native_rate} Hz{wanted}; expected {low} to {high} Hz"


def no_such_channel(channel: int, channels: int) -> str:
    """What is said of a file that lacks the channel that is to be read."""
    return f"channel {channel} was asked for, but the file has {channels} (they count from 0)"


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Resample with soxr's high-quality filter; the level is preserved and the length is scaled by the ratio."""
    if from_rate == to_rate:
        return waveform
    import soxr  # imported here: most data are already at the rate that is asked for

    return np.asarray(soxr.resample(waveform, from_rate, to_rate, quality="HQ"), dtype=np.float32)


def write(path: str | Path, waveform: npt.NDArray[np.floating], sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write a mono WAV file; with PCM subtypes samples beyond full scale are clipped, as any recorder would.

    Raises:
        OSError: the disk refuses, with its own reason (libsndfile would say "System error").
    """
    import soundfile

    encoded = io.BytesIO()
    soundfile.write(encoded, waveform, sample_rate, subtype=subtype, format="WAV")
    Path(path).write_bytes(encoded.getbuffer())


class _UnreadableError(Exception):
    """A file that cannot be decoded, and why."""

    def __init__(self, problem: str, sample_rate: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.sample_rate = problem, sample_rate


class _Opened:
    """A file that is being decoded, or a part of it.

    Attributes:
        header: what the header says of the length.
        num_samples: how many samples there should be.
        problem: why they cannot be used, "" when they can.
    """

    def __init__(self, file: soundfile.SoundFile, header: Header, path: str | Path) -> None:
        if file.frames >= _NO_LENGTH:
            raise _UnreadableError("the header does not say how long the audio is", int(file.samplerate))
        self._file, self.header = file, header
        self.sample_rate, self.channels = int(file.samplerate), int(file.channels)
        part = samples_of(path, self.sample_rate)
        self._start, self.num_samples = part or (0, int(file.frames))
        self._is_part = part is not None
        self.problem = f"the file is truncated ({header.missing} bytes are missing)" if header.missing else ""
        if part is not None and self._start + self.num_samples > file.frames:
            self.problem = f"the recording ends after {file.frames / self.sample_rate:.3f} s"
            self.num_samples = max(0, int(file.frames) - self._start)
        self.rewind()

    def rewind(self) -> None:
        """Go to the first sample."""
        self._left = self.num_samples if self._is_part else -1
        if (self._start and self.num_samples) or self._file.tell():
            self._file.seek(self._start)

    def rest(self) -> npt.NDArray[np.float32]:
        """All samples, shape (num_samples, channels)."""
        samples: npt.NDArray[np.float32] = self._file.read(self._left, dtype="float32", always_2d=True)
        return samples

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """The samples, some at a time, each block of shape (samples, channels)."""
        left = self._left
        while left:
            count = _BLOCK if left < 0 else min(_BLOCK, left)
            block = self._file.read(count, dtype="float32", always_2d=True)
            if not len(block):
                return
            left -= len(block) if left > 0 else 0
            yield block


@contextmanager
def _opened(path: str | Path) -> Iterator[_Opened]:
    """Open a file, or a part of one.

    Raises:
        _UnreadableError: it cannot be opened, or what is done with it in the block meets audio that cannot be decoded.
    """
    import soundfile

    name = file_of(path)
    try:
        size = Path(name).stat().st_size
        if size == 0:
            raise _UnreadableError("the file is empty (0 bytes)")
        header = examine(name, size) if Path(name).is_file() else Header()
        with ExitStack() as stack:
            source = stack.enter_context(CorrectedFile(name, header.corrected)) if header.corrected else name
            yield _Opened(stack.enter_context(soundfile.SoundFile(source)), header, path)
    except FileNotFoundError:
        raise _UnreadableError("the file does not exist") from None
    except OSError as error:
        raise _UnreadableError(f"the file cannot be opened ({error.strerror or error})") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).split(": ")[-1].rstrip(".")
        raise _UnreadableError(f"the file cannot be read as audio ({reason})") from error


@dataclass(frozen=True)
class _Listened:
    """What one pass over decoded samples finds out."""

    content_hash: str
    num_samples: int
    silent: npt.NDArray[np.bool_]
    is_finite: bool
    loudest: float

    def flaw(self, sample_rate: int) -> str:
        """Why the samples cannot serve as a clip; "" when they can."""
        if self.num_samples == 0:
            return "the clip holds no samples"
        if self.num_samples < MIN_SECONDS * sample_rate:
            seconds = self.num_samples / sample_rate
            return f"the clip is too short ({seconds:.3f} s, at least {MIN_SECONDS} s are needed)"
        if not self.is_finite:
            return "the clip holds NaN or infinite samples"
        if self.loudest > LOUDEST:
            return f"the clip holds samples beyond {LOUDEST:g} times full scale"
        if self.silent.all():
            return "the clip is silent (every sample is the same)"
        return ""


def _listened(
    blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int, channels: int, num_samples: int
) -> _Listened:
    """Hash samples and look for flaws, block by block, so that an hour takes no more memory than a minute."""
    digest = hashlib.blake2b(struct.pack("<qqq", sample_rate, channels, num_samples), digest_size=16)
    count, loudest, is_finite = 0, 0.0, True
    first, silent = None, np.ones(channels, dtype=bool)
    for block in blocks:
        digest.update(np.ascontiguousarray(block).data)
        first = block[:1] if first is None else first
        silent &= (block == first).all(axis=0)
        is_finite = is_finite and bool(np.isfinite(block).all())
        loudest = max(loudest, float(np.abs(block).max())) if is_finite else loudest
        count += len(block)
    return _Listened(digest.hexdigest(), count, silent & (count > 0), is_finite, loudest)


def flaw(samples: npt.NDArray[np.float32], sample_rate: int) -> str:
    """Why decoded samples, shape (num_samples, channels), cannot serve as a clip; "" when they can."""
    return _listened([samples] if len(samples) else [], sample_rate, samples.shape[1], len(samples)).flaw(sample_rate)

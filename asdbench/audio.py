"""Reading, checking, resampling and writing audio files."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from asdbench.errors import UserError

Waveform = npt.NDArray[np.float32]
"""One channel of audio: float32, shape (num_samples,), full scale at 1.0."""


def _channel(value: object) -> object:
    if value == "mean" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError("expected the index of a channel from 0, or 'mean'")


Channel = Annotated[int | Literal["mean"], pydantic.BeforeValidator(_channel)]
"""Which channel of a multichannel file is used: its index, or the mean of all."""

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif")
LOUDEST = 1e6
"""Samples beyond this are no sound; float files in units of 16-bit integers reach 32768."""
MIN_SECONDS = 0.2
"""Shorter clips are refused: five frames of 1024 samples with a hop of 512 at 16 kHz take 0.19 s."""


@dataclass(frozen=True)
class AudioInfo:
    """What one decoding pass over a file finds out.

    Attributes:
        content_hash: BLAKE2b over sample rate, shape and decoded samples; equal audio in another container is equal.
        problem: why the file cannot be used as a clip (one phrase), or "" when it can.
        silent_channels: the channels in which every sample is the same.
    """

    content_hash: str
    sample_rate: int
    channels: int
    num_samples: int
    problem: str
    silent_channels: tuple[int, ...] = ()

    def problem_of(self, channel: Channel) -> str:
        """Why the file cannot be used when ``channel`` is read, "" when it can."""
        if self.problem or channel == "mean":
            return self.problem
        if not 0 <= channel < self.channels:
            return no_such_channel(channel, self.channels)
        return f"channel {channel} is silent (every sample is the same)" if channel in self.silent_channels else ""


def inspect(path: str | Path) -> AudioInfo:
    """Decode a file once, hash it, and say whether it can serve as a clip.

    Never raises for what is wrong with the file; the reason is in ``problem``.
    """
    samples, sample_rate, problem = _decode(path)
    if samples is None:
        return AudioInfo("", sample_rate, 0, 0, problem)
    num_samples, channels = samples.shape
    silent = np.flatnonzero((samples == samples[:1]).all(axis=0)) if num_samples else np.arange(0)
    problem = problem or flaw(samples, sample_rate)
    content = hash_of_samples(samples, sample_rate)
    return AudioInfo(content, sample_rate, channels, num_samples, problem, tuple(silent.tolist()))


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
        path: a file that libsndfile can read.
        sample_rate: the rate to resample to, in Hz; None keeps the file's own.
        channel: index of the channel, or "mean".

    Raises:
        UserError: the file cannot be read, is truncated, or has no such channel.
    """
    samples, native_rate, problem = _decode(path)
    if samples is None or problem:
        raise UserError(f"{path}: {problem}")
    if channel == "mean":
        waveform = samples.mean(axis=1, dtype=np.float32)
    elif 0 <= channel < samples.shape[1]:
        waveform = samples[:, channel]
    else:
        raise UserError(f"{path}: {no_such_channel(channel, samples.shape[1])}")
    return resample(np.ascontiguousarray(waveform), native_rate, sample_rate or native_rate)


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


def _decode(path: str | Path) -> tuple[npt.NDArray[np.float32] | None, int, str]:
    """Return samples of shape (num_samples, channels), the rate, and a problem ("" if none)."""
    import soundfile

    try:
        size = Path(path).stat().st_size
        if size == 0:
            return None, 0, "the file is empty (0 bytes)"
        samples, sample_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except FileNotFoundError:
        return None, 0, "the file does not exist"
    except OSError as error:
        return None, 0, f"the file cannot be opened ({error.strerror or error})"
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).split(": ")[-1].rstrip(".")
        return None, 0, f"the file cannot be read as audio ({reason})"
    missing = _missing_bytes(path, size)
    return samples, int(sample_rate), f"the file is truncated ({missing} bytes are missing)" if missing else ""


def flaw(samples: npt.NDArray[np.float32], sample_rate: int) -> str:
    """Why decoded samples, shape (num_samples, channels), cannot serve as a clip; "" when they can."""
    num_samples = samples.shape[0]
    if num_samples == 0:
        return "the clip holds no samples"
    if num_samples < MIN_SECONDS * sample_rate:
        return f"the clip is too short ({num_samples / sample_rate:.3f} s, at least {MIN_SECONDS} s are needed)"
    if not np.isfinite(samples).all():
        return "the clip holds NaN or infinite samples"
    if np.abs(samples).max() > LOUDEST:
        return f"the clip holds samples beyond {LOUDEST:g} times full scale"
    if (samples == samples[:1]).all():
        return "the clip is silent (every sample is the same)"
    return ""


def _missing_bytes(path: str | Path, size: int) -> int:
    """Bytes that a file's header promises and the file lacks; libsndfile reads such files without a word.

    Known are RIFF (WAV), RIFX, RF64 and AIFF; of Ogg, whose header promises nothing, a missing last page counts as 1.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic == b"OggS":
            file.seek(max(0, size - _OGG_PAGE))
            return 0 if _has_whole_last_page(file.read()) else 1
        if magic not in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
            return 0
        order, wide_length = ("<" if magic in (b"RIFF", b"RF64") else ">"), 0
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack(f"{order}4sI", header)
            if name == b"ds64":
                wide_length = struct.unpack("<QQ", file.read(16))[1]
                length -= 16
            if name in (b"data", b"SSND"):
                if length == 0xFFFFFFFF:  # RF64 has the true length in ds64; programs that stream know none
                    length = wide_length
                return max(0, file.tell() + int(length) - size)
            file.seek(length + length % 2, 1)
    return 0


_OGG_PAGE = 65307  # bytes at most
_OGG_HEADER = 27


def _has_whole_last_page(tail: bytes) -> bool:
    """Whether the end of an Ogg file is a page that is marked as the last and is all there (RFC 3533, section 6)."""
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < _OGG_HEADER or not page[5] & 4:
        return False
    segments = page[_OGG_HEADER : _OGG_HEADER + page[_OGG_HEADER - 1]]
    return len(page) >= _OGG_HEADER + page[_OGG_HEADER - 1] + sum(segments)

"""Hash of the audio of a clip as it is read: one channel, resampled.

The content hash of a file covers all its channels at its own rate. A recording that is there twice, as stereo and as
mono, has two content hashes and one audio hash. Of a mono file at the rate that is read both hashes are the same, so
that either may be compared with either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from asdbench.audio import AudioInfo, Channel, hash_of_samples, read

if TYPE_CHECKING:
    import pandas as pd


def is_read_whole(info: AudioInfo, sample_rate: int | None) -> bool:
    """Whether the audio that is read of a file is all that is in it."""
    return info.channels == 1 and sample_rate in (None, info.sample_rate)


def audio_hash(path: str, info: AudioInfo, sample_rate: int | None, channel: Channel) -> str:
    """The hash of one file, as hexadecimal digits.

    Args:
        path: the file.
        info: what `asdbench.audio.inspect` says of it.
        sample_rate: at which it is read, in Hz; None for its own.
        channel: that is read.

    Raises:
        UserError: the file cannot be read.
    """
    if is_read_whole(info, sample_rate):
        return info.content_hash
    return hash_of_samples(read(path, sample_rate, channel)[:, None], sample_rate or info.sample_rate)


def how_read(sample_rate: int | None, channel: Channel) -> str:
    """What the audio hash of a file depends on beside the file; another resampler gives other last digits."""
    return json.dumps([sample_rate, channel, version("soxr")])


def hashes_of(
    paths: Sequence[str],
    infos: Sequence[AudioInfo],
    sample_rate: int | None,
    channel: Channel,
    advance: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """The hashes of files, two at a time, in order; see `audio_hash`.

    Args:
        advance: called with the number of files done since the last call.
    """
    from concurrent.futures import ThreadPoolExecutor

    def one(pair: tuple[str, AudioInfo]) -> str:
        found = audio_hash(*pair, sample_rate, channel)
        advance(1)
        return found

    with ThreadPoolExecutor(max_workers=2) as pool:  # decoding, resampling and hashing release the interpreter's lock
        return list(pool.map(one, zip(paths, infos, strict=True)))


def as_read(frame: pd.DataFrame) -> pd.Series[str]:
    """By what clips of a table are the same clip: the audio hash, or the content hash where that is not known.

    Clips with one content hash have one audio hash, so that the audio hash alone finds all copies.

    Args:
        frame: clips or their scores, with the column ``content_hash`` and perhaps ``audio_hash``.
    """
    content = frame["content_hash"]
    if "audio_hash" not in frame:
        return content
    audio = frame["audio_hash"].fillna("").astype(str)
    return audio.where(audio != "", content)

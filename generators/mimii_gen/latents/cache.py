"""Codes of clips on disk, so that each clip goes through the encoder once and not in every epoch.

Codes are kept and not latents: as 16-bit integers they take 48 kB for a clip of 10 s, an eighth of the latents in
float32, and the latents come back from them bit for bit by looking up codewords.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from asdbench import ClipSet, UserError

from ...shared.disk import whole_file
from .interface import LatentCodec

Codes = npt.NDArray[np.uint16]
"""Shape (num_codebooks, num_frames)."""


class LatentCache:
    """Codes of clips by content hash, in one file each.

    The files lie in a folder that is named after what the codes depend on besides the clip: the codec, and the sample
    rate and channel at which clips are read. One cache object keeps to one rate and channel.
    """

    def __init__(self, folder: Path, codec: LatentCodec) -> None:
        """Open a cache, which need not exist.

        Args:
            folder: may be shared by many codecs and processes.
            codec: makes the codes.
        """
        if codec.codebook_size > 2**16:
            raise UserError(
                f"codec '{codec.name}' has codebooks of {codec.codebook_size} codewords, the cache holds up to {2**16}"
            )
        self.codec = codec
        self._root = folder
        self._reading: tuple[int | None, int | str] | None = None  # sample rate and channel of the clips

    def add(self, clips: ClipSet, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Encode the clips that are missing, each whole; equal audio is encoded once.

        Damaged files are made anew. Each clip goes through the encoder by itself: in a batch, rounding differs, which
        can change a code, and on a CPU a batch is slower.

        Args:
            clips: read at their own sample rate and channel, then resampled to the codec's rate.
            progress: called with the number of clips that are done and the number of all.

        Raises:
            UserError: a clip cannot be read, or the clips are read at another rate or channel than those before.
        """
        reading = (clips.sample_rate, clips.channel)
        if self._reading not in (None, reading):
            raise UserError(
                f"the latent cache holds clips read at (sample rate, channel) {self._reading}, "
                f"expected more of these and not {reading}"
            )
        self._reading = reading
        first = {content: index for index, content in reversed(list(enumerate(clips.frame["content_hash"])))}
        for done, (content, index) in enumerate(sorted(first.items(), key=lambda item: item[1])):
            if progress is not None:
                progress(done, len(first))
            if self._read(self.path(content)) is None:
                self._write(self.path(content), *self._encode(clips, index))
        if progress is not None:
            progress(len(first), len(first))

    def codes(self, content_hash: str) -> Codes:
        """Codes of a clip that was added, shape (num_codebooks, num_frames).

        Raises:
            UserError: the clip is not there, or its file is damaged.
        """
        return self._get(content_hash)[0]

    def num_samples(self, content_hash: str) -> int:
        """Length of a clip that was added, in samples at the codec's rate."""
        return self._get(content_hash)[1]

    def path(self, content_hash: str) -> Path:
        """The file of a clip; clips must have been added to this object, so that their sample rate is known."""
        if self._reading is None:
            raise ValueError("no clips were added to this cache, so their sample rate and channel are not known")
        rate, channel = self._reading
        folder = f"{self.codec.identity}-{rate or 'native'}-{channel}"
        return self._root / folder / content_hash[:2] / f"{content_hash}.safetensors"

    def _encode(self, clips: ClipSet, index: int) -> tuple[Codes, int]:
        sample_rate = clips.sample_rate or int(clips.frame["sample_rate"].iloc[index])
        waveform = self.codec.resample(clips.waveform(index), sample_rate)
        codes = self.codec.encode(torch.from_numpy(waveform)[None])[0]
        return codes.cpu().numpy().astype(np.uint16), len(waveform)

    def _get(self, content_hash: str) -> tuple[Codes, int]:
        path = self.path(content_hash)
        found = self._read(path)
        if found is None:
            what = "the file of codes is damaged" if path.exists() else "there are no codes of this clip"
            raise UserError(f"{path}: {what}, expected a clip that was added to the latent cache")
        return found

    def _read(self, path: Path) -> tuple[Codes, int] | None:
        """Codes and number of samples, None where there is no whole file of what this codec gives."""
        try:
            with safe_open(path, framework="numpy") as file:
                codes, metadata = file.get_tensor("codes"), file.metadata() or {}
            clip = json.loads(metadata["clip"])
            num_samples, checksum = int(clip["num_samples"]), int(clip["crc32"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        expected = (self.codec.num_codebooks, self.codec.num_frames(num_samples))
        if codes.dtype != np.uint16 or codes.shape != expected or zlib.crc32(codes.tobytes()) != checksum:
            return None
        return codes, num_samples

    def _write(self, path: Path, codes: Codes, num_samples: int) -> None:
        clip = {"num_samples": num_samples, "crc32": zlib.crc32(codes.tobytes())}
        metadata = {"clip": json.dumps(clip)}  # one entry: several would be written in any order
        with whole_file(path) as part:
            part.write_bytes(save({"codes": codes}, metadata))

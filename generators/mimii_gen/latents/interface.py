"""What the generator asks of a codec, and the one place where codecs are loaded by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .codec import Codec

Waveform = npt.NDArray[np.float32]


class LatentCodec(Protocol):
    """Between waveforms, codes (small integers that are kept on disk) and latents (what is diffused).

    `Codec` is EnCodec. Shapes and errors: see `Codec`.
    """

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def bandwidth(self) -> float | None:
        """In kbps; None where there is none."""

    @property
    def gain(self) -> float:
        """Waveforms are divided by it before encoding."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def codebook_size(self) -> int:
        """Codes are below this."""

    @property
    def causal(self) -> bool:
        """Whether a frame depends on earlier samples only."""

    @property
    def model(self) -> Any:
        """The network that a pipeline saves."""

    @property
    def dim(self) -> int:
        """Values in a latent frame."""

    @property
    def num_codebooks(self) -> int:
        """Rows of codes."""

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""

    @property
    def device(self) -> torch.device:
        """Where codes and latents are computed."""

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""

    @property
    def identity(self) -> str:
        """Hash or name of all that decides what codes and latents mean."""

    def calibrated(self, waveforms: Iterable[Waveform]) -> LatentCodec:
        """Return the codec with the gain that its training clips ask for."""

    def num_frames(self, num_samples: int) -> int:
        """Number of latent frames of a clip."""

    def resample(self, waveform: Waveform, sample_rate: int) -> Waveform:
        """Resample a waveform to the codec's rate."""

    def encode(self, waveforms: Tensor) -> Tensor:
        """Encode waveforms (batch, num_samples) to codes (batch, num_codebooks, num_frames)."""

    def latents(self, codes: Tensor) -> Tensor:
        """De-quantise codes to latents (batch, dim, num_frames)."""

    def decode(self, latents: Tensor, num_samples: int | None = None) -> Tensor:
        """Decode latents to waveforms (batch, num_samples)."""


def load_codec(name: str, bandwidth: float | None, device: str | torch.device = "cpu") -> LatentCodec:
    """Load a codec by what the setting ``codec`` says: the hub id or the folder of an EnCodec.

    Raises:
        UserError: it cannot be loaded.
    """
    return Codec.load(name, bandwidth, device)

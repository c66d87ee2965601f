"""What the generator asks of a codec, and the one place where codecs are loaded by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..compact.codec import CompactCodec
from ..compact.kind import is_compact
from ..compact.network import CompactNetwork
from .codec import Codec

Waveform = npt.NDArray[np.float32]


class LatentCodec(Protocol):
    """Between waveforms, codes (small integers that are kept on disk) and latents (what is diffused).

    `Codec` is EnCodec, `CompactCodec` the small codec that is trained on a user's own clips. The last ``clip_dim``
    rows of the latents of the latter are the same in all frames: the clip latent. Shapes and errors: see `Codec`.
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
    def clip_dim(self) -> int:
        """Values of a latent frame, the last ones, that are the same in all frames of a clip; 0 for none."""

    @property
    def conditioning_dim(self) -> int:
        """Values of the clip latent, the first ones, that the values of the frames depend on; 0 for none."""

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

    def latents(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """De-quantise codes to latents (batch, dim, num_frames).

        ``noise`` (batch, clip_dim), standard normal, draws clip latents from what the encoder is certain of; None takes
        their means.
        """

    def decode(self, latents: Tensor, num_samples: int | None = None, seeds: Sequence[int] | None = None) -> Tensor:
        """Decode latents to waveforms (batch, num_samples); ``seeds`` are those of a decoder that makes noise."""


def load_codec(name: str, bandwidth: float | None, device: str | torch.device = "cpu") -> LatentCodec:
    """Load a trained codec by hub id or from a folder: a compact one by what its configuration says, else an EnCodec.

    Raises:
        UserError: it cannot be loaded.
    """
    return CompactCodec.load(name, device) if is_compact(name) else Codec.load(name, bandwidth, device)


def codec_of(model: Any, bandwidth: float | None, gain: float) -> LatentCodec:
    """Wrap the network of a codec, as a pipeline saves it."""
    return CompactCodec(model) if isinstance(model, CompactNetwork) else Codec(model, bandwidth, gain=gain)

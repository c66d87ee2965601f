"""EnCodec as MIMII-Gen uses it: waveform to codes, codes to the de-quantised latents that are diffused, and back.

The latent is the sum of the codewords of all codebooks, "De-Q" in figure 1 of the paper: at 24 kHz and 24 kbps 32
codebooks, 128 values a frame, 75 frames a second, so that a clip of 10 s is 128 x 750.

Sources: the MIMII-Gen paper; A. Defossez, J. Copet, G. Synnaeve and Y. Adi, "High fidelity neural audio compression",
arXiv:2210.13438. The network is `transformers.EncodecModel`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor
from transformers import EncodecModel

from asdbench import UserError
from asdbench.pretrained.hub import load_pretrained

from .weights import weights_id

Waveform = npt.NDArray[np.float32]
"""One channel of audio: float32, shape (num_samples,), full scale at 1.0."""

_ARCHITECTURE = (
    "sampling_rate",
    "audio_channels",
    "hidden_size",
    "num_filters",
    "num_residual_layers",
    "upsampling_ratios",
    "norm_type",
    "kernel_size",
    "last_kernel_size",
    "residual_kernel_size",
    "dilation_growth_rate",
    "use_causal_conv",
    "pad_mode",
    "compress",
    "num_lstm_layers",
    "trim_right_ratio",
    "codebook_size",
    "codebook_dim",
    "use_conv_shortcut",
)


class Codec:
    """An EnCodec with one bandwidth and one gain; mono in, mono out, the level is kept.

    A clip is always coded in one piece. What the 48 kHz model does besides is replaced by what keeps the level and can
    be inverted: mono is put on both channels and their mean is taken after decoding, and where that model divides each
    second by its RMS (``normalize`` in its configuration), here all clips are divided by one constant, ``gain``, and
    multiplied by it after decoding; see `calibrated`.

    Attributes:
        model: the network, in float32 and frozen.
        name: hub id or folder, "" where there is none.
        bandwidth: kbps, one of the model's; it says how many codebooks are used.
        gain: waveforms are divided by it before encoding and multiplied by it after decoding.
        sample_rate: Hz.
        hop_length: samples in a frame.
        dim: values in a latent frame.
        num_codebooks: codebooks used at this bandwidth.
        codebook_size: codewords in a codebook.
        clip_dim, conditioning_dim: 0, all values change from frame to frame.
        causal: whether a frame depends on earlier samples only, so that clips may be padded at their end; see `encode`.
    """

    clip_dim = conditioning_dim = 0

    def __init__(self, model: EncodecModel, bandwidth: float | None, name: str = "", gain: float = 1.0) -> None:
        """Wrap a model, which is made float32, frozen and set to evaluation in place.

        Args:
            model: a trained EnCodec.
            bandwidth: kbps; None takes the highest of the model's.
            name: for messages.
            gain: see the class.

        Raises:
            UserError: the model has no such bandwidth or too few codebooks for it, the codebooks are all zero, or the
                gain is not positive.
        """
        config = model.config
        known = [float(value) for value in config.target_bandwidths]
        self.name = name
        called = f"codec '{name}'" if name else "codec"
        if bandwidth is not None and float(bandwidth) not in known:
            raise UserError(
                f"bandwidth is {bandwidth:g} kbps, which {called} does not have, "
                f"expected one of {', '.join(f'{value:g}' for value in known)}"
            )
        if not (math.isfinite(gain) and gain > 0):
            raise UserError(f"{called}: the gain is {gain}, expected a number above 0")
        self.bandwidth = max(known) if bandwidth is None else float(bandwidth)
        self.gain = float(gain)
        self.sample_rate = int(config.sampling_rate)
        self.hop_length = math.prod(int(ratio) for ratio in config.upsampling_ratios)
        self.dim = int(config.hidden_size)
        self.codebook_size = int(config.codebook_size)
        self.causal = bool(config.use_causal_conv) and config.norm_type == "weight_norm"
        # Each code takes log2(codebook_size) bits; EnCodec counts whole frames a second.
        bits = math.log2(self.codebook_size) * math.ceil(self.frame_rate)
        self.num_codebooks = max(1, math.floor(self.bandwidth * 1000 / bits))
        network: Any = model  # half typed
        books = network.quantizer.layers
        if len(books) < self.num_codebooks:
            raise UserError(
                f"bandwidth: {self.bandwidth:g} kbps take {self.num_codebooks} codebooks, the model has {len(books)} "
                f"({called})"
            )
        self.model: EncodecModel = network.float().eval().requires_grad_(False)
        if not all(bool(book.codebook.embed.any()) for book in books[: self.num_codebooks]):
            raise UserError(f"{called}: codebooks are all zero: the codec was never trained")

    @classmethod
    def load(
        cls,
        name: str = "facebook/encodec_24khz",
        bandwidth: float | None = 24.0,
        device: str | torch.device = "cpu",
        gain: float = 1.0,
    ) -> Codec:
        """Load a codec by hub id or from a folder.

        Raises:
            UserError: see `load_pretrained` and `__init__`.
        """
        model = load_pretrained(EncodecModel, name, setting="codec", dtype=torch.float32)
        return cls(model.to(device), bandwidth, name, gain)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return torch.device(self.model.device)

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    @cached_property
    def identity(self) -> str:
        """Hash of all that decides what codes and latents mean: architecture, weights, bandwidth and gain.

        It is the same for a model that was saved and loaded again, under whatever name. The weights are those at the
        first use.
        """
        settings = {key: getattr(self.model.config, key) for key in _ARCHITECTURE}
        settings |= {"bandwidth": self.bandwidth, "gain": self.gain}
        return weights_id(self.model.state_dict(), json.dumps(settings, sort_keys=True).encode())

    def calibrated(self, waveforms: Iterable[Waveform]) -> Codec:
        """Return this codec with the gain that its training asks for.

        The 48 kHz model was trained on sound of unit RMS; for it (``normalize`` in the configuration) the gain is set
        to the median RMS of the waveforms. Models that were trained on sound as it is come back unchanged.

        Args:
            waveforms: training clips, each of shape (num_samples,), at any rate.

        Raises:
            UserError: there are no waveforms, or most are silent.
        """
        if not self.model.config.normalize:
            return self
        levels = [float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) for waveform in waveforms]
        gain = float(np.median(levels)) if levels else 0.0
        if not gain > 0:
            raise UserError(
                f"codec '{self.name}' needs the level of the training clips: the median RMS of {len(levels)} clips is "
                f"{gain:g}, expected more than 0"
            )
        return Codec(self.model, self.bandwidth, self.name, gain)

    def num_frames(self, num_samples: int) -> int:
        """Number of latent frames of a clip; the last may be filled only in part."""
        return -(-num_samples // self.hop_length)

    def resample(self, waveform: Waveform, sample_rate: int) -> Waveform:
        """Resample a waveform, shape (num_samples,), to the codec's rate with soxr; the level is kept."""
        if sample_rate == self.sample_rate:
            return waveform
        return np.asarray(soxr.resample(waveform, sample_rate, self.sample_rate, quality="HQ"), dtype=np.float32)

    @torch.no_grad()
    def encode(self, waveforms: Tensor) -> Tensor:
        """Encode waveforms.

        Clips of different lengths may be padded with zeros at their end where the codec is `causal`: the frames that
        lie wholly within a clip stay as they are. (A last frame that is filled in part need not, because the network
        mirrors the end of what it is given.)

        Args:
            waveforms: shape (batch, num_samples), at the codec's rate.

        Returns:
            int64 codes of shape (batch, num_codebooks, num_frames).

        Raises:
            RuntimeError: the number of codebooks or frames is not what bandwidth and length say.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] == 0:
            raise ValueError(f"expected waveforms of shape (batch, num_samples), found {tuple(waveforms.shape)}")
        sound = waveforms.to(self.device, torch.float32) / self.gain
        # The encoder is called by itself: `EncodecModel.encode` would cut the clip and normalise each piece.
        with _full_precision(self.device):
            embeddings = self.model.encoder(sound[:, None].expand(-1, self.model.config.audio_channels, -1))
            codes: Tensor = self.model.quantizer.encode(embeddings, self.bandwidth).transpose(0, 1)
        expected = (len(waveforms), self.num_codebooks, self.num_frames(waveforms.shape[1]))
        if tuple(codes.shape) != expected:
            raise RuntimeError(f"the codec gave codes of shape {tuple(codes.shape)}, expected {expected}")
        return codes.contiguous()

    @torch.no_grad()
    def latents(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """De-quantise codes: the sum of the codewords.

        Args:
            codes: integers, shape (batch, num_codebooks, num_frames).
            noise: not used; codewords are certain.

        Returns:
            float32 latents of shape (batch, dim, num_frames).
        """
        if codes.ndim != 3 or codes.shape[1] != self.num_codebooks:
            raise ValueError(f"expected codes of shape (batch, {self.num_codebooks}, T), found {tuple(codes.shape)}")
        latents: Tensor = self.model.quantizer.decode(codes.to(self.device, torch.int64).transpose(0, 1))
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor, num_samples: int | None = None, seeds: Sequence[int] | None = None) -> Tensor:
        """Decode latents to waveforms.

        Args:
            latents: shape (batch, dim, num_frames); need not be sums of codewords.
            num_samples: length of the waveforms; None takes all samples of the frames.
            seeds: not used; the decoder makes no noise.

        Returns:
            float32 waveforms of shape (batch, num_samples), at the codec's rate; samples may be beyond full scale.
        """
        if latents.ndim != 3 or latents.shape[1] != self.dim:
            raise ValueError(f"expected latents of shape (batch, {self.dim}, T), found {tuple(latents.shape)}")
        available = latents.shape[2] * self.hop_length
        if num_samples is not None and not 0 < num_samples <= available:
            raise ValueError(f"{latents.shape[2]} frames hold {available} samples, {num_samples} were asked for")
        with _full_precision(self.device):
            channels: Tensor = self.model.decoder(latents.to(self.device, torch.float32))
        waveforms = channels[:, 0] if channels.shape[1] == 1 else channels.mean(dim=1)
        return (waveforms * self.gain)[:, :num_samples]


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in true float32 on a GPU too, and with the same kernels each time.

    With TF32 the residual that the last codebooks see is mostly rounding error, and codes would depend on the machine.
    """
    flags = _float32_flags() if device.type == "cuda" else []
    before = [getattr(owner, name) for owner, name, _ in flags]
    for owner, name, value in flags:
        setattr(owner, name, value)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (owner, name, _), value in zip(flags, before, strict=True):
            setattr(owner, name, value)


def _float32_flags() -> list[tuple[Any, str, Any]]:
    """Torch's switches for TF32 and for kernels that vary, with the values that are wanted here."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # from torch 2.9 on; the older switches must not be mixed with these
        tf32: list[tuple[Any, str, Any]] = [
            (owner, "fp32_precision", "ieee") for owner in (cudnn.conv, cudnn.rnn, matmul)
        ]
    else:
        tf32 = [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
    return [*tf32, (cudnn, "deterministic", True), (cudnn, "benchmark", False)]

"""PaSST: an audio transformer trained on AudioSet, whose 527 classes KL and IS of the papers are taken over.

Koutini et al. 2022, "Efficient Training of Audio Transformers with Patchout" (arXiv 2110.05069). A port of the
inference path: a vision transformer with class and distillation token and separate positions in time and frequency,
over log-mel patches of 16 x 16 in steps of 10. Weights come as a safetensors file with the names of the published
checkpoints; docs/audio-metrics.md says how to make one. The front end is that of ``hear21passt.base``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, UserError, setting
from asdbench.metrics.audio.embeddings import models

if TYPE_CHECKING:
    import torch
    from torch import nn

RATE = 32000
SEGMENT = 10 * RATE
SHORTEST = 15 * RATE // 100
"""Shorter ends of a clip are ignored, as in audiocraft; a patch takes 16 frames."""
WINDOW, HOP, FFT = 800, 320, 1024
BANDS, LOWEST_HZ, HIGHEST_HZ = 128, 0.0, 15000.0
_PREEMPHASIS = 0.97
_HEAD_WIDTH = 64  # values of one attention head in all published sizes
_STEP, _PATCH = 10, 16


class Passt(Embedding):
    """PaSST: 768 values and 527 AudioSet logits for each 10 s, never padded; weights from a local safetensors file."""

    has_logits = True

    weights: str = setting(description="a .safetensors file with the tensors of a published PaSST checkpoint")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return RATE

    @property
    def dim(self) -> int:
        return int(self._network()[0].norm.normalized_shape[0])

    def inputs(self) -> dict[str, str]:
        return models.identity(self.weights, "weights", file=True)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        return self.embed_with_logits(waveform)[0]

    def logits(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        return self.embed_with_logits(waveform)[1]

    def embed_with_logits(
        self, waveform: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        import torch

        models.refuse_short(waveform, SHORTEST, RATE, "PaSST")
        network, device = self._network()
        pairs = []
        with torch.inference_mode():
            for part in models.segments(waveform, SEGMENT, SHORTEST):
                logits, features = network(log_mel(torch.from_numpy(part).to(device))[None, None])
                pairs.append((features[0].double().cpu().numpy(), logits[0].double().cpu().numpy()))
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def _network(self) -> Any:
        if not hasattr(self, "_loaded"):
            tensors, device = models.weights(self.weights), models.device_of(self.device)
            network = build_network(tensors, self.weights)
            models.fill(network, tensors, self.weights)
            self._loaded = network.eval().to(device), device
        return self._loaded


def log_mel(waveform: torch.Tensor) -> torch.Tensor:
    """The input of the network, shape (128, frames), from float32 samples at 32 kHz, shape (num_samples,)."""
    import torch

    emphasised = waveform[1:] - _PREEMPHASIS * waveform[:-1]
    window = torch.hann_window(WINDOW, periodic=False, device=waveform.device)
    spectrum = torch.stft(emphasised, FFT, HOP, WINDOW, window, center=True, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = torch.from_numpy(mel_filters()).to(waveform.device) @ power
    return ((mel + 1e-5).log() + 4.5) / 5.0


@lru_cache(maxsize=1)
def mel_filters() -> npt.NDArray[np.float32]:
    """Kaldi's mel filters, shape (128, 513): triangles straight in mel, of height 1, nothing at half the rate."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    bins = _mel(np.arange(FFT // 2) * RATE / FFT)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.pad(np.maximum(0.0, np.minimum(rise, fall)), ((0, 0), (0, 1))).astype(np.float32)
    return filters


def _mel(hz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)


def build_network(tensors: dict[str, torch.Tensor], path: str) -> nn.Module:
    """The network in the size of its weights: (batch, 1, 128, frames) to logits and features.

    Raises:
        UserError: the tensors are no PaSST.
    """
    import torch
    from torch import nn

    needed = (
        "cls_token",
        "dist_token",
        "time_new_pos_embed",
        "freq_new_pos_embed",
        "head.1.weight",
        "blocks.0.mlp.fc1.weight",
    )
    for name in needed:
        if name not in tensors:
            raise UserError(f"weights: {path} lacks the tensor '{name}', expected the weights of a PaSST checkpoint")
    width, classes = tensors["cls_token"].shape[-1], tensors["head.1.weight"].shape[0]
    hidden = tensors["blocks.0.mlp.fc1.weight"].shape[0]
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            batch, tokens, _ = x.shape
            heads = self.qkv(x).reshape(batch, tokens, 3, -1, min(_HEAD_WIDTH, width)).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
            result: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
            return result

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
            return result

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
            self.attn, self.mlp = Attention(), Mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.attn(self.norm1(x))
            result: torch.Tensor = x + self.mlp(self.norm2(x))
            return result

    class PasstNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cls_token, self.dist_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
            self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
            self.freq_new_pos_embed = nn.Parameter(torch.zeros_like(tensors["freq_new_pos_embed"]))
            self.time_new_pos_embed = nn.Parameter(torch.zeros_like(tensors["time_new_pos_embed"]))
            self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, width, _PATCH, _STEP)})
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))
            self.head_dist = nn.Linear(width, classes)  # of training: in the weights, and not used here

        def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            patches = self.patch_embed["proj"](mel)
            patches = patches + self.time_new_pos_embed[..., : patches.shape[-1]] + self.freq_new_pos_embed
            tokens = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
            x = torch.cat([tokens.expand(len(mel), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
            features = self.norm(self.blocks(x))[:, :2].mean(dim=1)
            return self.head(features), features

    return PasstNetwork()

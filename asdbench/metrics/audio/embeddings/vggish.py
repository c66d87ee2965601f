"""VGGish: the embedding of the first FAD papers, with its log-mel front end.

Architecture and front end after Hershey et al. 2017 (arXiv 1609.09430) and the published TensorFlow model: windows of
0.96 s, 128 values each. Weights come as a safetensors file with the names of the PyTorch port *torchvggish*
(``features.0.weight`` … ``embeddings.4.bias``); docs/audio-metrics.md says how to make one. Neither PCA nor 8-bit
quantisation is applied, as in audioldm_eval and frechet-audio-distance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, setting
from asdbench.metrics.audio.embeddings import models

if TYPE_CHECKING:
    from torch import nn

RATE = 16000
WINDOW, HOP, FFT = 400, 160, 512
BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
FRAMES = 96
"""Frames of an example; examples do not overlap."""
LOG_OFFSET = 0.01
SHORTEST = WINDOW + (FRAMES - 1) * HOP
_LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
_HIDDEN, _DIM = 4096, 128


class Vggish(Embedding):
    """VGGish: 128 values for each 0.96 s; weights from a local safetensors file."""

    weights: str = setting(description="a .safetensors file with the tensors of torchvggish")
    activation: bool = setting(False, description="apply the last ReLU; peers drop it")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return RATE

    @property
    def dim(self) -> int:
        return _DIM

    def inputs(self) -> dict[str, str]:
        return models.identity(self.weights, "weights", file=True)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        import torch

        models.refuse_short(waveform, SHORTEST, RATE, "VGGish")
        network, device = self._network()
        examples = torch.from_numpy(log_mel_examples(waveform)).to(device)[:, None]
        with torch.inference_mode():
            vectors = network(examples)
        return np.asarray(vectors.clamp(min=0).cpu() if self.activation else vectors.cpu(), dtype=np.float64)

    def _network(self) -> Any:
        if not hasattr(self, "_loaded"):
            tensors, device = models.weights(self.weights), models.device_of(self.device)
            network = build_network(len(tensors.get("embeddings.2.bias", range(_HIDDEN))))
            models.fill(network, tensors, self.weights)
            self._loaded = network.eval().to(device), device
        return self._loaded


def log_mel_examples(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The input of the network, shape (examples, 96, 64): log of mel bands of the *magnitude* spectrum."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float64), WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * window, FFT))
    log_mel = np.log(magnitude @ mel_filters() + LOG_OFFSET).astype(np.float32)
    examples = len(log_mel) // FRAMES
    return log_mel[: examples * FRAMES].reshape(examples, FRAMES, BANDS)


@lru_cache(maxsize=1)
def mel_filters() -> npt.NDArray[np.float64]:
    """Triangles on the HTK mel scale, shape (257, 64): straight in mel, not in Hz, of height 1, nothing at 0 Hz."""
    bins = _mel(np.linspace(0, RATE / 2, FFT // 2 + 1))
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    rise = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    filters[0] = 0.0
    filters.setflags(write=False)  # shared by all callers
    return np.asarray(filters)


def _mel(hz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)


def build_network(hidden: int = _HIDDEN) -> nn.Module:
    """The network without weights, (examples, 1, 96, 64) to (examples, 128), with hidden layers of a given width."""
    import torch
    from torch import nn

    class VggishNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            channels = 1
            for layer in _LAYERS:
                if isinstance(layer, int):
                    layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU()]
                    channels = layer
                else:
                    layers.append(nn.MaxPool2d(2))
            self.features = nn.Sequential(*layers)
            flat = channels * (FRAMES // 16) * (BANDS // 16)
            self.embeddings = nn.Sequential(
                nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, _DIM)
            )

        def forward(self, examples: torch.Tensor) -> torch.Tensor:
            # The TensorFlow model flattens with the channels last.
            maps: torch.Tensor = self.features(examples).permute(0, 2, 3, 1)
            result: torch.Tensor = self.embeddings(maps.flatten(1))
            return result

    return VggishNetwork()

"""The multi-scale STFT discriminator: networks that judge complex spectrograms of several resolutions.

Source: Defossez et al., arXiv:2210.13438, section 3.4 and figure 2: convolutions over real and imaginary part, with
dilations 1, 2 and 4 in time and strides of 2 in frequency, leaky ReLU and weight normalisation.

Two things are not in the paper, and without them the discriminator's hinge loss stays at 2 for a thousand steps:

- First weights keep the variance from layer to layer (He et al., arXiv:1502.01852, equation 14), and biases begin at
  zero. With PyTorch's first weights of a convolution, a layer passes a sixth of the variance, and judgements are a
  constant that the biases determine.
- Magnitudes of the spectra are compressed by a power, and their phases kept. Spectra of machines fall by tens of
  decibels, so that a linear spectrum is little but its few strongest bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["Discriminator"]

_WINDOWS = (2048, 1024, 512, 256, 128)
_DILATIONS = (1, 2, 4)
_SLOPE = 0.2
_EXPONENT = 0.3
"""Of the magnitudes."""
_FLOOR = 1e-4
"""Power below which magnitudes stay in proportion: 40 dB below the mean of a bin where the sound is white."""


class Discriminator(nn.Module):
    """One network a resolution; windows that the segments do not hold are left out."""

    def __init__(self, filters: int, num_samples: int) -> None:
        super().__init__()
        windows = [window for window in _WINDOWS if window <= num_samples] or [_WINDOWS[-1]]
        self.scales = nn.ModuleList(_Scale(filters, window) for window in windows)

    def forward(self, waveforms: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Judge waveforms of shape (batch, num_samples).

        Returns:
            The judgements of each scale, shape (batch, 1, frames, bins), high for real; and the features of its layers.
        """
        judged = [scale(waveforms) for scale in self.scales]
        return [logits for logits, _ in judged], [features for _, features in judged]


class _Scale(nn.Module):
    """The network of one resolution."""

    def __init__(self, filters: int, window: int) -> None:
        super().__init__()
        self.length = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        layers = [nn.Conv2d(2, filters, (3, 9), padding=(1, 4))]
        for dilation in _DILATIONS:
            layers.append(
                nn.Conv2d(filters, filters, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4))
            )
        layers.append(nn.Conv2d(filters, filters, 3, padding=1))
        gain = math.sqrt(2 / (1 + _SLOPE**2))
        self.layers = nn.ModuleList(weight_norm(_begin(layer, gain)) for layer in layers)
        self.last = weight_norm(_begin(nn.Conv2d(filters, 1, 3, padding=1), 1.0))

    def forward(self, waveforms: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.stft(
            waveforms, self.length, self.length // 4, window=self.get_buffer("window"), return_complex=True,
            pad_mode="constant",
        )  # fmt: skip
        spectrum = spectrum / self.get_buffer("window").square().sum().sqrt()
        hidden = _compress(torch.stack([spectrum.real, spectrum.imag], dim=1)).transpose(2, 3)
        features = []
        for layer in self.layers:
            hidden = nn.functional.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.last(hidden), features


@torch.no_grad()
def _begin(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    """Give every filter the norm ``gain``, so that white input of unit variance leaves with gain^2, and no bias."""
    weight = layer.weight
    weight.mul_(gain / weight.flatten(1).norm(dim=1)[:, None, None, None])
    layer.bias.zero_()  # type: ignore[union-attr]
    return layer


def _compress(parts: Tensor) -> Tensor:
    """Raise magnitudes to a power; ``parts`` holds real and imaginary part in its second dimension."""
    power = parts.square().sum(dim=1, keepdim=True)
    return parts * (power + _FLOOR).pow((_EXPONENT - 1) / 2)

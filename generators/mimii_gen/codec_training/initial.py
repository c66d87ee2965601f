"""First weights with which the codec is a lapped transform and its inverse, so that it begins by losing nothing.

A network that is trained briefly from random weights finds no phases. Here the strided convolutions cut the waveform
into blocks, the encoder's last convolution takes the MDCT of every two neighbouring blocks, the decoder's first one
inverts it by overlap and add, and the transposed convolutions put the blocks together again. Training then shapes what
the quantiser loses.

Signals pass the ELUs as pairs of opposite sign, ELU(u) - ELU(-u) = u + sign(u) (1 - exp(-|u|)), which is u as far as
|u| is much more than 1; hence the scale that `network.input_scale` gives. Residual branches and LSTMs begin with zero.

Sources: D. Balduzzi et al., "The shattered gradients problem", arXiv:1702.08591, section 4 (looks-linear weights);
J. Princen and A. Bradley, "Analysis/synthesis filter bank design based on time domain aliasing cancellation", 1986.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["lapped_transform", "start_lapped", "whiten"]


def lapped_transform(bands: int) -> Tensor:
    """Return the MDCT with a sine window, shape (bands, 2 bands), an orthogonal lapped transform.

    X_t[k] = sqrt(2 / N) sum_n w[n] x[t N + n] cos(pi / N (n + 1/2 + N/2) (k + 1/2)), w[n] = sin(pi (n + 1/2) / 2N).
    """
    samples = torch.arange(2 * bands, dtype=torch.float64) + 0.5
    frequencies = torch.arange(bands, dtype=torch.float64) + 0.5
    window = torch.sin(math.pi * samples / (2 * bands))
    cosines = torch.cos(math.pi / bands * frequencies[:, None] * (samples + bands / 2))
    return (math.sqrt(2 / bands) * window * cosines).float()


@torch.no_grad()
def start_lapped(model: Any) -> None:
    """Set the weights of an `EncodecModel`, in place; see the module.

    Args:
        model: not causal, without convolutions as shortcuts, with as many latent values as samples in a frame and at
            least twice as many channels at the frame rate.
    """
    bands = int(model.config.hidden_size)
    transform = lapped_transform(bands)
    first, second = transform[:, :bands], transform[:, bands:]
    _start_encoder(model, first, second)
    _start_decoder(model, first, second)


def _start_encoder(model: Any, first: Tensor, second: Tensor) -> None:
    layers = list(model.encoder.layers)
    values = 1  # carried by channels 0 to values - 1, with the opposite sign by as many after them
    weight = layers[0].conv.weight.clone()
    middle = weight.shape[2] // 2
    weight[:2] = 0
    weight[0, 0, middle], weight[1, 0, middle] = 1, -1
    _set(layers[0].conv, weight, 2)
    _silence_branches(layers)
    for layer in layers[1:-1]:
        if type(layer).__name__ == "EncodecConv1d":
            ratio = layer.conv.stride[0]
            left = ratio - ratio // 2
            weight = layer.conv.weight.clone()
            weight[: 2 * values * ratio] = 0
            for phase in range(ratio):
                for value in range(values):
                    out = phase * values + value  # samples of a block stay in the order of time
                    _carry(weight, out, out + values * ratio, value, value + values, left + phase)
            values *= ratio
            _set(layer.conv, weight, 2 * values)
    last = layers[-1].conv
    weight = torch.zeros_like(last.weight)
    middle = weight.shape[2] // 2
    for tap, matrix in ((middle, first), (middle + 1, second)):
        weight[:, :values, tap], weight[:, values : 2 * values, tap] = matrix, -matrix
    _set(last, weight, len(weight))


def _start_decoder(model: Any, first: Tensor, second: Tensor) -> None:
    layers = list(model.decoder.layers)
    values = len(first)
    weight = layers[0].conv.weight.clone()
    middle = weight.shape[2] // 2
    weight[: 2 * values] = 0
    # Block t is the first half of the inverse of frame t plus the second half of that of frame t - 1.
    for tap, matrix in ((middle, first.t()), (middle - 1, second.t())):
        weight[:values, :, tap], weight[values : 2 * values, :, tap] = matrix, -matrix
    _set(layers[0].conv, weight, 2 * values)
    _silence_branches(layers)
    for layer in layers[1:-1]:
        if type(layer).__name__ == "EncodecConvTranspose1d":
            ratio = layer.conv.stride[0]
            left = ratio - ratio // 2
            weight = layer.conv.weight.clone()  # (in, out, taps)
            left_over = values // ratio
            weight[:, : 2 * left_over] = 0
            for phase in range(ratio):
                for value in range(left_over):
                    source = phase * left_over + value
                    _carry(weight.transpose(0, 1), value, value + left_over, source, source + values, left + phase)
            values = left_over
            _set(layer.conv, weight, 2 * values)
    last = layers[-1].conv
    weight = torch.zeros_like(last.weight)
    weight[0, 0, weight.shape[2] // 2], weight[0, 1, weight.shape[2] // 2] = 1, -1
    _set(last, weight, 1)


def _carry(weight: Tensor, out: int, out_opposite: int, source: int, source_opposite: int, tap: int) -> None:
    """Have a pair of output channels carry what a pair of input channels carries; ``weight`` is (out, in, taps)."""
    weight[out, source, tap], weight[out, source_opposite, tap] = 1, -1
    weight[out_opposite, source, tap], weight[out_opposite, source_opposite, tap] = -1, 1


def _set(conv: Any, weight: Tensor, used: int) -> None:
    """Set the weight of a convolution with weight normalisation, and the biases of the channels in use to zero."""
    empty = weight.flatten(1).norm(dim=1) == 0  # a filter of zeros has no direction
    if bool(empty.any()):
        weight = weight.clone()
        spare = torch.randn(weight.shape) * 1e-6
        weight[empty] = spare[empty]
    conv.weight = weight
    conv.bias[:used] = 0


def _silence_branches(layers: Sequence[Any]) -> None:
    """Have residual blocks and LSTMs add nothing to what is carried past them."""
    for layer in layers:
        kind = type(layer).__name__
        if kind == "EncodecResnetBlock":
            _silence(layer.block[-1].conv)
        elif kind == "EncodecLSTM":
            _silence_lstm(layer.lstm)


def _silence(conv: Any) -> None:
    """Have a convolution give zero, with directions that can be learnt from."""
    conv.parametrizations.weight.original0.zero_()
    conv.bias.zero_()


def _silence_lstm(lstm: Any) -> None:
    """Have an LSTM give zero: nothing is written into its cells."""
    width = lstm.hidden_size
    for tensor in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
        tensor[2 * width : 3 * width] = 0  # torch's order: input, forget, cell, output


@torch.no_grad()
def whiten(model: Any, latents: Tensor, least: float = 1e-3) -> None:
    """Give every latent dimension the same variance, and have the decoder undo it, in place.

    The quantiser errs alike in all dimensions, so this has it err in proportion to what a band holds.

    Args:
        model: as `start_lapped` left it.
        latents: of some data, shape (vectors, dim).
        least: deviations below this share of the largest are taken for it: an empty band is not blown up.
    """
    deviations = latents.square().mean(0).sqrt()
    deviations = deviations.clamp(min=least * float(deviations.max()))
    factors = deviations.square().mean().sqrt() / deviations
    last, first = model.encoder.layers[-1].conv, model.decoder.layers[0].conv
    last.weight = last.weight * factors[:, None, None]
    last.bias.mul_(factors)
    first.weight = first.weight / factors[None, :, None]

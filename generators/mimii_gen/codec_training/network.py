"""The network: an `EncodecModel` from the settings, and the gain that training asks for put into its weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import EncodecConfig, EncodecModel

from .initial import start_lapped
from .settings import LATENT_DIM, CodecSettings

__all__ = ["build", "input_scale", "with_gain"]

_LAPPED_SCALE = 100.0
"""RMS of signals within a network that starts as a lapped transform; see `initial`."""


def build(settings: CodecSettings, seed: int) -> EncodecModel:
    """Return a new codec; its codebooks are zeros until `quantiser.begin`."""
    config = EncodecConfig(
        sampling_rate=settings.sample_rate,
        target_bandwidths=[settings.bandwidth],
        num_filters=settings.filters,
        upsampling_ratios=list(settings.ratios),
        hidden_size=LATENT_DIM,
        codebook_size=settings.codebook_size,
        num_lstm_layers=1,
        use_causal_conv=settings.causal,
        use_conv_shortcut=False,
        last_kernel_size=3 if settings.start == "lapped" else 7,
        kernel_size=3 if settings.start == "lapped" else 7,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        model = EncodecModel(config)
        if settings.start == "lapped":
            start_lapped(model)
    return model.train()


def input_scale(settings: CodecSettings, level: float) -> float:
    """What waveforms are multiplied by before the encoder, so that their RMS is what the network wants.

    Args:
        settings: of the codec.
        level: RMS of the clips.
    """
    return (_LAPPED_SCALE if settings.start == "lapped" else 1.0) / level


@torch.no_grad()
def with_gain(model: EncodecModel, scale: float) -> EncodecModel:
    """Put a gain into the first and last convolution, in place: D(E(scale x)) / scale becomes the network itself."""
    network: Any = model  # half typed
    first, last = network.encoder.layers[0].conv, network.decoder.layers[-1].conv
    first.parametrizations.weight.original0.mul_(scale)  # weight normalisation: the norms of the filters
    last.parametrizations.weight.original0.div_(scale)
    last.bias.div_(scale)
    return model

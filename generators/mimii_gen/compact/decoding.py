"""The decoder of a compact codec: latents to a power density and lines, and these to sound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .lines import LineAnalysis, Lines
from .network import CompactNetwork, Power
from .vocoder import synthesize

__all__ = ["Decoder"]


class Decoder:
    """Makes sound of latents that are drawn, one clip at a time."""

    def __init__(self, network: CompactNetwork, analysis: LineAnalysis) -> None:
        self._network, self._spectra, self._analysis = network, analysis.spectra, analysis

    @torch.no_grad()
    def power(self, latents: Tensor, clip: Tensor) -> Power:
        """Return the distribution of the power.

        Args:
            latents: frame latents, shape (1, frame_dim, T).
            clip: clip latent, shape (1, clip_dim + detail_dim).
        """
        return self._network.decode(latents, *self._parts(clip))

    @torch.no_grad()
    def sound(
        self, power: Power, clip: Tensor, num_samples: int, random: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        """Return a waveform, shape (num_samples,), of a power density; the clip latent says which lines there are."""
        coded, _ = self._parts(clip)
        _, share, place = self._network.static(coded)
        count = self._spectra.num_frames(num_samples)
        decibels, log_shape = (part[0, :, :count].T.float().cpu().numpy() for part in power)
        return synthesize(
            self._spectra,
            self._analysis,
            decibels,
            log_shape,
            Lines(*(part[0].double().cpu().numpy() for part in (share, place))).clear(),
            calibration=self._network.deviations(coded)[0].float().cpu().numpy(),
            chance=float(self._network.chance),
            wander=float(self._network.wander),
            num_samples=num_samples,
            random=random,
        )

    def _parts(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """What the network coded of a clip latent, and the details."""
        count = self._network.config.clip_dim
        return clip[:, :count], clip[:, count:]

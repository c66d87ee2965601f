"""The space in which the U-Net works: latents of the codec, cut into channels and normalised.

A latent of dim x T values becomes channels x (dim / channels) x T, in the paper 16 x 8 x T, and is normalised to zero
mean and unit variance with statistics of the whole training set, so that the step can be undone for any latent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asdbench import UserError, did_you_mean

from ...shared.fields import Field, check_fields, is_count, is_number
from .interface import LatentCodec

Normalization = Literal["channel", "dimension", "none"]

STD_FLOOR = 1e-4
"""Least standard deviation that is divided by, as a share of the largest: a value that hardly ever varies in training
is not blown up to the size of the others."""


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(is_number(value) for value in values)


_FIELDS: Mapping[str, Field] = {
    "dim": (is_count, "a whole number above 0"),
    "channels": (is_count, "a whole number above 0"),
    "normalization": (lambda value: isinstance(value, str), "a word"),
    "mean": (_are_numbers, "a list of finite numbers"),
    "std": (_are_numbers, "a list of finite numbers"),
    "codec": (lambda value: isinstance(value, str), "a text"),
}


@dataclass(frozen=True)
class LatentSpace:
    """Layout and normalisation between the latents of a codec and the U-Net; kept with the U-Net's weights.

    Attributes:
        dim: values in a latent frame.
        channels: channels of the U-Net; each takes ``height`` consecutive values of a frame.
        normalization: "channel" (one mean and standard deviation a channel, as in the paper), "dimension" (one each
            value of a frame) or "none".
        mean: what is subtracted, one number for each of the ``dim`` values.
        std: what is divided by, likewise.
        codec: `Codec.identity` of the codec whose latents these are.
    """

    dim: int
    channels: int
    normalization: Normalization
    mean: tuple[float, ...]
    std: tuple[float, ...]
    codec: str

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        check_layout(self.dim, self.channels, self.normalization)
        if not len(self.mean) == len(self.std) == self.dim:
            raise UserError(
                f"latent_space has {len(self.mean)} means and {len(self.std)} standard deviations, "
                f"expected {self.dim} of each"
            )
        if not all(math.isfinite(value) for value in self.mean):
            raise UserError("latent_space has a mean that is not a finite number")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise UserError("latent_space has a standard deviation that is not a finite number above 0")

    @property
    def height(self) -> int:
        """Values of a frame in one channel."""
        return self.dim // self.channels

    def to_unet(self, latents: Tensor) -> Tensor:
        """Normalise latents, shape (batch, dim, T), to float32 of shape (batch, channels, height, T)."""
        if latents.ndim != 3 or latents.shape[1] != self.dim:
            raise ValueError(f"expected latents of shape (batch, {self.dim}, T), found {tuple(latents.shape)}")
        mean, std = self._tensors(latents.device)
        return ((latents.float() - mean) / std).reshape(len(latents), self.channels, self.height, -1)

    def from_unet(self, x: Tensor) -> Tensor:
        """Undo `to_unet`: shape (batch, channels, height, T) to float32 of shape (batch, dim, T)."""
        if x.ndim != 4 or x.shape[1:3] != (self.channels, self.height):
            raise ValueError(
                f"expected a tensor of shape (batch, {self.channels}, {self.height}, T), found {tuple(x.shape)}"
            )
        mean, std = self._tensors(x.device)
        return x.float().reshape(len(x), self.dim, -1) * std + mean

    def require(self, codec: LatentCodec) -> None:
        """Refuse a codec whose latents have another meaning.

        Raises:
            UserError: the codec differs in weights, architecture, bandwidth or gain from that of the training.
        """
        if codec.identity != self.codec:
            rate = "" if codec.bandwidth is None else f" at {codec.bandwidth:g} kbps and gain {codec.gain:g}"
            raise UserError(
                f"the U-Net was trained with another codec: its latents are those of codec {self.codec}, "
                f"but '{codec.name}'{rate} is {codec.identity}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; numbers come back from JSON as they were."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatentSpace:
        """Read what `to_dict` wrote.

        Raises:
            UserError: the data are not a latent space; the message names the field.
        """
        fields = cls.__dataclass_fields__
        if set(data) != set(fields):
            raise UserError(f"latent_space has the fields {sorted(data)}, expected {sorted(fields)}")
        try:
            check_fields(data, _FIELDS)
            check_layout(data["dim"], data["channels"], data["normalization"])
        except UserError as error:
            raise UserError(f"latent_space: {error}") from error
        mean, std = (tuple(float(value) for value in data[name]) for name in ("mean", "std"))
        return cls(data["dim"], data["channels"], data["normalization"], mean, std, data["codec"])

    def _tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, shape (dim, 1)."""
        mean = torch.tensor(self.mean, dtype=torch.float32, device=device)
        return mean[:, None], torch.tensor(self.std, dtype=torch.float32, device=device)[:, None]


class LatentStatistics:
    """Mean and variance of each value of a latent frame over clips and time, gathered in float64 clip by clip.

    Parts are joined by the update of T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979, which loses nothing where the mean is far larger than the spread.
    """

    def __init__(self, dim: int) -> None:
        """Start without data.

        Args:
            dim: values in a latent frame.
        """
        self.count = 0
        """Frames seen."""
        self.mean: npt.NDArray[np.float64] = np.zeros(dim)
        """Mean of each value, shape (dim,)."""
        self._squares: npt.NDArray[np.float64] = np.zeros(dim)  # sum of squared deviations from the mean

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Variance of each value (divided by the count), shape (dim,)."""
        return self._squares / max(1, self.count)

    def update(self, latents: Tensor) -> None:
        """Add the frames of latents, shape (batch, dim, T) or (dim, T).

        Raises:
            UserError: the latents hold NaN or infinite values.
        """
        dim = len(self.mean)
        if latents.ndim not in (2, 3) or latents.shape[-2] != dim:
            raise ValueError(f"expected latents of shape (batch, {dim}, T) or ({dim}, T), found {tuple(latents.shape)}")
        values = latents.detach().cpu().double().movedim(-2, 0).reshape(dim, -1).numpy()
        if not np.isfinite(values).all():
            raise UserError("the latents of a training clip hold NaN or infinite values")
        if values.shape[1]:
            mean = values.mean(axis=1)
            self._join(values.shape[1], mean, np.square(values - mean[:, None]).sum(axis=1))

    def merge(self, other: LatentStatistics) -> None:
        """Add the frames that other statistics have seen."""
        if other.count:
            self._join(other.count, other.mean, other._squares)

    def space(self, channels: int, normalization: Normalization, codec: str) -> LatentSpace:
        """Build the latent space of what was seen.

        Standard deviations below `STD_FLOOR` times the largest are raised to that.

        Args:
            channels: channels of the U-Net.
            normalization: see `LatentSpace`.
            codec: `Codec.identity`.

        Raises:
            UserError: no latents were seen, or they never vary; the settings do not fit.
        """
        dim = len(self.mean)
        check_layout(dim, channels, normalization)
        mean, variance = self.mean, self.variance
        if normalization == "none":
            mean, variance = np.zeros(dim), np.ones(dim)
        elif not variance.any():
            raise UserError(
                f"the latents of the training clips never vary ({self.count} frames): nothing can be learnt"
            )
        elif normalization == "channel":
            # Variance over a channel = mean variance of its values + variance of their means.
            means, variances = mean.reshape(channels, -1), variance.reshape(channels, -1)
            centres = means.mean(axis=1)
            spread = variances.mean(axis=1) + np.square(means - centres[:, None]).mean(axis=1)
            mean, variance = (np.repeat(row, dim // channels) for row in (centres, spread))
        std = np.sqrt(variance)
        std = np.maximum(std, STD_FLOOR * std.max())
        return LatentSpace(dim, channels, normalization, tuple(mean.tolist()), tuple(std.tolist()), codec)

    def _join(self, count: int, mean: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]) -> None:
        total = self.count + count
        step = mean - self.mean
        self._squares = self._squares + squares + np.square(step) * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total


def split_clip(x: Tensor, clip_dim: int) -> tuple[Tensor, Tensor]:
    """Divide latents as `LatentSpace.to_unet` returns them, of height 1, into frames and clip latent.

    Args:
        x: shape (batch, channels, height, T).
        clip_dim: `LatentCodec.clip_dim`; with 0 the frames are all.

    Returns:
        Frames of shape (batch, channels - clip_dim, height, T), and clip latents of shape (batch, clip_dim).
    """
    count = x.shape[1] - clip_dim
    return x[:, :count], x[:, count:, 0, 0]


def join_clip(frames: Tensor, clip: Tensor) -> Tensor:
    """Undo `split_clip`."""
    if not clip.shape[1]:
        return frames
    return torch.cat([frames, clip[:, :, None, None].expand(-1, -1, *frames.shape[2:])], dim=1)


def check_layout(dim: int, channels: int, normalization: str) -> None:
    """Check that latents can be laid out and normalised as asked.

    Raises:
        UserError: ``dim`` is no multiple of ``channels``, or there is no such normalisation.
    """
    if channels < 1 or dim % channels:
        raise UserError(
            f"channels is {channels}, expected a number that divides the {dim} values of the codec's latent frames"
        )
    if normalization not in get_args(Normalization):
        raise UserError(f"normalization is '{normalization}'{did_you_mean(normalization, get_args(Normalization))}")

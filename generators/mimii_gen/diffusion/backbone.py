"""The denoising network: a 2-D U-Net with cross-attention to the caption, in six sizes.

The paper builds "a wide-channel U-Net" of 16 input channels and does not say how large it is. The presets are sizes for
different machines, from tests to one large GPU; only their input and their conditioning are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from diffusers import UNet2DConditionModel

from asdbench import UserError, did_you_mean

from .clip_network import ClipNetwork
from .flat_unet import FlatUNet

__all__ = ["FLAT_WIDTHS", "PRESETS", "PredictionType", "Preset", "build_backbone", "build_for_clips", "smallest_frames"]

PredictionType = Literal["epsilon", "v_prediction"]

_BLOCKS = {
    True: ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"),
    False: ("DownBlock2D", "UpBlock2D"),
}


@dataclass(frozen=True)
class Preset:
    """Size of a U-Net, from its top level (full resolution) to its bottom level.

    Attributes:
        block_out_channels: channels of each level.
        attention: whether a level attends to the caption; the mirrored level on the way up does the same.
        layers_per_block: residual blocks in a level on the way down (one more on the way up).
        head_size: channels of an attention head.
        prediction_type: what a network of this size is trained to predict unless the settings say otherwise. With the
            paper's epsilon objective levels are right only after long training; v-prediction is safe from the start.
        norm_num_groups: groups of the group normalisation.
        time_embedding_dim: width of the embedding of the timestep; None for four times the channels of the top level.
        silent_start: begin with a prediction of zero, which is exact for v where the latents are white noise.
    """

    block_out_channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers_per_block: int
    head_size: int
    prediction_type: PredictionType = "v_prediction"
    norm_num_groups: int = 32
    time_embedding_dim: int | None = None
    silent_start: bool = False

    def validate(self) -> None:
        """Check what the U-Net itself does not check, or reports without the numbers.

        Raises:
            ValueError: If a level has no attention flag, or its channels are not a multiple of the head size or of the
                normalisation groups.
        """
        if len(self.attention) != len(self.block_out_channels):
            raise ValueError(
                f"{len(self.block_out_channels)} levels of the U-Net have {len(self.attention)} attention flags, "
                "expected one for each level"
            )
        for channels in self.block_out_channels:
            for divisor, what in ((self.head_size, "head size"), (self.norm_num_groups, "normalisation groups")):
                if channels % divisor:
                    raise ValueError(f"a level of {channels} channels is not a multiple of the {what}, {divisor}")


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "smoke": Preset((32, 64), (False, True), layers_per_block=1, head_size=32),
        # For latents of height 1 and hundreds of channels: as wide at the top as at the bottom.
        "mini": Preset((96, 96, 96), (False, False, True), 1, head_size=32, time_embedding_dim=128, silent_start=True),
        "tiny": Preset((32, 64, 64), (False, True, True), layers_per_block=1, head_size=32),
        "small": Preset((64, 128, 256, 256), (False, True, True, True), layers_per_block=2, head_size=64),
        "base": Preset((128, 256, 512, 512), (False, True, True, True), layers_per_block=2, head_size=64),
        # The shape of Stable Diffusion's and Tango's U-Nets, the likely reading of the paper; its own is not published.
        "paper": Preset((320, 640, 1280, 1280), (True, True, True, False), 2, head_size=64, prediction_type="epsilon"),
    }
)


FLAT_WIDTHS: Mapping[str, int] = MappingProxyType(
    {"smoke": 32, "tiny": 64, "mini": 128, "small": 192, "base": 256, "paper": 384}
)
"""Channels of the one-dimensional U-Net of each preset, for latents of a compact codec."""


def build_backbone(
    preset: str | Preset,
    in_channels: int,
    cross_attention_dim: int,
    seed: int = 0,
    *,
    flat: bool = False,
) -> UNet2DConditionModel:
    """Build an untrained denoising network.

    Another kind of network can be put in its place. It must have
    ``forward(sample, timestep, encoder_hidden_states, encoder_attention_mask=mask).sample`` with sample and result of
    shape (batch, in_channels, height, frames) for any number of frames from `smallest_frames` on, timesteps of shape
    (batch,) or (), hidden states of shape (batch, tokens, cross_attention_dim) and a mask of shape (batch, tokens),
    1 = keep; ``config.in_channels`` and ``config.cross_attention_dim``; and diffusers' ``save_pretrained`` and
    ``from_pretrained``.

    Args:
        preset: name of one of `PRESETS`, or a preset.
        in_channels: channels of the latents, in and out (16 in the paper).
        cross_attention_dim: width of the caption's embedding (768 in the paper).
        seed: the weights depend on it only; torch's global random state is left as it was.
        flat: the latents have the height 1. The outer rows of the kernels then meet nothing but padding; they are set
            to zero and stay so, since they have no gradient, and compressed they take no space.

    Raises:
        UserError: If there is no preset of that name.
        ValueError: If the preset contradicts itself.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise UserError(f"there is no U-Net preset '{preset}'{did_you_mean(preset, PRESETS)}")
        preset = PRESETS[preset]
    preset.validate()
    down, up = zip(*(_BLOCKS[attends] for attends in preset.attention), strict=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            in_channels=in_channels,
            out_channels=in_channels,
            down_block_types=down,
            up_block_types=up[::-1],
            block_out_channels=preset.block_out_channels,
            layers_per_block=preset.layers_per_block,
            cross_attention_dim=cross_attention_dim,
            norm_num_groups=preset.norm_num_groups,
            # Despite its name this is the number of heads of each level.
            attention_head_dim=tuple(channels // preset.head_size for channels in preset.block_out_channels),
            time_embedding_dim=preset.time_embedding_dim,
        )
    with torch.no_grad():
        if preset.silent_start:
            unet.conv_out.weight.zero_()
            unet.conv_out.bias.zero_()
        if flat:
            for weight in unet.parameters():
                if weight.ndim == 4 and weight.shape[2] == 3:
                    weight[:, :, (0, 2)] = 0.0
    return unet


def build_for_clips(
    preset: str, in_channels: int, clip_dim: int, conditioning_dim: int, cross_attention_dim: int, seed: int = 0
) -> tuple[FlatUNet, ClipNetwork]:
    """Build the untrained networks for latents of a compact codec: of its frames, and of its clip latents.

    Args:
        preset: name of one of `FLAT_WIDTHS`.
        in_channels: values of a frame.
        clip_dim: values of a clip latent.
        conditioning_dim: those of them, the first ones, that the frames are conditioned on.
        cross_attention_dim: width of the caption's embedding.
        seed: the weights depend on it only; torch's global random state is left as it was.

    Raises:
        UserError: If there is no preset of that name.
    """
    if preset not in FLAT_WIDTHS:
        raise UserError(f"there is no U-Net preset '{preset}'{did_you_mean(preset, FLAT_WIDTHS)}")
    width = FLAT_WIDTHS[preset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # By name: diffusers takes what is given by position for defaults.
        unet = FlatUNet(
            in_channels=in_channels,
            cross_attention_dim=cross_attention_dim,
            clip_dim=conditioning_dim,
            width=width,
            condition_dim=3 * width // 2,
        )
        return unet, ClipNetwork(
            clip_dim=clip_dim,
            cross_attention_dim=cross_attention_dim,
            width=3 * width // 2,
            linear_rank=max(128, clip_dim),
        )


def smallest_frames(unet: UNet2DConditionModel | FlatUNet) -> int:
    """Return the fewest latent frames the U-Net should be given: those that leave two frames at its bottom level.

    Each level below the top halves the frames, rounded up. With a single frame left and latents of height 1 a group
    normalisation of as many groups as channels has one value to normalise, and torch refuses.
    """
    levels = unet.config.levels if isinstance(unet, FlatUNet) else len(unet.config.block_out_channels)
    return int(2 ** (levels - 1)) + 1

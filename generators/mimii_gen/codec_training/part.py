"""The part ``codec``: its settings, and where its training is called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from asdbench import Part, Training, UserError, setting

from .settings import PRESETS, CodecSettings

if TYPE_CHECKING:
    from pathlib import Path

    from ..compact.settings import CompactSettings

_COMPACT = ("bands", "clip_dim", "detail_dim", "frame_dim", "width", "clip_weight", "frame_weight")
"""Settings that only a compact codec has."""
_COMMON = ("sample_rate", "seconds", "batch_size", "steps", "learning_rate", "warmup_steps", "save_every", "log_every")
"""Settings of the training that both kinds of codec have."""
_CHECKED_RATE = 16000


class CodecPart(Part):
    """A codec for `mimii_gen`, trained on the user's own recordings: a small EnCodec, or a compact codec.

    Presets 16k and 24k are EnCodecs: losses on the waveform, on mel spectrograms of several resolutions and of a
    multi-scale STFT discriminator, balanced by their gradients, after Defossez et al., arXiv:2210.13438; residual
    vector quantisation with codebooks that are moving averages. With ``start: lapped`` (preset 16k) the weights first
    compute a lapped transform and its inverse, so that the training begins with a codec that loses nothing but what the
    quantiser takes.

    Preset compact is a hierarchical variational autoencoder of log-mel frames: a few numbers for what is the same over
    a clip and a few for what changes, from which a decoder makes noise and tones anew.

    A preset says rate, network and training; what is given beside it goes first.
    """

    usage: ClassVar[str] = "use it with `--set codec={out} --set bandwidth=null` for mimii_gen"

    preset: Literal["16k", "24k", "compact"] = setting(
        "16k", description="EnCodec of 16 kHz at 125 frames a second or of 24 kHz at 75; or a compact codec"
    )
    sample_rate: int | None = setting(
        None, ge=4000, le=48000, description="Hz; None for the preset's, for compact that of the clips"
    )
    ratios: tuple[int, ...] | None = setting(None, description="upsampling ratios; None for the preset's")
    filters: int | None = setting(None, ge=4, le=128, description="channels at the full rate; None for the preset's")
    causal: bool | None = setting(None, description="frames know earlier samples only; None for the preset's")
    start: Literal["random", "lapped"] | None = setting(None, description="first weights; None for the preset's")
    codebooks: int = setting(128, ge=1, le=256, description="codebooks of the residual quantiser")
    codebook_size: int = setting(64, ge=2, le=4096, description="codewords in a codebook, a power of 2")
    codebook_decay: float = setting(0.99, ge=0, lt=1, description="of the moving averages that codewords are")
    bands: int = setting(128, ge=8, le=512, description="compact: mel bands of the spectrogram")
    clip_dim: int = setting(64, ge=2, le=512, description="compact: values of the clip latent that the network codes")
    detail_dim: int | None = setting(
        None,
        ge=0,
        le=512,
        description="compact: further values of it, for details of the spectrum; None for 3/4 of bands",
    )
    frame_dim: int = setting(16, ge=1, le=256, description="compact: values of a frame latent, at most")
    width: int = setting(160, ge=8, le=2048, description="compact: channels of the network, a multiple of 8")
    clip_weight: float = setting(2.5, gt=0, description="compact: of the information in the clip latent")
    frame_weight: float = setting(2.3, gt=0, description="compact: of the information in the frame latents")
    seconds: float | None = setting(
        None, gt=0, le=30, description="length of the segments that are trained on; None for the preset's"
    )
    batch_size: int | None = setting(None, ge=1, le=1024, description="segments in a step; None for the preset's")
    steps: int | None = setting(None, ge=1, description="training steps; None for the preset's")
    learning_rate: float | None = setting(None, gt=0, le=1, description="of Adam, for the codec; None for the preset's")
    discriminator_learning_rate: float = setting(3e-4, gt=0, le=1, description="of Adam, for the discriminator")
    warmup_steps: int = setting(100, ge=0, description="steps over which the learning rates rise")
    adversarial_after: int = setting(200, ge=0, description="step from which the discriminator counts")
    discriminator_filters: int = setting(8, ge=1, le=256, description="channels of the discriminator")
    discriminator_share: float = setting(2 / 3, gt=0, le=1, description="share of steps that train the discriminator")
    waveform_weight: float = setting(0.1, ge=0, description="of the L1 loss of the waveform")
    mel_weight: float = setting(1.0, ge=0, description="of the L1 and L2 losses of the mel spectrograms")
    adversarial_weight: float = setting(3.0, ge=0, description="of the discriminator's judgement")
    feature_weight: float = setting(3.0, ge=0, description="of the discriminator's features")
    commitment_weight: float = setting(1.0, ge=0, description="of what the encoder is away from its codewords")
    save_every: int = setting(500, running=True, ge=1, description="steps between checkpoints of the training")
    log_every: int = setting(10, running=True, ge=1, description="steps that a row of losses.csv stands for")
    weights: Literal["float32", "float16"] = setting(
        "float32", running=True, description="how the finished weights are stored; float16 takes half the space"
    )
    device: str = setting(
        "auto", running=True, pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps"
    )

    @pydantic.model_validator(mode="after")
    def _check_together(self) -> CodecPart:
        """Refuse what cannot work before anything is computed."""
        self._refuse_settings_of_the_other_kind()
        if self.preset != "compact":
            self.resolved()
        elif self.sample_rate is not None or self.seconds is None:  # else how many frames they are is not known yet
            self.resolved_compact(_CHECKED_RATE)
        return self

    def usage_with(self, out: Path) -> str:
        return f"use it with `--set codec={out}` for mimii_gen" if self.preset == "compact" else super().usage_with(out)

    def resolved(self) -> CodecSettings:
        """The settings of an EnCodec with those of the preset filled in.

        Raises:
            UserError: they do not fit together.
        """
        given = self._given(field.name for field in fields(CodecSettings))
        return CodecSettings(**PRESETS[self.preset] | given)

    def resolved_compact(self, sample_rate: int) -> CompactSettings:
        """The settings of a compact codec.

        Args:
            sample_rate: of the clips; it counts where the settings do not say a rate.

        Raises:
            UserError: they do not fit together.
        """
        from ..compact.settings import CompactSettings

        return CompactSettings(**{"sample_rate": sample_rate} | self._given([*_COMMON, *_COMPACT]))

    def _given(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _refuse_settings_of_the_other_kind(self) -> None:
        compact = self.preset == "compact"
        used = {*_COMMON, *_COMPACT} if compact else {field.name for field in fields(CodecSettings)}
        free = {"preset", "weights", "device"}
        for name, field in type(self).__pydantic_fields__.items():
            if name not in used | free and getattr(self, name) != field.default:
                other = "presets 16k and 24k" if compact else "preset compact"
                raise UserError(f"{name} is a setting of {other} only, found preset {self.preset}; leave it out")

    def train(self, training: Training) -> None:
        """Train on the clips and write ``config.json``, ``model.safetensors`` and how it was trained.

        Raises:
            UserError: the clips cannot be learnt from.
        """
        import os

        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError("a codec is trained in one process, found WORLD_SIZE above 1; start it without a launcher")
        from .learning import learn

        learn(self, training)

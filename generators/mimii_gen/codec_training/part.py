"""The part ``codec``: its settings, and where its training is called."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pydantic

from asdbench import Part, Training, UserError, setting

from .settings import PRESETS, CodecSettings


class CodecPart(Part):
    """A small EnCodec for `mimii_gen`, trained on the user's own recordings.

    Losses on the waveform, on mel spectrograms of several resolutions and of a multi-scale STFT discriminator, balanced
    by their gradients, after Defossez et al., arXiv:2210.13438; residual vector quantisation with codebooks that are
    moving averages. A preset says rate and network; what is given beside it goes first.

    With ``start: lapped`` (preset 16k) the weights first compute a lapped transform and its inverse, so that the
    training begins with a codec that loses nothing but what the quantiser takes.
    """

    usage: ClassVar[str] = "use it with `--set codec={out} --set bandwidth=null` for mimii_gen"

    preset: Literal["16k", "24k"] = setting("16k", description="16 kHz at 125 frames a second, or 24 kHz at 75")
    sample_rate: int | None = setting(None, ge=4000, le=48000, description="Hz; None for the preset's")
    ratios: tuple[int, ...] | None = setting(None, description="upsampling ratios; None for the preset's")
    filters: int | None = setting(None, ge=4, le=128, description="channels at the full rate; None for the preset's")
    causal: bool | None = setting(None, description="frames know earlier samples only; None for the preset's")
    start: Literal["random", "lapped"] | None = setting(None, description="first weights; None for the preset's")
    codebooks: int = setting(128, ge=1, le=256, description="codebooks of the residual quantiser")
    codebook_size: int = setting(64, ge=2, le=4096, description="codewords in a codebook, a power of 2")
    codebook_decay: float = setting(0.99, ge=0, lt=1, description="of the moving averages that codewords are")
    seconds: float = setting(1.0, gt=0, le=30, description="length of the segments that are trained on")
    batch_size: int = setting(8, ge=1, le=1024, description="segments in a step")
    steps: int = setting(20_000, ge=1, description="training steps")
    learning_rate: float = setting(1e-4, gt=0, le=1, description="of Adam, for the codec")
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
        self.resolved()
        return self

    def resolved(self) -> CodecSettings:
        """The settings with those of the preset filled in.

        Raises:
            UserError: they do not fit together.
        """
        given: dict[str, Any] = {name: getattr(self, name) for name in self.setting_names()}
        for name in ("device", "preset", "weights"):
            del given[name]
        preset = PRESETS[self.preset]
        return CodecSettings(**{name: preset[name] if value is None else value for name, value in given.items()})

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

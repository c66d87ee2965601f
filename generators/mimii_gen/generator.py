"""The generator ``mimii_gen``: its settings, and where its parts are called.

Heavy libraries are imported inside the methods, so that plugins can be listed fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from asdbench import GeneratedClip, Generator, Request, Training, UserError, setting

from .compact.kind import WITHOUT_EFFECT, refuse_without_effect
from .diffusion.limits import check_inference_steps, check_schedule
from .older import refuse_older
from .shipped import model_place

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from asdbench import Fingerprints

_TRAINED_HERE = (("text_encoder", "new"), ("codec", "compact"))
"""Settings that name no pretrained part."""
CAPTION_SOURCES = ("template", "t5")
"""Words of the setting ``captions``; anything else is a file."""


class MimiiGen(Generator):
    """Latent diffusion of machine sounds from captions, after MIMII-Gen (Purohit et al.).

    Captions are made from a clip's labels; a frozen text encoder embeds them; a U-Net, trained to denoise the latents
    of an EnCodec, makes new latents from noise, which the codec decodes. It learns from the real clips that the
    benchmark keeps for generators, or comes as a finished model (``checkpoint``, a folder that `asdbench train
    generator mimii_gen` has written, or a hub id).

    What the paper leaves open has defaults that were found sound: linear noise schedule, v-prediction for all but the
    largest network, DPM-Solver++ with steps even in log-SNR, weak guidance. With ``strength`` a clip starts from a real
    normal clip of the pool instead of noise and keeps its machine and background (audio-to-audio).

    Provenance: ``caption``, ``sampler``, ``steps``, ``guidance_scale``, ``guidance_rescale``, ``clip_seed``, ``model``
    (identity of the weights), ``unseen`` (labels that no training clip had), ``fault`` and ``severity`` that the
    caption states, and with ``strength`` the ``host``.
    """

    learns: ClassVar[bool] = True
    # Without strength: rows that differ in it alone share one control.
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {"codec": {"reconstruct": True, "strength": None}}

    checkpoint: str | None = setting(
        None, min_length=1, description="finished model: mini (built in), folder or hub id; None: train one"
    )

    captions: str = setting(
        "template", min_length=1, description="template, t5 (written by caption_model), or a CSV file of captions"
    )
    caption_model: str = setting("t5-large", min_length=1, description="T5 that writes captions: hub id or folder")
    vague_captions: float = setting(
        0.1, ge=0, le=1, description="share of anomalies whose caption leaves out fault and severity"
    )
    text_encoder: str = setting(
        "google/flan-t5-base",
        min_length=1,
        description="transformers encoder: hub id or folder; new: a small T5 of the captions' words, to be trained",
    )
    text_length: int = setting(64, ge=2, le=512, description="most tokens of a caption")
    pooling: Literal["none", "mean"] = setting("none", description="condition on all token states, or on their mean")
    train_text_encoder: bool = setting(False, description="train the text encoder too (eq. 3)")
    learned_null: bool = setting(False, description="train the null embedding; else it encodes the empty caption")

    codec: str = setting(
        "facebook/encodec_24khz",
        min_length=1,
        description="EnCodec (hub id or folder) or compact codec (folder); compact: one that is trained on the clips",
    )
    codec_steps: int = setting(3000, ge=1, description="training steps of a compact codec")
    clip_steps: int = setting(
        4000, ge=0, description="further steps of the network of a compact codec's clip latents, alone"
    )
    bandwidth: float | None = setting(24.0, gt=0, description="of an EnCodec in kbps; None for its highest")
    seconds: float | None = setting(
        None,
        gt=0,
        le=60,
        description="length of what the network is trained on; None for the usual length of the clips",
    )
    channels: int = setting(16, ge=1, description="channels of the reshaped latents of an EnCodec: 16 as in the paper")
    normalization: Literal["channel", "dimension", "none"] = setting(
        "channel",
        description="of an EnCodec's latents to mean 0, variance 1: by channel as in the paper, by dimension, or none",
    )

    preset: Literal["smoke", "mini", "tiny", "small", "base", "paper"] = setting(
        "base", description="size of the U-Net"
    )
    timesteps: int = setting(1000, ge=10, le=10000, description="timesteps of the noise schedule")
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = setting(
        "linear", description="noise schedule"
    )
    beta_start: float = setting(1e-4, gt=0, lt=1, description="beta of the first timestep")
    beta_end: float = setting(0.02, gt=0, lt=1, description="beta of the last timestep")
    prediction: Literal["auto", "epsilon", "v_prediction"] = setting(
        "auto", description="what the network predicts; auto: epsilon for preset paper (eq. 2), else v_prediction"
    )
    zero_terminal_snr: bool = setting(
        False, description="rescale the schedule to end in pure noise (v_prediction only)"
    )

    steps: int = setting(100_000, ge=1, description="training steps")
    batch_size: int = setting(16, ge=1, description="clips in a training step, over all processes")
    accumulation: int | None = setting(
        None, ge=1, description="parts in which a training step is computed; None: parts of 4 clips on a CPU, else one"
    )
    learning_rate: float = setting(1e-4, gt=0, description="of AdamW")
    warmup_steps: int = setting(500, ge=0, description="steps over which the learning rate rises")
    learning_rate_end: float = setting(
        1.0, gt=0, le=1, description="share of the learning rate at the last step; it falls over the second half"
    )
    weight_decay: float = setting(1e-2, ge=0, description="of AdamW")
    max_grad_norm: float = setting(1.0, gt=0, description="gradients are scaled down to this norm")
    ema_decay: float = setting(0.9999, ge=0, lt=1, description="of the moving average of the weights")
    weights: Literal["float32", "float16"] = setting("float32", description="of the U-Net as it is saved")
    mixed_precision: Literal["no", "bf16"] = setting("no", description="bf16 for training on a GPU")
    gradient_checkpointing: bool = setting(False, description="less memory, more time (with an EnCodec)")
    snr_gamma: float | None = setting(None, gt=0, description="gamma of min-SNR loss weights; None for equal weights")
    caption_dropout: float = setting(0.1, ge=0, le=1, description="share of null captions, for guidance")
    balance: Literal["none", "condition", "caption"] = setting(
        "condition", description="train on rare anomalies (rare captions) as often as on normal clips"
    )
    validation_share: float = setting(0.1, ge=0, lt=1, description="clips kept for the validation loss")
    validate_every: int = setting(500, running=True, ge=1, description="steps between validation losses")
    save_every: int = setting(1000, running=True, ge=1, description="steps between checkpoints of the training")
    preview_every: int = setting(5000, running=True, ge=1, description="steps between pictures of generated clips")
    tracker: str | None = setting(
        None, running=True, min_length=1, description="tensorboard, or another tracker of accelerate"
    )
    device: str = setting(
        "auto", running=True, pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps"
    )

    sampler: Literal["dpm++", "ddpm", "ddim"] = setting("dpm++", sampling=True, description="how latents are sampled")
    inference_steps: int = setting(25, ge=1, le=10000, sampling=True, description="steps of the sampler")
    guidance_scale: float = setting(2.0, ge=0, le=100, sampling=True, description="1 for none; high values are loud")
    guidance_rescale: float = setting(0.7, ge=0, le=1, sampling=True, description="how far guidance keeps the level")
    strength: float | None = setting(
        None, gt=0, le=1, sampling=True, description="start from a real normal clip, and change it this far"
    )
    clip_seconds: float | None = setting(
        None, gt=0, le=600, sampling=True, description="length of a clip; None for the length of the training"
    )
    fault: str | None = setting(
        None,
        min_length=1,
        sampling=True,
        description="fault in captions of anomalies; None: drawn from training clips",
    )
    severity: float | None = setting(
        None,
        ge=0,
        sampling=True,
        description="severity in captions of anomalies; None: drawn from training clips",
    )
    reconstruct: bool = setting(
        False,
        sampling=True,
        description="as a control: real clips of the pool through the codec, nothing generated",
    )
    sampling_batch: int = setting(8, ge=1, le=1024, sampling=True, description="clips sampled at once")
    sampling_precision: Literal["auto", "float32", "bf16"] = setting(
        "auto", sampling=True, description="of the U-Net; auto: bf16 on a CUDA GPU, else float32"
    )
    compile_unet: bool = setting(False, sampling=True, description="torch.compile the U-Net for sampling (on a GPU)")

    @pydantic.model_validator(mode="after")
    def _check_together(self) -> MimiiGen:
        """Refuse what cannot work before anything is computed; a finished model has schedule and codec of its own."""
        if self.checkpoint is None:
            prediction = self.prediction
            if prediction == "auto":  # as in `diffusion.backbone.PRESETS`, which would import torch
                prediction = "epsilon" if self.preset == "paper" else "v_prediction"
            ends = self.beta_start, self.beta_end
            check_schedule(self.timesteps, self.beta_schedule, *ends, prediction, self.zero_terminal_snr)
            check_inference_steps(self.inference_steps, self.timesteps, self.sampler)
            fields = type(self).__pydantic_fields__
            refuse_without_effect(
                self.codec,
                {name: getattr(self, name) for name in WITHOUT_EFFECT},
                {name: fields[name].default for name in WITHOUT_EFFECT},
            )
            if self.accumulation is not None and self.batch_size % self.accumulation:
                raise UserError(
                    f"batch_size is {self.batch_size}, expected a multiple of accumulation, {self.accumulation}"
                )
        return self

    def inputs(self) -> dict[str, str]:
        """Identities of the model, or of the pretrained parts and captions that a training starts from."""
        from asdbench.pretrained.files import identity_of

        if self.checkpoint is not None:
            found = {"checkpoint": identity_of(self.place_of(None), "checkpoint")}
            if self.captions == "t5":  # for labels that the model's own captions do not state
                found["caption_model"] = identity_of(self.caption_model, "caption_model")
            return found
        named = {"codec": self.codec, "text_encoder": self.text_encoder}
        if self.captions == "t5":
            named["caption_model"] = self.caption_model
        found = {
            name: value if (name, value) in _TRAINED_HERE else identity_of(value, name) for name, value in named.items()
        }
        if self.captions not in CAPTION_SOURCES:
            try:
                found["captions"] = identity_of(self.captions, "captions", file=True)
            except UserError as error:
                known = " or ".join(CAPTION_SOURCES)
                raise UserError(f"{error}; expected {known}, or a CSV file of captions") from error
        return found

    def place_of(self, trained: Path | None) -> str:
        """Folder or hub id of the model: what was trained in this benchmark, else the ``checkpoint``.

        Raises:
            UserError: the model is that of an older version; see `refuse_older`.
        """
        place = str(trained) if trained is not None else model_place(self.checkpoint or "")
        refuse_older(place)
        return place

    def needs_training(self) -> bool:
        return self.checkpoint is None

    def train(self, training: Training) -> None:
        """Train on the clips and write a pipeline, its training clips, captions and model card.

        Raises:
            UserError: the clips cannot be learnt from, or a pretrained part cannot be loaded or does not fit.
        """
        from .learning import learn

        learn(self, training)

    def learnt_from(self, model: Path | None) -> pd.DataFrame | None:
        from .record import read_training_clips

        return read_training_clips(self.place_of(model))

    def fingerprints(self, model: Path | None) -> Fingerprints | None:
        from .record import read_fingerprints

        return read_fingerprints(self.place_of(model))

    def parameters(self, model: Path | None) -> int | None:
        """Number of weights of the networks that denoise: the U-Net, and with a compact codec that of clip latents."""
        from .record import count_parameters

        return count_parameters(self.place_of(model))

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        """Yield one clip for each row; see the class.

        Raises:
            UserError: the model cannot be loaded, or cannot make what is asked for.
        """
        if self.reconstruct:
            from .reconstruction import reconstruct

            return reconstruct(self, request)
        from .making import make

        return make(self, request)

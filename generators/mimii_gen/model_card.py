"""The model card: a README beside a checkpoint that says what it was made of and what not to expect of it.

YAML front matter and Markdown, as model hubs show it. The idea is that of M. Mitchell et al., "Model cards for model
reporting", FAT* 2019.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..shared.captions import Description, caption
from ..shared.model_cards import data_sections, front_matter, settings_table, table, write_card

_NO_WEIGHTS = "none stated for the weights as far as is known, check before commercial use"
_LICENCES: Mapping[str, str] = {
    # As far as repositories and model pages say. The repository of EnCodec speaks of the licence of its code alone; of
    # its models the one at 32 kHz belongs to AudioCraft, which has a licence for weights.
    "facebook/encodec_24khz": f"code MIT; {_NO_WEIGHTS}",
    "facebook/encodec_48khz": f"code MIT; {_NO_WEIGHTS}",
    "facebook/encodec_32khz": "code MIT; weights, as part of AudioCraft, CC-BY-NC 4.0 (no commercial use)",
    "google/flan-t5-*": "Apache-2.0",
    **{
        f"{owner}t5-{size}": "Apache-2.0"
        for owner in ("", "google-t5/")
        for size in ("small", "base", "large", "3b", "11b")
    },
}
UNKNOWN_LICENCE = "not known: see its source"

LEVEL_TOLERANCE = 0.1
"""Relative error of the level of generated latents from which the card warns."""


@dataclass(frozen=True)
class Part:
    """A pretrained part of the model.

    Attributes:
        name: hub id or folder.
        identity: hash that distinguishes it from others.
        licence: None to look it up by name.
    """

    name: str
    identity: str
    licence: str | None = None


@dataclass(frozen=True)
class ModelCard:
    """What a card says.

    Attributes:
        clips: number of training clips, for each machine type and condition.
        content_hashes: of the training clips.
        codec: the audio codec.
        text_encoder: the encoder of captions.
        captions: how captions were made, such as "template" or "t5".
        settings: of the training, JSON values; the tables show them all.
        steps: optimiser steps.
        exposure: "same-machine", "other-machines" or "none"; others are shown as they are.
        seed: of the training.
        training_loss: the last; None where it was not measured.
        validation_loss: the last, at fixed noise; None where it was not measured.
        generated_level: root mean square of generated latents, where that of the training data is 1.
        caption_model: the model that wrote the captions, where one did.
        stochastic_decoder: whether the codec is a compact one, whose decoder makes the fine noise.
        sample_rate: of the generated audio, in Hz.
        seconds: length of a generated clip by default, in s.
        versions: of the libraries.
        license: of the checkpoint, a word that hubs know; "other" because it depends on data, codec and text encoder.
    """

    clips: Mapping[str, Mapping[str, int]]
    content_hashes: Sequence[str]
    codec: Part
    text_encoder: Part
    captions: str
    settings: Mapping[str, Any]
    steps: int
    exposure: str
    seed: int
    training_loss: float | None = None
    validation_loss: float | None = None
    generated_level: float | None = None
    caption_model: Part | None = None
    stochastic_decoder: bool = False
    sample_rate: int | None = None
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    license: str = "other"


def write_model_card(folder: Path, card: ModelCard) -> None:
    """Write the card to ``folder/README.md``, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    write_card(folder, model_card_text(card))


def model_card_text(card: ModelCard) -> str:
    """The card as Markdown with YAML front matter."""
    return "\n".join([_front_matter(card), *(f"{section}\n" for section in _sections(card))])


def licence_of(part: Part) -> str:
    """What is known of the licence of a part; `UNKNOWN_LICENCE` for a folder or a model that is not listed."""
    if part.licence is not None:
        return part.licence
    return next((text for name, text in _LICENCES.items() if fnmatchcase(part.name, name)), UNKNOWN_LICENCE)


def _front_matter(card: ModelCard) -> str:
    fields = {
        "license": card.license,
        "library_name": "diffusers",
        "tags": ["audio", "text-to-audio", "anomalous-sound-detection", "machine-sound", "asdbench", "mimii-gen"],
    }
    return front_matter(fields)


def _sections(card: ModelCard) -> list[str]:
    return [
        "# MIMII-Gen checkpoint",
        "A latent diffusion model that makes machine sounds, normal and anomalous, from captions. It is meant to test "
        "detectors of anomalous sounds. It was trained with asdbench; the method is that of H. Purohit et al., "
        '"MIMII-Gen: Generative Modeling Approach for Simulated Evaluation of Anomalous Sound Detection System".',
        _what_makes_the_sound(card),
        *data_sections(card.clips, card.content_hashes, card.exposure),
        "## Parts",
        table(("part", "name", "identity", "licence"), _part_rows(card)),
        "Licences are given as far as they are known and are no legal advice.",
        f"Captions: {card.captions}.",
        "## Training",
        table(("what", "value"), _result_rows(card)),
        settings_table(card.settings),
        *([table(("library", "version"), sorted(card.versions.items()))] if card.versions else []),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(card)),
        "## How to use it",
        _usage(card),
    ]


def _what_makes_the_sound(card: ModelCard) -> str:
    if card.stochastic_decoder:
        return (
            "What makes the sound: diffusion makes all that varies with the caption (spectrum, level, noisiness, tones,"
            " events, severity), as latents of a compact codec. The decoder of the codec adds the fine noise, which it "
            "draws anew for each clip."
        )
    return "What makes the sound: diffusion makes the latents, and the decoder of the codec turns them into sound."


def _part_rows(card: ModelCard) -> list[tuple[str, ...]]:
    parts = [("codec", card.codec), ("text encoder", card.text_encoder)]
    if card.caption_model is not None:
        parts.append(("caption model", card.caption_model))
    return [(what, part.name, part.identity, licence_of(part)) for what, part in parts]


def _result_rows(card: ModelCard) -> list[tuple[str, str]]:
    rows = [
        ("steps", str(card.steps)),
        ("seed", str(card.seed)),
        ("last training loss", _number(card.training_loss)),
        ("last validation loss, at fixed noise", _number(card.validation_loss)),
        ("level of generated latents (1 is right)", _number(card.generated_level)),
    ]
    if card.sample_rate is not None:
        rows.append(("sample rate", f"{card.sample_rate} Hz"))
    if card.seconds is not None:
        rows.append(("length of a clip by default", f"{card.seconds:g} s"))
    return rows


def _limits(card: ModelCard) -> list[str]:
    limits = [
        "Copying: training for long on few clips can end in copies of them. Copies make generated and real test sets "
        "agree too well. Compare generated clips with their nearest training clips before trusting a result.",
        "Attributes, faults and machines that no training clip had mean nothing to the model; asdbench lists them as "
        "warnings when they are asked for. New combinations of known ones are what the model is for, yet are not "
        "checked against recordings.",
        "Levels: loudness moves the scores of many detectors. Strong guidance raises it. A model that predicts "
        "the noise (epsilon) needs long training before its levels are right, and makes clips that are far too loud "
        "until then; one that predicts v comes close early.",
        "The codec loses what it cannot code, and it is in every generated clip but in no recording. Frequencies above "
        "half the sample rate of the recordings are made up.",
        "A generated anomaly is no evidence of how a real fault of that name sounds.",
    ]
    if card.exposure == "none" or not any("anomaly" in conditions for conditions in card.clips.values()):
        limits.append("No anomalies were among the training clips: what the model makes of the word is a guess.")
    if card.generated_level is not None and not abs(card.generated_level - 1) <= LEVEL_TOLERANCE:
        limits.append(
            f"**The levels of this checkpoint are off**: its latents have {_number(card.generated_level)} times the "
            "level of the training data. Train it for longer, or with v-prediction."
        )
    return limits


def _usage(card: ModelCard) -> str:
    machine = min(card.clips, default="fan")
    condition = "anomaly" if "anomaly" in card.clips.get(machine, {}) else "normal"
    sentence = caption(Description(machine, condition), 0)  # type: ignore[arg-type]
    return (
        "```python\n"
        "from asdbench.generators.mimii_gen.pipeline import load_pipeline\n\n"
        'pipeline = load_pipeline("DIR")  # this folder\n'
        f"waveforms = pipeline([{json.dumps(sentence)}], seeds=[0])\n"
        "```\n\n"
        "```sh\n"
        f"asdbench generate mimii_gen OUT --set checkpoint=DIR --machines {machine}\n"
        "```"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if math.isfinite(value) else str(value)

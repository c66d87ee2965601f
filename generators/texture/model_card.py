"""The model card: a README beside a model that says what it was fitted to, how, and what not to expect of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..shared.model_cards import data_sections, front_matter, settings_table, table, write_card
from .event_sounds import short_transform
from .lapped_transform import LappedTransform

__all__ = ["ModelCard", "model_card_text", "write_model_card"]

_LIBRARIES = ("asdbench", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class ModelCard:
    """What a card says.

    Attributes:
        clips: number of training clips, for each machine type and condition.
        content_hashes: of the training clips.
        settings: of the training, JSON values.
        exposure: "same-machine", "other-machines" or "none".
        seed: of the training.
        transform: in whose bands clips are made.
        num_samples: usual length of the clips of each machine.
        states: number of states of each machine whose sound comes and goes.
        parameters: numbers that the model consists of.
    """

    clips: Mapping[str, Mapping[str, int]]
    content_hashes: Sequence[str]
    settings: Mapping[str, Any]
    exposure: str
    seed: int
    transform: LappedTransform
    num_samples: Mapping[str, int]
    states: Mapping[str, int]
    parameters: int


def write_model_card(folder: Path, card: ModelCard) -> None:
    """Write the card to ``folder/README.md``.

    Raises:
        UserError: the file cannot be written.
    """
    write_card(folder, model_card_text(card))


def model_card_text(card: ModelCard) -> str:
    """The card as Markdown with YAML front matter."""
    head = {"license": "other", "tags": ["audio", "anomalous-sound-detection", "machine-sound", "asdbench", "texture"]}
    sections = [
        "# Texture model",
        "A closed-form statistical model of machine sounds, normal and anomalous; no neural network. It is meant to "
        "test detectors of anomalous sounds. Levels of the bands are a linear model of the words of a caption, tones "
        "and the events of sounds that come and go are modelled besides, and all else is Gaussian noise. It was fitted "
        "with asdbench; docs/texture.md describes the method with its sources.",
        *data_sections(card.clips, card.content_hashes, card.exposure),
        "## Model",
        table(("what", "value"), _facts(card)),
        table(("machine", "length of a clip by default", "sound"), _machines(card)),
        "## Training",
        settings_table({**card.settings, "seed": card.seed}),
        table(("library", "version"), [(name, version(name)) for name in _LIBRARIES]),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(card)),
        "## How to use it",
        f"```sh\nasdbench generate texture OUT --set checkpoint=DIR --machines {min(card.clips, default='fan')}\n```",
    ]
    return "\n".join([front_matter(head), *(f"{section}\n" for section in sections)])


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    rate, bands = card.transform.sample_rate, card.transform.bands
    return [
        ("numbers that were fitted", f"{card.parameters:,}"),
        ("sample rate", f"{rate} Hz"),
        ("bands", f"{bands}, of {rate / 2 / bands:.4g} Hz each, in frames of {1000 * bands / rate:.4g} ms"),
        ("frames of events", f"{1000 * short_transform(card.transform).bands / rate:.4g} ms"),
    ]


def _machines(card: ModelCard) -> list[tuple[str, str, str]]:
    return [
        (
            machine,
            f"{length / card.transform.sample_rate:.4g} s",
            f"comes and goes: {card.states[machine]} states" if machine in card.states else "stationary",
        )
        for machine, length in sorted(card.num_samples.items())
    ]


def _limits(card: ModelCard) -> list[str]:
    limits = [
        "What is neither level, tone nor event is Gaussian noise: modulation of stationary sounds, phase relations and "
        "rare sounds are not modelled.",
        "Words of a caption act one by one and in pairs. Attributes, faults and severities that no training clip had "
        "change nothing; asdbench lists them as warnings when they are asked for.",
        "A machine or condition without training clips cannot be made.",
        "Frequencies above half the sample rate are missing.",
        "A generated anomaly is no evidence of how a real fault of that name sounds.",
    ]
    without = sorted(machine for machine, conditions in card.clips.items() if not conditions.get("anomaly"))
    if without:
        limits.append(f"No anomalies were among the training clips of {', '.join(without)}: none can be made of these.")
    return limits

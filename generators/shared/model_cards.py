"""What model cards have in common: a README beside a model that says what it was made of, as YAML and Markdown.

The idea is that of M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from asdbench import UserError

from .record import data_hash

CARD = "README.md"
_EXPOSURES: Mapping[str, str] = {
    "same-machine": "anomalies of the machine types that the model makes",
    "other-machines": "anomalies of other machine types only",
    "none": "no anomalies at all",
}


def write_card(folder: Path, text: str) -> None:
    """Write a card to ``folder/README.md``, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    path = folder / CARD
    part = folder / f".{CARD}.{secrets.token_hex(4)}.part"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: the model card cannot be written ({error.strerror})") from error


def front_matter(fields: Mapping[str, Any]) -> str:
    """The head of a card, as model hubs read it."""
    return f"---\n{yaml.safe_dump(dict(fields), sort_keys=False)}---\n"


def data_sections(clips: Mapping[str, Mapping[str, int]], content_hashes: Sequence[str], exposure: str) -> list[str]:
    """Say what a model was trained on.

    Args:
        clips: number of training clips, for each machine type and condition.
        content_hashes: of the training clips.
        exposure: "same-machine", "other-machines" or "none"; others are shown as they are.
    """
    rows = [(machine, name, str(clips[machine][name])) for machine in sorted(clips) for name in sorted(clips[machine])]
    return [
        "## Training data",
        table(("machine", "condition", "clips"), rows),
        f"{len(content_hashes)} clips. Hash over their sorted content hashes: `{data_hash(content_hashes)}`.",
        f"Exposure to anomalies: **{exposure}**" + (f" ({_EXPOSURES[exposure]})." if exposure in _EXPOSURES else "."),
        "The licence of the training data binds what is made of it: see the source of the data.",
    ]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def settings_table(settings: Mapping[str, Any]) -> str:
    """A table of settings, by name."""
    return table(("setting", "value"), [(name, _value(value)) for name, value in sorted(settings.items())])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)

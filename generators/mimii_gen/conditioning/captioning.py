"""Captions for the clips of a training, by template, by a T5 model, or from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from asdbench import ClipSet, UserError, records, warn
from asdbench.pretrained.files import identity_of

from ...shared.captions import CaptionRow, Description, caption, omitted, paraphrase_of, read_captions, write_captions
from ...shared.randomness import unit
from ...shared.record import record_row
from ..generator import CAPTION_SOURCES
from ..training.examples import Example
from .caption_t5 import PROMPT, CaptionWriter

if TYPE_CHECKING:
    from ..generator import MimiiGen


@dataclass(frozen=True)
class Captioned:
    """A training clip with what is said of it.

    Attributes:
        example: what is trained on.
        description: what the caption states.
        row: its row of the record, see `record.COLUMNS`.
    """

    example: Example
    description: Description
    row: dict[str, Any]


def captioned_clips(generator: MimiiGen, clips: ClipSet, folder: Path, device: torch.device) -> list[Captioned]:
    """Say of every clip what is known of it.

    Args:
        generator: its settings say how.
        clips: of known condition.
        folder: where captions of a model are kept, so that a training that goes on need not write them again.
        device: for a model that writes captions.

    Raises:
        UserError: a clip cannot be described, or a file of captions lacks one.
    """
    rows = records(clips.frame)
    described = [_description(generator, row) for row in rows]
    captions = _captions(generator, rows, described, folder, device)
    return [
        _captioned(row, description, text) for row, description, text in zip(rows, described, captions, strict=True)
    ]


def _description(generator: MimiiGen, row: dict[str, Any]) -> Description:
    """What the caption of a clip states: all that is known, but of some anomalies neither fault nor severity.

    Without those the network would not know what to make of a caption that names no fault. What captions from a file
    state is up to their author.
    """
    description = Description.of_clip(row)
    if generator.captions not in CAPTION_SOURCES:
        return description
    if unit("vague", str(generator.seed), row["content_hash"]) < generator.vague_captions:
        return replace(description, fault=None, severity=None)
    return description


def _captions(
    generator: MimiiGen,
    rows: Sequence[dict[str, Any]],
    described: Sequence[Description],
    folder: Path,
    device: torch.device,
) -> list[str]:
    contents = [row["content_hash"] for row in rows]
    if generator.captions not in CAPTION_SOURCES:
        known = read_captions(Path(generator.captions))
        missing = [row["clip_id"] for row in rows if row["content_hash"] not in known]
        if missing:
            raise UserError(
                f"{generator.captions}: {len(missing)} of {len(rows)} clips have no caption; the first is {missing[0]}"
            )
        return [known[content] for content in contents]
    if generator.captions == "template":
        return [
            caption(description, paraphrase_of(generator.seed, content))
            for description, content in zip(described, contents, strict=True)
        ]
    file = folder / f"captions-{_writing_id(generator, contents, described)}.csv"
    known = read_captions(file) if file.is_file() else {}
    if not set(contents) <= set(known):
        written = CaptionWriter(generator.caption_model, device).write(described)
        known = dict(zip(contents, written, strict=True))
        write_captions(
            file, [CaptionRow(row["content_hash"], row["clip_id"], known[row["content_hash"]]) for row in rows]
        )
        _warn_of_omitted(described, written)
    return [known[content] for content in contents]


def _writing_id(generator: MimiiGen, contents: Sequence[str], described: Sequence[Description]) -> str:
    """Hash of what captions of a model depend on: the model, and what it is given of which clips."""
    labels = sorted(
        (content, description.metadata_text()) for content, description in zip(contents, described, strict=True)
    )
    what = [identity_of(generator.caption_model, "caption_model"), PROMPT, labels]
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=8).hexdigest()


def _warn_of_omitted(described: Sequence[Description], written: Sequence[str]) -> None:
    left_out = [(text, omitted(description, text)) for description, text in zip(described, written, strict=True)]
    left_out = [(text, missing) for text, missing in left_out if missing]
    if left_out:
        text, missing = left_out[0]
        warn(
            f"mimii_gen: {len(left_out)} of {len(written)} captions that the T5 model wrote leave something out; "
            f"the first, '{text}', leaves out {', '.join(missing)}"
        )


def _captioned(row: dict[str, Any], description: Description, text: str) -> Captioned:
    example = Example(row["content_hash"], row["clip_id"], row["machine"], row["condition"], text)
    return Captioned(example, description, record_row(row, description, text))

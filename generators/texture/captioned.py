"""Training clips with the captions that a texture model is conditioned on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asdbench import ClipSet, UserError, records, warn

from ..shared.captions import Description, caption, group_words, label_values, paraphrase_of, readable
from ..shared.randomness import unit
from .words import words_of

__all__ = ["FEWEST", "CaptionedClip", "captioned_clips", "severity_phrases", "vocabulary_of"]

FEWEST = 4
"""Clips of a machine and condition that can be learnt from."""
_CONDITIONS = {"normal": "normal", "anomaly": "anomalous"}


@dataclass(frozen=True)
class CaptionedClip:
    """A training clip.

    Attributes:
        index: its place in the clip set.
        row: of the clip set.
        description: what the caption says.
        caption: the caption.
    """

    index: int
    row: Mapping[str, Any]
    description: Description
    caption: str

    @property
    def names(self) -> tuple[str, ...]:
        """Words of machine and condition."""
        return group_words(self.description)

    @property
    def base(self) -> tuple[str, ...]:
        """Words of the machine's normal clips."""
        return group_words(replace(self.description, condition="normal", fault=None, severity=None))

    @property
    def labels(self) -> dict[str, frozenset[str]]:
        """Words of each label, by the label's name."""
        said = self.description
        labels = dict(said.attributes) | {
            "fault": said.fault or "",
            "severity": said.severity_word or "",
            "domain": said.domain,
        }
        return {name: words_of(readable(value)) for name, value in labels.items()}


def captioned_clips(clips: ClipSet, exposure: str, seed: int, vague: float) -> list[CaptionedClip]:
    """Describe the clips of known condition; nothing can be said of the others.

    Of some anomalies neither fault nor severity is named: else the model would not know what to make of a caption that
    names no fault.

    Args:
        clips: the training clips.
        exposure: whose anomalies are among them.
        seed: of the training.
        vague: share of such anomalies.

    Raises:
        UserError: there are too few clips of a machine and condition.
    """
    unknown = int((clips.frame["condition"] == "unknown").sum())
    if unknown:
        warn(f"texture: {unknown} of {len(clips)} clips are left out, it is not known whether they are normal")
    captioned = []
    for index, row in enumerate(records(clips.frame)):
        if row["condition"] == "unknown":
            continue
        description = Description.of_clip(row)
        if unit("vague", str(seed), row["content_hash"]) < vague:
            description = replace(description, fault=None, severity=None)
        text = caption(description, paraphrase_of(seed, row["content_hash"]))
        captioned.append(CaptionedClip(index, row, description, text))
    _require_enough(captioned, exposure)
    return captioned


def vocabulary_of(clips: Sequence[CaptionedClip]) -> set[str]:
    """Texts whose words may be features: the labels that captions name."""
    return {value for clip in clips for value in label_values(clip.description)}


def severity_phrases(clips: Sequence[CaptionedClip]) -> set[str]:
    """Words for the severity of clips, such as "barely audible", without those that also name anything else.

    A caption that has the latter, say of a load that is "slight", need not speak of a severity.
    """
    said = [clip.description for clip in clips]
    others = {word for each in said for word in words_of(replace(each, severity=None).metadata_text())}
    severities = {each.severity_word for each in said if each.severity_word}
    return {severity for severity in severities if others.isdisjoint(words_of(severity))}


def _require_enough(clips: Sequence[CaptionedClip], exposure: str) -> None:
    hint = "'holdout' in the spec sets how many are kept for generators"
    if not clips:
        raise UserError(f"texture: there are no clips to learn from; {hint}")
    if exposure != "none" and all(clip.description.condition == "normal" for clip in clips):
        raise UserError(
            f"texture: there are no anomalous clips to learn from ({len(clips)} normal ones were found) with exposure "
            f"'{exposure}'; keep some with 'holdout: {{anomaly: …}}', or set exposure to 'none'"
        )
    counts: dict[tuple[str, str], int] = {}
    for clip in clips:
        for condition in _CONDITIONS:
            counts.setdefault((clip.description.machine, condition), 0)
        counts[clip.description.machine, clip.description.condition] += 1
    for (machine, condition), count in sorted(counts.items()):
        optional = condition == "anomaly" or exposure == "other-machines"
        if count < FEWEST and not (optional and count == 0):
            raise UserError(
                f"texture: there are {count} {_CONDITIONS[condition]} clips of machine '{machine}' to learn from, "
                f"expected {'none or ' if optional else ''}{FEWEST} or more; {hint}"
            )

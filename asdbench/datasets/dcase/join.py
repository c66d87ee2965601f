"""Joining anonymous clips of DCASE Task 2 with their truth."""

from __future__ import annotations

from collections import defaultdict

from asdbench import UserError
from asdbench.datasets.dcase.attributes import merge_attributes
from asdbench.datasets.dcase.clips import Clip, Row
from asdbench.datasets.dcase.names import parse_name
from asdbench.datasets.dcase.truth import ClipTruth, Truth

_Section = tuple[str, str]
"""Section and the domain that names give it, if they do."""


def add_truth(machine: str, clips: list[Clip], rows: list[Row], truth: Truth) -> None:
    """Fill in what the truth files say of a machine's test clips.

    Raises:
        UserError: truth and clips of a section are not the same set, or truth and name contradict each other.
    """
    known = truth.get(machine, {})
    if not known:
        return
    _check_coverage(clips, known)
    for clip, row in zip(clips, rows, strict=True):
        told = known.get(clip.stem)
        if told is None or clip.split != "test":
            continue
        for kind, (value, where) in told.values.items():
            if row[kind] == "none":
                continue  # data without domains stay so
            if row[kind] and row[kind] != value:
                raise UserError(f"{where}: the {kind} of {clip.path} is '{value}' here but '{row[kind]}' in its name")
            row[kind] = value
        if told.attributes:
            row["attributes"] = merge_attributes(row["attributes"], told.attributes, told.places["attributes"])


def _check_coverage(clips: list[Clip], known: dict[str, ClipTruth]) -> None:
    """Truth and anonymous clips of a section must be the same set, or the truth is of other data.

    Sections without anonymous clips are not looked at: there is nothing to join, and truth often covers more sections
    than were downloaded.
    """
    tests: dict[_Section, dict[str, Clip]] = defaultdict(dict)
    anonymous: set[_Section] = set()
    for clip in clips:
        if clip.split == "test":
            section = (clip.name.section, clip.name.domain)
            tests[section][clip.stem] = clip
            if not clip.name.condition:
                anonymous.add(section)
    for kind in ("condition", "domain", "attributes"):
        told: dict[_Section, dict[str, str]] = defaultdict(dict)
        for base, clip_truth in known.items():
            name = parse_name(base)
            if kind in clip_truth.places and name is not None:
                told[name.section, name.domain][base] = clip_truth.places[kind]
        for section in sorted(anonymous & set(told)):
            for base, where in told[section].items():
                if base not in tests[section]:
                    raise UserError(f"{where}: there is no test clip '{base}' under the data root")
            for base, clip in tests[section].items():
                # Clips without attributes need no row, and named clips say what they are themselves.
                if kind != "attributes" and not clip.name.condition and base not in told[section]:
                    table = next(iter(told[section].values())).rpartition(", row ")[0]
                    raise UserError(f"{table}: there is no row for the test clip {clip.path}")

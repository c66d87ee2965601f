"""One recording of a plain folder data set, before it is assigned to training or test."""

from __future__ import annotations

from dataclasses import dataclass, field

PARENT = "parent"
"""Grouping by the folder that a file lies in."""


@dataclass(frozen=True)
class Item:
    """One recording.

    Attributes:
        clip_id: its path relative to the root, with forward slashes.
        path: its absolute path.
        condition: "normal" or "anomaly".
        place: where that was said, for messages: the path itself, or file and row of the manifest.
        machine: its machine type.
        section: its section.
        domain: "source", "target", "none" or "unknown".
        split: "train" or "test" where that is given, else "".
        group: what must not straddle the split; "" for the clip alone.
        attributes: free columns of the manifest.
    """

    clip_id: str
    path: str
    condition: str
    place: str
    machine: str
    section: str = "00"
    domain: str = "none"
    split: str = ""
    group: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


def parent(clip_id: str) -> str:
    """Name of the folder that a clip lies in, as a group."""
    return clip_id.rpartition("/")[0] or "."

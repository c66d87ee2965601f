"""Long recordings cut into clips of one length as they are read; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from asdbench.audio import duration
from asdbench.datasets.folder.items import Item
from asdbench.segments import cut


def cut_items(items: Sequence[Item], clip_seconds: float, hop_seconds: float) -> list[Item]:
    """The clips that recordings are cut into; the recording is their group where they have none.

    A recording that is too short for a clip, or cannot be read, gives one clip, whose inspection says what is wrong.

    Args:
        items: the recordings.
        clip_seconds: duration of a clip.
        hop_seconds: time from the beginning of one clip to that of the next.
    """
    clips = []
    for item in items:
        seconds = duration(item.path)
        pieces = cut(item.path, clip_seconds if seconds is None else seconds, clip_seconds, hop_seconds)
        pieces = pieces or cut(item.path, clip_seconds, clip_seconds, hop_seconds)
        width = len(pieces[-1][1].partition(".")[0])
        stem, suffix = os.path.splitext(item.clip_id)
        for place, start in pieces:
            whole, dot, rest = start.partition(".")
            name = f"{stem}#{whole.zfill(width)}{dot}{rest}s{suffix}"
            clips.append(replace(item, clip_id=name, path=place, group=item.group or item.clip_id))
    return clips

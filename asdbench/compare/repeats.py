"""Repeated audio: clips of one test set with the same audio are one clip, however often they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asdbench.audio_hash import as_read

if TYPE_CHECKING:
    import pandas as pd

_SET = ["machine", "detector", "source", "seed", "generation_seed", "split", "condition"]


def by_audio(scores: pd.DataFrame) -> pd.DataFrame:
    """A score table whose ``content_hash`` is that of the audio as it is read, where the table knows it.

    A stereo twin of a clip has a content hash of its own, yet it is the same clip to a detector.
    """
    if not {"content_hash", "audio_hash"} <= set(scores.columns):
        return scores
    return scores.assign(content_hash=as_read(scores))


def without_repeats(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score table without repeated audio among the test clips of one set and condition.

    Ten equal clips say no more than one: counted as ten, they make intervals too narrow. Of each the one whose
    ``clip_id`` comes first stays. Clips without a content hash stay, and so do training clips, from whose scores
    thresholds follow as detectors were fitted.

    Args:
        scores: has the columns of `asdbench.compare.testsets.COLUMNS`; a table that lacks some is returned as it is.
    """
    if not {*_SET, "clip_id", "content_hash"} <= set(scores.columns):
        return scores
    ordered = scores.reset_index(drop=True).sort_values("clip_id", kind="stable")
    repeated = ordered.duplicated([*_SET, "content_hash"]) & ~ordered.duplicated([*_SET, "clip_id"])
    repeated &= (ordered["split"] == "test") & (ordered["content_hash"] != "")
    return scores[~repeated.sort_index().to_numpy()]

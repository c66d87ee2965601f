"""The same audio under two names: refused where the names contradict each other, else kept together.

The same is what is the same as it is read, in one channel and at one rate: a stereo or 48 kHz twin is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from asdbench.audio_hash import as_read
from asdbench.clips import GROUP
from asdbench.errors import UserError
from asdbench.inspection import SHOWN

if TYPE_CHECKING:
    import pandas as pd


def refuse_contradictions(frames: Iterable[pd.DataFrame]) -> None:
    """Check that no audio is labelled both normal and anomalous.

    Args:
        frames: the measured clips of each machine; see `asdbench.ClipSet`.

    Raises:
        UserError: names the pairs of files, of all machines.
    """
    pairs = [pair for frame in frames for pair in _pairs(frame, frame["condition"].tolist(), ("normal", "anomaly"))]
    if pairs:
        raise UserError(
            f"the same audio is labelled normal and anomalous: {pairs_named(pairs)}; remove the wrong one of each pair"
        )


def refuse_divided(frame: pd.DataFrame, given: Sequence[str]) -> None:
    """Check that no audio is given both to training and to test.

    Args:
        frame: the measured clips of a machine.
        given: "train", "test" or "" of each clip, as the recordings say.

    Raises:
        UserError: names the pairs of files.
    """
    pairs = _pairs(frame, given, ("train", "test"))
    if pairs:
        raise UserError(
            f"the same audio is given to training and to test: {pairs_named(pairs)}; remove one file of each pair"
        )


def _pairs(frame: pd.DataFrame, labels: Sequence[str], two: tuple[str, str]) -> list[str]:
    """The files of the same audio that have two labels: each file stands in a pair, so that all are named."""
    pairs: list[str] = []
    labelled = frame.assign(label=list(labels), same=as_read(frame))
    labelled = labelled[labelled["label"].isin(two)]
    twice = labelled[labelled["same"].duplicated(keep=False)]
    for _, copies in twice.groupby("same", sort=False):
        one, other = (copies["path"][copies["label"] == what].tolist() for what in two)
        count = max(len(one), len(other)) if one and other else 0
        pairs += [f"{one[min(i, len(one) - 1)]} and {other[min(i, len(other) - 1)]}" for i in range(count)]
    return pairs


def note_on_copies(frames: Iterable[pd.DataFrame]) -> str:
    """What is worth knowing where clips of a machine have the same audio, "" where none have."""
    sets = [
        copies["path"].tolist()
        for frame in (frame.assign(same=as_read(frame)) for frame in frames)
        for _, copies in frame[frame["same"].duplicated(keep=False)].groupby("same", sort=False)
    ]
    if not sets:
        return ""
    shown = [f"{' = '.join(paths[:SHOWN])}{' = …' if len(paths) > SHOWN else ''}" for paths in sets]
    return (
        f"{sum(map(len, sets))} clips are copies of each other and stay together in training, in the test set or with "
        f"generators: {pairs_named(shown)}"
    )


def pairs_named(pairs: Sequence[str]) -> str:
    """The first pairs of files, and how many more there are."""
    return "; ".join(pairs[:SHOWN]) + (f"; and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def groups_with_copies(frame: pd.DataFrame) -> pd.Series[str]:
    """The groups of clips, joined where they hold copies of each other: copies, like cuts, have one role.

    Args:
        frame: the measured clips of one machine; see `asdbench.ClipSet`.

    Returns:
        A group a clip; groups that are joined have the name of the first of them in alphabetical order.
    """
    joined: dict[str, str] = {}

    def root(group: str) -> str:
        while (above := joined.get(group, group)) != group:
            joined[group] = joined.get(above, above)
            group = above
        return group

    for _, groups in frame.groupby(as_read(frame), sort=False)[GROUP]:
        roots = sorted({root(group) for group in groups})
        joined.update(dict.fromkeys(roots[1:], roots[0]))
    return frame[GROUP].map(root)

"""Divisions of training clips by group: cuts of one recording are trained on, or held out, together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from asdbench import warn

Groups = npt.NDArray[np.int64]
"""Number of the group of each clip, from 0 without gaps."""


def groups_of(frame: pd.DataFrame) -> Groups | None:
    """The groups of clips, None where each clip is a group of its own.

    Args:
        frame: see `asdbench.ClipSet`.
    """
    numbers, names = pd.factorize(frame["group"])
    return numbers.astype(np.int64) if len(names) < len(frame) else None


def folds(count: int, most: int, groups: Groups | None, least: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A fold for each clip, whole groups where that leaves enough; where it does not, a warning says so.

    Args:
        count: number of clips.
        most: folds at most.
        groups: of the clips.
        least: clips that have to be left when a fold is held out.
        rng: draws the folds.
    """
    if groups is not None:
        number = int(groups.max()) + 1
        chosen: npt.NDArray[np.int64] = (rng.permutation(number) % min(most, number))[groups]
        if number > 1 and count - np.bincount(chosen).max() >= least:
            return chosen
        warn(
            f"{count} training clips of {number} group{'s' if number > 1 else ''} are divided into folds by clip, "
            f"since a fold of whole groups leaves fewer than {least} clips"
        )
    return rng.permutation(count) % min(most, count)


def held_out_groups(sizes: npt.ArrayLike, groups: Groups, share: float, order: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which clips are held out: whole groups in an order, for as long as these come nearer to the share.

    Args:
        sizes: of the clips, such as their numbers of vectors.
        groups: of the clips; there are two at least.
        share: of the total size.
        order: of the groups, all of them.

    Returns:
        A mask of clips; one group is held out at least and one is not, where the share is above zero.
    """
    by_group = np.bincount(groups, weights=np.asarray(sizes, dtype=float))
    target, taken = share * by_group.sum(), 0.0
    chosen: list[int] = []
    for group in np.asarray(order)[:-1] if share > 0 else ():
        if not chosen or abs(target - taken - by_group[group]) < abs(target - taken):
            chosen.append(int(group))
            taken += by_group[group]
    return np.isin(groups, chosen)

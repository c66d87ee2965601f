"""Which clips are kept for generators: shares of the clips, or of their groups, so that no recording has two roles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from asdbench.seeding import derive_seed

Rows = npt.NDArray[np.int_]


def held_out(frame: pd.DataFrame, rows: Rows, name: str, amount: float, seed: int) -> tuple[Rows, str]:
    """Choose the clips to hold out, whole groups where clips have groups.

    Single clips are taken from each section and domain by largest remainder, groups until their size comes nearest to
    the amount; groups are taken from each section and domain where each has two of them. What is chosen depends on the
    seed and on the clips' content, not on names, places or order.

    Args:
        frame: the clips of one machine; see `asdbench.ClipSet`.
        rows: positions of those that are divided.
        name: of the division; others draw other clips.
        amount: a share (below 1) or a number of clips.
        seed: of the hold-out.

    Returns:
        Positions of the clips held out, and a sentence where a group had to be divided, else "".
    """
    total = _total(amount, len(rows))
    if total <= 0:
        return rows[:0], ""
    groups = frame["group"].to_numpy(dtype=object)[rows].astype(str)
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) == len(rows):
        return _single_clips(frame, rows, name, total, seed), ""
    if len(names) == 1:
        note = f"all {len(rows)} clips are of the group '{names[0]}', which is divided; at least two groups are needed"
        return _single_clips(frame, rows, name, total, seed), note
    chosen: set[str] = set()
    for part in _strata(frame, rows):
        chosen |= _drawn(frame, part, total * len(part) / len(rows), name, seed)
    smallest = str(names[np.argmin(sizes)])
    if not chosen:  # every group is too large for the amount
        chosen = {smallest}
    elif len(chosen) == len(names) and total < len(rows):  # one group stays, as one clip does
        chosen.remove(smallest)
    return rows[np.isin(groups, list(chosen))], ""


def _total(amount: float, count: int) -> int:
    """Number of clips; a share is rounded up, so that half of an odd number leaves generators as many as the tests."""
    if amount >= 1:
        return min(int(amount), count)
    return min(int(np.ceil(amount * count - 1e-9)), count - 1)  # one clip stays


def _strata(frame: pd.DataFrame, rows: Rows) -> Sequence[Rows]:
    """Rows by section and domain, or together where one of these has a single group or a group lies in two."""
    chosen = frame.iloc[rows]
    parts = [rows[places] for places in chosen.groupby(["section", "domain"], sort=True).indices.values()]
    groups = [set(frame["group"].iloc[part]) for part in parts]
    if sum(len(one) for one in groups) > chosen["group"].nunique() or min(map(len, groups), default=0) < 2:
        return [rows]
    return parts


def _drawn(frame: pd.DataFrame, rows: Rows, target: float, name: str, seed: int) -> set[str]:
    """Draw groups until their size comes nearest to the target."""
    by_group = frame.iloc[rows].groupby("group")["content_hash"]
    sizes, first = by_group.size(), by_group.min()
    drawn: set[str] = set()
    count = 0
    for group in sorted(sizes.index, key=lambda group: derive_seed(seed, "holdout", name, first[group])):
        if abs(target - count - sizes[group]) < abs(target - count):
            drawn.add(group)
            count += sizes[group]
    return drawn


def _single_clips(frame: pd.DataFrame, rows: Rows, name: str, total: int, seed: int) -> Rows:
    chosen = frame.iloc[rows]
    strata = [part.index.to_numpy() for _, part in chosen.groupby(["section", "domain"], sort=True)]
    quotas = np.array([total * len(part) / len(rows) for part in strata])
    counts = np.floor(quotas + 1e-9).astype(int)
    for index in np.argsort(counts - quotas, kind="stable")[: total - counts.sum()]:
        counts[index] += 1
    picked = []
    for part, count in zip(strata, counts, strict=True):
        order = sorted(part, key=lambda row: derive_seed(seed, "holdout", name, frame["content_hash"].iat[row]))
        picked += order[:count]
    return np.array(sorted(picked), dtype=int)

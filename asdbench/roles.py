"""Who may see which real clips: detector training, test sets and generators are disjoint, and this is checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.seeding import derive_seed
from asdbench.spec import Holdout


@dataclass(frozen=True)
class Roles:
    """The clips of one machine, by who may use them.

    Attributes:
        fit: normal training clips that detectors learn from.
        test: the real clips of the test sets.
        pool: real clips, normal and anomalous, that generators may use.
    """

    fit: ClipSet
    test: ClipSet
    pool: ClipSet


def assign_roles(clips: ClipSet, holdout: Holdout) -> Roles:
    """Divide the clips of one machine.

    Which clips are held out depends on the hold-out's seed and the clips' content, not on names, places or order.

    Raises:
        UserError: there is nothing to fit on, or the same audio would have two roles (the message names the files).
    """
    frame = clips.frame
    train = (frame["split"] == "train").to_numpy()
    normal, anomaly = (frame["condition"] == "normal").to_numpy(), (frame["condition"] == "anomaly").to_numpy()
    held = train & anomaly  # no detector learns from anomalies; a generator may
    for name, mask in (("train", train & normal), ("normal", ~train & normal), ("anomaly", ~train & anomaly)):
        held[_held_out(frame, np.flatnonzero(mask), name, getattr(holdout, name), holdout.seed)] = True
    roles = np.where(held, "pool", np.where(train, "fit", "test"))
    labelled = np.char.add(roles.astype(str), np.where(anomaly, ", anomaly", ""))
    refuse_shared_audio(zip(labelled.tolist(), frame["path"], frame["content_hash"], strict=True))
    fit = clips.select((roles == "fit") & normal)
    if not len(fit):
        machine = frame["machine"].iat[0] if len(frame) else "?"
        raise UserError(
            f"machine {machine!r} has no normal training clip left to fit detectors on "
            f"({int((train & normal).sum())} found, {int((held & train).sum())} of them held out)"
        )
    return Roles(fit=fit, test=clips.select(roles == "test"), pool=clips.select(roles == "pool"))


def refuse_shared_audio(uses: Iterable[tuple[str, str, str]]) -> None:
    """Check that no audio has two roles.

    Args:
        uses: (role, path, content hash) of each clip.

    Raises:
        UserError: names the two files.
    """
    seen: dict[str, tuple[str, str]] = {}
    found: list[str] = []
    for role, path, content in uses:
        first = seen.setdefault(content, (role, path))
        if first[0] != role:
            found.append(f"{first[1]} ({_WORDS.get(first[0], first[0])}) and {path} ({_WORDS.get(role, role)})")
    if found:
        more = f" (and {len(found) - 1} more pairs)" if len(found) > 1 else ""
        raise UserError(f"the same audio has two roles: {found[0]}{more}; remove one of the files")


_WORDS = {
    "fit": "detector training",
    "test": "test, normal",
    "test, anomaly": "test, anomalous",
    "pool": "held out for generators, normal",
    "pool, anomaly": "held out for generators, anomalous",
}


def _held_out(frame: pd.DataFrame, rows: np.ndarray, name: str, amount: float, seed: int) -> np.ndarray:
    """Positions of the clips to hold out: ``amount`` of ``rows``, over sections and domains by largest remainder."""
    if amount >= 1:
        total = min(int(amount), len(rows))
    else:
        # Rounded up, so that half of an odd number leaves generators as many as the test sets; but one clip stays.
        total = min(int(np.ceil(amount * len(rows) - 1e-9)), len(rows) - 1)
    if total <= 0:
        return rows[:0]
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

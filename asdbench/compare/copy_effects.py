"""What near copies do to the figures: the AUC with and without the clips that another role has too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asdbench.compare.testsets import REAL
from asdbench.frames import frame_of
from asdbench.metrics.detection import mann_whitney_auc

if TYPE_CHECKING:
    import pandas as pd

EFFECT_COLUMNS = ("machine", "source", "detector", "n_copies", "n_clips", "auc", "auc_without", "reason")
"""Columns of the table: ``source`` is "real" (copies among the test clips) or the generator whose clips are copies;
``n_copies`` of the ``n_clips`` test clips of a repetition, mean over repetitions; the AUCs are means over repetitions
of normal clips against real or generated anomalous clips. A row without ``auc_without`` has a ``reason``."""


def copy_effects(scores: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """AUCs with and without near copies; a table without rows where there are no near copies.

    Args:
        scores: the score table, without repeats.
        near: with the columns of `asdbench.compare.heard.NEAR_COLUMNS`.
    """
    rows = []
    test = scores[scores["split"] == "test"]
    for (machine, source), pairs in near.groupby(["machine", "generator"], sort=False):
        copies = set(zip(pairs["seed"], pairs["clip_id"], strict=True))
        own = test[test["machine"] == machine]
        normal = own[(own["source"] == REAL) & (own["condition"] == "normal")]
        anomaly = own[(own["source"] == source) & (own["condition"] == "anomaly")]
        for detector, theirs in anomaly.groupby("detector", sort=True):
            aucs, without, counts = [], [], []
            for (seed, _), some in theirs.groupby(["seed", "generation_seed"]):
                against = normal[(normal["detector"] == detector) & (normal["seed"] == seed)]
                chosen = [part[~_copied(part, copies)] for part in (against, some)]
                counts.append([len(against) + len(some), sum(map(len, chosen))])
                aucs.append(_auc(against, some))
                without.append(_auc(*chosen))
            total, left = np.mean(counts, axis=0)
            reason = "" if np.isfinite(without).all() else "no normal or no anomalous clip is left without the copies"
            rows.append(
                {"machine": machine, "source": source, "detector": detector}
                | {"n_copies": float(total - left), "n_clips": float(total)}
                | {"auc": float(np.mean(aucs)), "auc_without": float(np.mean(without)), "reason": reason}
            )
    return frame_of(rows, EFFECT_COLUMNS)


def _copied(part: pd.DataFrame, copies: set[tuple[int, str]]) -> np.ndarray:
    pairs = zip(part["generation_seed"], part["clip_id"], strict=True)
    return np.array([pair in copies for pair in pairs], dtype=bool)


def _auc(normal: pd.DataFrame, anomaly: pd.DataFrame) -> float:
    if not (len(normal) and len(anomaly)):
        return float("nan")
    return mann_whitney_auc(normal["score"].to_numpy(), anomaly["score"].to_numpy())

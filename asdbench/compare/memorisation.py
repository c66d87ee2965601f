"""Memorisation: whether a generator gives training clips back.

For each generated clip the most alike of the clips that the generator has learnt from is found by fingerprint
(`asdbench.fingerprinting`), and likewise for real clips that it has not learnt from: the test clips. If generated clips
are no nearer to the training clips than other real clips are, the generator has not copied. The figure is the share of
pairs of a generated and a held-out clip of which the generated one is nearer (an AUC): 0.5 where both are as near,
below where generated clips are further off, 1 where every generated clip is a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.estimates import auc_estimate, mean_of, score_interval
from asdbench.frames import records

if TYPE_CHECKING:
    import pandas as pd

NEAREST_COLUMNS = (
    "machine",
    "generator",
    "seed",
    "set",
    "condition",
    "clip_id",
    "nearest",
    "cosine",
    "n_training",
    "reason",
)
"""Columns of the table of nearest training clips: ``set`` is "generated" or "held-out"; ``cosine`` of the fingerprints.
A row with a ``reason`` and no clip says why there are no others."""

MEMORISATION_COLUMNS = (
    "machine",
    "generator",
    "n_training",
    "n_generated",
    "n_held_out",
    "n_seeds",
    "nearer",
    "nearer_low",
    "nearer_high",
    "copies",
    "verdict",
    "cosine_generated",
    "cosine_held_out",
    "n_beyond",
    "most_alike",
    "its_training_clip",
    "its_cosine",
    "reason",
)
"""Columns of the table of memorisation: ``nearer`` is the module's figure, mean over seeds, with its interval;
``copies`` says whether the interval lies above 0.5, ``verdict`` the same in the words of the printed table ("" where
there is no interval); ``cosine_…`` are medians; ``n_beyond`` counts the generated clips of all seeds that are nearer to
a training clip than any held-out clip is."""

COPIES, NO_COPIES = "copies", "no sign of copies"
"""The verdicts."""
GENERATED, HELD_OUT = "generated", "held-out"


def memorisation_rows(nearest: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """Judge each generator on each machine.

    Args:
        nearest: has `NEAREST_COLUMNS`.
        confidence: of the intervals.

    Returns:
        Rows with `MEMORISATION_COLUMNS`, in the order in which machines and generators come.
    """
    return [
        {"machine": machine, "generator": generator} | _judge(rows, str(generator), confidence)
        for (machine, generator), rows in nearest.groupby(["machine", "generator"], sort=False)
    ]


def _judge(rows: pd.DataFrame, generator: str, confidence: float) -> dict[str, Any]:
    estimates = []
    for (seed, condition), own in rows.groupby(["seed", "condition"]):
        made, held = (
            own.loc[own["set"] == name, "cosine"].to_numpy(dtype=np.float64) for name in (GENERATED, HELD_OUT)
        )
        if len(made) and len(held):
            # The held-out clips are the same for every seed, and so near to what was learnt where that is the same.
            pools = ("normal", HELD_OUT, str(condition)), ("anomaly", generator, str(condition), int(str(seed)))
            estimates.append(auc_estimate(held, made, *pools))
    reason = "; ".join(dict.fromkeys(str(text) for text in rows["reason"] if text))
    seeds = rows.loc[rows["set"] == GENERATED, "seed"].nunique()
    row: dict[str, Any] = {name: float("nan") for name in MEMORISATION_COLUMNS[6:-1]}
    row |= {"n_training": 0, "n_generated": 0, "n_held_out": 0, "n_seeds": seeds, "copies": None, "verdict": ""}
    row |= {"n_beyond": 0, "most_alike": "", "its_training_clip": "", "reason": reason}
    if not estimates:
        return row | {"reason": reason or "there are no clips to compare"}
    mean = mean_of(estimates)
    low, high = score_interval(mean, confidence)
    made_clips, held_clips = (rows[rows["set"] == name] for name in (GENERATED, HELD_OUT))
    top = records(made_clips.nlargest(1, "cosine"))[0]
    row |= {"nearer": mean.value, "nearer_low": low, "nearer_high": high}
    if not np.isnan(low):
        row |= {"copies": bool(low > 0.5), "verdict": COPIES if low > 0.5 else NO_COPIES}
    row |= {
        "cosine_generated": float(made_clips["cosine"].median()),
        "cosine_held_out": float(held_clips["cosine"].median()),
    }
    largest = made_clips["condition"].map(held_clips.groupby("condition")["cosine"].max())
    row |= {"n_beyond": int((made_clips["cosine"] > largest).sum())}
    row |= {"most_alike": top["clip_id"], "its_training_clip": top["nearest"], "its_cosine": top["cosine"]}
    counts = {"n_generated": made_clips, "n_held_out": held_clips}
    row |= {name: int(part.groupby("seed").size().max()) for name, part in counts.items()}
    return row | {"n_training": int(made_clips["n_training"].max())}

"""What follows from published AUCs alone: pairs of original and generated AUC, and the numbers of clips.

Without scores, the noise of a perfect generator comes from the binormal model (`asdbench.compare.power`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asdbench.compare.agreement import CORRELATIONS, MIN_CELLS
from asdbench.compare.perfect import inside
from asdbench.compare.power import clips_needed, perfect_gap
from asdbench.compare.verdict import MARGIN
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 20_000


@dataclass(frozen=True)
class PublishedSummary:
    """Summary of a published table.

    Attributes:
        cells: one row a machine: ``machine``, ``auc_original``, ``auc_generated``, ``gap``, ``floor`` and
            ``floor_high`` (mean and 95th percentile of a perfect generator's |gap|), ``p`` of a perfect generator,
            ``n_needed`` (clips of each kind that show a gap of the margin).
        mean_gap: signed, as a fraction, like the following.
        mean_abs_gap: mean |gap|.
        mean_floor: mean |gap| that a perfect generator is expected to show.
        p_abs: how often a perfect generator shows a mean |gap| as large.
        p_signed: how often it shows a mean gap as far from 0 (two-sided).
        pearson: of the AUCs over machines; NaN with fewer than three; likewise ``spearman`` and ``kendall``.
        sentence: what follows, in words.
    """

    cells: pd.DataFrame
    mean_gap: float
    mean_abs_gap: float
    mean_floor: float
    p_abs: float
    p_signed: float
    pearson: float
    spearman: float
    kendall: float
    sentence: str


def published_summary(
    pairs: Mapping[str, tuple[float, float]], n_normal: int, n_anomaly: int, margin: float = MARGIN
) -> PublishedSummary:
    """Summarise published AUCs.

    Args:
        pairs: AUC on the original and on the generated set by machine, as fractions.
        n_normal: normal clips of a machine, shared by its two sets.
        n_anomaly: anomalous clips of each set.
        margin: largest gap that does not matter.

    Raises:
        ValueError: there is no pair, an AUC is not in [0, 1], or there is no clip.
    """
    import pandas as pd
    from scipy import stats

    if not pairs:
        raise ValueError("there is no pair of AUCs; expected at least one machine")
    for machine, aucs in pairs.items():
        if not all(0 <= auc <= 1 for auc in aucs):
            raise ValueError(f"{machine} has the AUCs {aucs}; expected fractions between 0 and 1")
    if min(n_normal, n_anomaly) < 1:
        raise ValueError(f"there are {n_normal} normal and {n_anomaly} anomalous clips; expected at least 1 of each")
    rows, deviations = [], []
    for machine, (original, generated) in pairs.items():
        auc = inside(original, min(n_normal, n_anomaly))
        deviation = perfect_gap(auc, n_normal, n_anomaly, n_anomaly)
        deviations.append(deviation)
        rows.append(
            {
                "machine": machine,
                "auc_original": original,
                "auc_generated": generated,
                "gap": generated - original,
                "floor": deviation * math.sqrt(2 / math.pi),
                "floor_high": deviation * float(stats.norm.ppf(0.975)),
                "p": float(2 * stats.norm.sf(abs(generated - original) / deviation)),
                "n_needed": clips_needed(auc, margin) if margin < max(auc, 1 - auc) else math.nan,
            }
        )
    cells = pd.DataFrame(rows)
    gap = cells["gap"].to_numpy(dtype=np.float64)
    spread = np.array(deviations)
    draws = np.abs(derive_rng("published", list(pairs)).standard_normal((DRAWS, len(gap))) * spread).mean(axis=1)
    mean_gap, mean_abs, floor = float(gap.mean()), float(np.abs(gap).mean()), float(cells["floor"].mean())
    p_abs = float((draws >= mean_abs).mean())
    p_signed = float(2 * stats.norm.sf(abs(mean_gap) / (math.sqrt((spread**2).sum()) / len(gap))))
    correlations = dict.fromkeys(CORRELATIONS, math.nan)
    if len(gap) >= MIN_CELLS:
        x, y = cells["auc_original"].to_numpy(dtype=np.float64), cells["auc_generated"].to_numpy(dtype=np.float64)
        correlations = {name: float(measure(x, y)) for name, measure in CORRELATIONS.items()}
    outside = int((np.abs(gap) > cells["floor_high"].to_numpy()).sum())
    clips = f"with {n_normal} normal and {n_anomaly} anomalous clips a set"
    sentence = (
        f"Mean gap {100 * mean_gap:+.2f} points, mean |gap| {100 * mean_abs:.2f}; {clips} a perfect generator would "
        f"show a mean |gap| of {100 * floor:.1f}, and one as large as observed in {100 * p_abs:.0f} % of experiments: "
        f"{_follows(p_abs, p_signed, outside, len(gap))}"
    )
    return PublishedSummary(cells, mean_gap, mean_abs, floor, p_abs, p_signed, **correlations, sentence=sentence)


def _follows(p_abs: float, p_signed: float, outside: int, machines: int) -> str:
    where = f"{outside} of {machines} machines have a gap outside their own floor"
    if p_signed <= 0.05:
        return f"the gaps lean to one side more than chance explains (p = {p_signed:.3f}), and {where}."
    if p_abs <= 0.05:
        return f"the gaps are larger than chance explains, and {where}."
    return (
        "the numbers do not tell the generator from a perfect one, nor from one that is some points off "
        f"({where}; the mean signed gap has p = {p_signed:.2f})."
    )

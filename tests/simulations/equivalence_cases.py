"""How often a gap at the margin is called equivalent, with 5 to 500 clips of each kind and whatever scores.

Part of `interval_coverage`; alone it prints its rows: ``python tests/simulations/equivalence_cases.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import stats
from shares import Share

from asdbench.compare.estimates import auc_estimate, equivalence_p, gap_interval
from asdbench.compare.verdict import claims_equivalence
from asdbench.seeding import derive_rng

NORMAL, REAL, MADE = ("normal", "real"), ("anomaly", "real"), ("anomaly", "made")
MARGIN = 0.05
CLIPS = (5, 10, 20, 50, 60, 100, 200, 500)
QUANTITY = "false 'equivalent', any scores"

Rng = np.random.Generator
Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


def two_rooms(rng: Rng, n: int) -> Scores:
    """Normal clips in two clusters, anomalies between them, but a tenth of the generated ones above."""
    normal = np.r_[rng.normal(0, 1, n // 2), rng.normal(100, 1, n - n // 2)]
    return normal, rng.normal(50, 1, n), np.where(rng.random(n) < 2 * MARGIN, 200, 50) + rng.normal(size=n)


def two_rooms_by_chance(rng: Rng, n: int) -> Scores:
    """The same, the number of normal clips in each cluster being chance."""
    normal = np.where(rng.random(n) < 0.5, 0, 100) + rng.normal(size=n)
    return normal, rng.normal(50, 1, n), np.where(rng.random(n) < 2 * MARGIN, 200, 50) + rng.normal(size=n)


def rare_generated(rng: Rng, n: int) -> Scores:
    """Everything apart, but one generated anomaly in twenty below all normal clips."""
    made = np.where(rng.random(n) < MARGIN, -50, 50) + rng.normal(size=n)
    return rng.normal(size=n), rng.normal(50, 1, n), made


def rare_real(rng: Rng, n: int) -> Scores:
    """The same of the real anomalies."""
    normal, real, made = rare_generated(rng, n)
    return normal, made, real


def rare_normal(rng: Rng, n: int) -> Scores:
    """One normal clip in twenty between the generated and the real anomalies."""
    normal = np.where(rng.random(n) < MARGIN, 50, 0) + rng.normal(size=n)
    return normal, rng.normal(60, 1, n), rng.normal(40, 1, n)


def rare_everywhere(rng: Rng, n: int) -> Scores:
    """A third of the gap from rare normal clips, two thirds from rare generated ones."""
    normal = np.where(rng.random(n) < MARGIN / 3, 50, 0) + rng.normal(size=n)
    made = np.where(rng.random(n) < 2 * MARGIN / 3, -99, 40) + rng.normal(size=n)
    return normal, rng.normal(60, 1, n), made


def two_values(rng: Rng, n: int) -> Scores:
    """Scores of 0 and 1, AUC 0.9 and 0.85."""
    return tuple(1.0 * (rng.random(n) < share) for share in (0.1, 0.9, 0.8))  # type: ignore[return-value]


def rounded(rng: Rng, n: int) -> Scores:
    """Binormal scores in whole numbers; the exact AUCs are sums over cells."""
    return np.round(rng.normal(size=n)), np.round(rng.normal(2.5, 1, n)), np.round(rng.normal(_rounded_shift(), 1, n))


def cauchy(rng: Rng, n: int) -> Scores:
    """Tails without a mean: AUC 0.97 and 0.92."""
    return rng.standard_cauchy(n), *(rng.standard_cauchy(n) + 2 * np.tan(np.pi * (a - 0.5)) for a in (0.97, 0.92))  # type: ignore[return-value]


def exponential(rng: Rng, n: int) -> Scores:
    """A long upper tail: AUC 0.96 and 0.91."""
    return rng.exponential(size=n), *(rng.exponential(a / (1 - a), n) for a in (0.96, 0.91))  # type: ignore[return-value]


def binormal(rng: Rng, n: int) -> Scores:
    """AUC 0.97 and 0.92."""
    return rng.normal(size=n), *(rng.normal(2**0.5 * stats.norm.ppf(a), 1, n) for a in (0.97, 0.92))  # type: ignore[return-value]


_SHIFTS: list[float] = []


def _rounded_shift() -> float:
    """Mean of the generated scores whose rounded AUC is 5 points below that of a mean of 2.5."""
    from scipy import optimize

    if not _SHIFTS:
        values = np.arange(-12, 20)

        def auc(shift: float) -> float:
            normal, anomaly = (
                stats.norm.cdf(values + 0.5, mean) - stats.norm.cdf(values - 0.5, mean) for mean in (0, shift)
            )
            return float(anomaly @ (np.cumsum(normal) - normal / 2))

        _SHIFTS.append(float(optimize.brentq(lambda shift: auc(shift) - auc(2.5) + MARGIN, 0, 2.5)))
    return _SHIFTS[0]


CASES: dict[str, Callable[[Rng, int], Scores]] = {
    draw.__name__.replace("_", " "): draw
    for draw in (
        two_rooms,
        two_rooms_by_chance,
        rare_generated,
        rare_real,
        rare_normal,
        rare_everywhere,
        two_values,
        rounded,
        cauchy,
        exponential,
        binormal,
    )
}


def equivalence(repetitions: int) -> Iterator[dict[str, object]]:
    """The verdict, which takes the test and an interval of the gap that lies inside the margin."""
    for name, draw in CASES.items():
        for n in CLIPS:
            rng = derive_rng("equivalence cases", name, n)
            claim = Share()
            for _ in range(repetitions if n >= 60 else min(repetitions, 400)):  # below there is none
                normal, real, made = draw(rng, n)
                pair = auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)
                limits = gap_interval(*pair, 0.95)
                inside = limits[0] > -MARGIN and limits[1] < MARGIN  # else the test, which takes long, is not needed
                p = equivalence_p(*pair, MARGIN) if inside else 1.0
                claim.add(claims_equivalence(p, limits, MARGIN, 0.05))
            yield claim.row(QUANTITY, "default", distribution=name, n=n, margin=MARGIN)


def table(frame: pd.DataFrame) -> str:
    """A Markdown table: cases by number of clips."""
    mine = frame[frame["quantity"] == QUANTITY]
    lines = ["| | " + " | ".join(f"n {n}" for n in CLIPS) + " |", "|---" * (len(CLIPS) + 1) + "|"]
    for name, own in mine.groupby("distribution", sort=False):
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in own["percent"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    found = pd.DataFrame(equivalence(1000))
    print(table(found))

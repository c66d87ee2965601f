"""The verdict on a cell: equivalent, different, too few clips, or indistinguishable.

In this order, the first that applies is the verdict. **Equivalent**: two one-sided tests place the gap within the
margin (5 points unless set otherwise) at the level alpha, and the interval of the gap lies within it too, so whatever
its true size, it matters less than the user said gaps matter; this comes first, because with very many clips even a
negligible gap is found not to be zero. **Different**: the p-value of a perfect generator, Holm-corrected over all cells
of the comparison, is at most alpha. **Too few** clips: neither, and the noise floor (the 95th percentile of a perfect
generator's |gap|) is wider than the margin, so that a gap of that size would as likely as not hide in it; ``n_needed``
says how many clips of each kind would show it with a probability of 80 %. So it is where a class has fewer than
`MIN_GROUPS` groups of clips. **Indistinguishable**: none of these: the clips suffice, and the gap is not told from a
perfect generator's. A perfect generator is called different in at most a share alpha of comparisons (of *comparisons*,
not of cells), and a gap of the size of the margin is accepted as equivalent in at most a share alpha of cells.

**How many clips "equivalent" takes.** An AUC is a mean over clips of numbers between 0 and 1. A share ``margin`` of one
side at the far end of the scale is a gap of the size of the margin, and n clips miss it with the probability
(1 - margin)^n < exp(-margin n). No test at level alpha may say "equivalent" where that is above alpha, whatever the
clips look like, so it takes ln(1 / alpha) / margin clips of each kind: 60 for 5 points at 5 % (the "rule of three":
Hanley & Lippman-Hand 1983, J. Am. Med. Assoc. 249:1743-1745). Clips of one recording count as one.
"""

from __future__ import annotations

import math

from asdbench.compare.estimates import Interval

EQUIVALENT, DIFFERENT = "equivalent", "different"
TOO_FEW, INDISTINGUISHABLE = "too few", "indistinguishable"
VERDICTS = (EQUIVALENT, DIFFERENT, TOO_FEW, INDISTINGUISHABLE)

MIN_GROUPS = 5
"""Fewest groups of a class, where clips come in groups, with which a verdict other than "too few" is drawn; the
intervals and tests are known to hold from here on (`docs/coverage/README.md`)."""

MARGIN = 0.05
"""Largest gap that does not matter, unless the user says otherwise."""


def has_few_groups(clips: int, groups: int) -> bool:
    """Whether clips of a class come in groups, and these are too few for a verdict."""
    return groups < min(MIN_GROUPS, clips)


def clips_for_equivalence(margin: float, alpha: float) -> int:
    """Fewest clips (or recordings) of each kind with which a gap can be shown to be within ``margin``."""
    return math.ceil(math.log(1 / alpha) / margin - 1e-9)


def claims_equivalence(p: float, interval: Interval, margin: float, alpha: float) -> bool:
    """Whether a gap is said to be equivalent: the test says so, and the interval that is printed lies inside."""
    return p <= alpha and -margin < interval[0] and interval[1] < margin


def verdict(
    gap: float,
    interval: Interval,
    p_holm: float,
    p_equivalence: float,
    floor_high: float,
    margin: float,
    alpha: float,
) -> str:
    """The verdict on one cell; see the module. "" where there is no gap.

    Args:
        gap: measured gap.
        interval: of the gap, NaN where there is none.
        p_holm: corrected p-value of a perfect generator; NaN where it cannot be computed.
        p_equivalence: p-value of the two one-sided tests, likewise.
        floor_high: the 1 - alpha quantile of a perfect generator's |gap|, likewise.
        margin: largest gap that does not matter.
        alpha: level of the tests.
    """
    if math.isnan(gap):
        return ""
    if claims_equivalence(p_equivalence, interval, margin, alpha):
        return EQUIVALENT
    if p_holm <= alpha:
        return DIFFERENT
    return INDISTINGUISHABLE if floor_high <= margin else TOO_FEW

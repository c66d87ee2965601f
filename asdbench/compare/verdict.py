"""The verdict on a cell: equivalent, different, not enough clips, or indistinguishable.

In this order, the first that applies is the verdict. **Equivalent**: two one-sided tests place the gap within the
margin (5 points unless set otherwise) at the level alpha, so whatever its true size, it matters less than the user said
gaps matter; this comes first, because with very many clips even a negligible gap is found not to be zero.
**Different**: the p-value of a perfect generator, Holm-corrected over all cells of the comparison, is at most alpha.
**Not enough clips**: neither, and the noise floor (the 95th percentile of a perfect generator's |gap|) is wider than
the margin, so that a gap of that size would as likely as not hide in it; ``n_needed`` says how many clips of each kind
would show it with a probability of 80 %. **Indistinguishable**: none of these: the clips suffice, and the gap is not
told from a perfect generator's. A perfect generator is called different in at most a share alpha of comparisons (of
*comparisons*, not of cells), and a gap of the size of the margin is accepted as equivalent in at most a share alpha of
cells.
"""

from __future__ import annotations

import math

EQUIVALENT, DIFFERENT = "equivalent", "different"
NOT_ENOUGH, INDISTINGUISHABLE = "not enough clips", "indistinguishable"
VERDICTS = (EQUIVALENT, DIFFERENT, NOT_ENOUGH, INDISTINGUISHABLE)

MARGIN = 0.05
"""Largest gap that does not matter, unless the user says otherwise."""


def verdict(gap: float, p_holm: float, p_equivalence: float, floor_high: float, margin: float, alpha: float) -> str:
    """The verdict on one cell; see the module. "" where there is no gap.

    Args:
        gap: measured gap.
        p_holm: corrected p-value of a perfect generator; NaN where it cannot be computed.
        p_equivalence: p-value of the two one-sided tests, likewise.
        floor_high: the 1 - alpha quantile of a perfect generator's |gap|, likewise.
        margin: largest gap that does not matter.
        alpha: level of the tests.
    """
    if math.isnan(gap):
        return ""
    if p_equivalence <= alpha:
        return EQUIVALENT
    if p_holm <= alpha:
        return DIFFERENT
    return INDISTINGUISHABLE if floor_high <= margin else NOT_ENOUGH

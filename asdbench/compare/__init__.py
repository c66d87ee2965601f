"""Statistics of the comparison between original and generated test sets: pure functions of the score table.

Importable without torch. Beside `compare`, which computes everything from a score table: `published_summary` from
published AUCs alone, and how large a study must be, `clips_needed` and `detectable_gap`.
"""

from asdbench.compare.comparison import Comparison, compare
from asdbench.compare.power import clips_needed, detectable_gap
from asdbench.compare.published import PublishedSummary, published_summary

__all__ = ["Comparison", "PublishedSummary", "clips_needed", "compare", "detectable_gap", "published_summary"]

"""Statistics of the comparison between original and generated test sets: pure functions of the score table."""

from asdbench.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]

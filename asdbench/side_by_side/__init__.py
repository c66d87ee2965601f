"""Generators of several runs side by side: `comparison` of runs, `curves` over a setting, `leaderboard` of a folder."""

from asdbench.side_by_side.comparison import side_by_side
from asdbench.side_by_side.curves import curves
from asdbench.side_by_side.leaderboard import leaderboard

__all__ = ["curves", "leaderboard", "side_by_side"]

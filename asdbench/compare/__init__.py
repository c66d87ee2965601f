"""Statistics of the comparison between original and generated test sets: pure functions of the score table."""

"""Tables made from the score table and the comparison."""

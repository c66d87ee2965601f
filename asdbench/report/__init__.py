"""Tables made from the score table and the comparison."""

from asdbench.report.write import render, write_tables

__all__ = ["render", "write_tables"]

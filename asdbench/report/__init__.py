"""Tables made from the score table and the comparison."""

from asdbench.report.write import render, render_tables, write_tables

__all__ = ["render", "render_tables", "write_tables"]

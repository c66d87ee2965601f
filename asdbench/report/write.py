"""Write the tables of a comparison to files, and render the most important for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.report import formats, tables

if TYPE_CHECKING:
    from asdbench.compare import Comparison

TIDY = (
    "metrics",
    "gaps",
    "summary",
    "agreement",
    "controls",
    "official",
    "official_summary",
    "decisions",
    "clips",
    "problems",
)
"""Tables of a `Comparison` that are written as they are, as ``<name>_long.csv``."""


def write_tables(comparison: Comparison, folder: Path) -> list[Path]:
    """Write every table as CSV (full precision), Markdown and LaTeX, and the tidy tables behind them as CSV.

    Equal comparisons give equal bytes. Files of the same names are replaced.

    Args:
        comparison: what to write.
        folder: where to; made if it is missing.

    Returns:
        The files, in the order they were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, str] = {}
    for table in tables.tables(comparison):
        texts[f"{table.name}.csv"] = formats.to_csv(table.numbers)
        texts[f"{table.name}.md"] = formats.to_markdown(table)
        texts[f"{table.name}.tex"] = formats.to_latex(table)
    for name in TIDY:
        texts[f"{name}_long.csv"] = formats.to_csv(getattr(comparison, name))
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return [folder / name for name in texts]


def render(comparison: Comparison, width: int = formats.WIDTH) -> str:
    """Render the gaps by detector, their summary, the official scores and the problems as text for a terminal."""
    shown = [tables.gaps_of_detector(comparison, detector) for detector in comparison.detectors]
    shown += [tables.summary(comparison), tables.controls(comparison), tables.official_scores(comparison)]
    if comparison.gaps.empty:
        shown.append(tables.measures(comparison))
    shown.append(tables.problems(comparison))
    shown = [table for table in shown if table.rows]
    return "\n".join([*(formats.to_text(table, width) for table in shown), formats.remarks_to_text(shown, width)])

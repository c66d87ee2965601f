"""Write the tables of a comparison to files, and render the most important for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.report import clip_tables, finding_tables, formats, gap_tables, tables

if TYPE_CHECKING:
    from asdbench.compare import Comparison
    from asdbench.report.table import Table

TIDY = (
    "metrics",
    "gaps",
    "summary",
    "agreement",
    "controls",
    "memorisation",
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
    texts = texts_of(tables.tables(comparison))
    for name in TIDY:
        texts[f"{name}_long.csv"] = formats.to_csv(getattr(comparison, name))
    return write_texts(texts, folder)


def texts_of(shown: Iterable[Table]) -> dict[str, str]:
    """Each table as CSV (full precision), Markdown and LaTeX, by file name."""
    texts: dict[str, str] = {}
    for table in shown:
        texts[f"{table.name}.csv"] = formats.to_csv(table.numbers)
        texts[f"{table.name}.md"] = formats.to_markdown(table)
        texts[f"{table.name}.tex"] = formats.to_latex(table)
    return texts


def write_texts(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write texts by file name into a folder, which is made if it is missing; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return [folder / name for name in texts]


def render_tables(shown: Sequence[Table], width: int = formats.WIDTH) -> str:
    """Tables as text for a terminal, their remarks once at the end."""
    return "\n".join([*(formats.to_text(table, width) for table in shown), formats.remarks_to_text(shown, width)])


def render(comparison: Comparison, width: int = formats.WIDTH) -> str:
    """Render the gaps by detector, their summary, the official scores and the problems as text for a terminal."""
    shown = [gap_tables.gaps_of_detector(comparison, detector) for detector in comparison.detectors]
    shown += [tables.summary(comparison), tables.controls(comparison), clip_tables.memorisation(comparison)]
    shown += [clip_tables.table_iii(comparison), tables.official_scores(comparison)]
    if comparison.gaps.empty:
        shown.append(tables.measures(comparison))
    shown += [finding_tables.dependence(comparison), finding_tables.near_copies(comparison)]
    shown.append(finding_tables.copy_effects(comparison))
    shown += [finding_tables.beyond_full_scale(comparison), tables.problems(comparison)]
    return render_tables([table for table in shown if table.rows], width)

"""A table as CSV, Markdown, LaTeX or terminal text."""

from __future__ import annotations

import dataclasses
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.report.table import Table

WIDTH = 128
"""Columns of the terminal that a table is fitted into."""
MIN_NAME = 14
"""Narrowest column of names."""


def to_csv(frame: pd.DataFrame) -> str:
    """CSV with every digit (floats read back are equal), empty where there is no value, Unix line ends."""
    return frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """GitHub Markdown: title, aligned pipes, footnotes as a list."""
    cells = [[_escape_markdown(cell) for cell in row] for row in [table.header, *table.rows]]
    widths = [max(3, *(_width(row[column]) for row in cells)) for column in range(len(table.header))]
    rule = ["-" * width if column < table.labels else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    lines = [f"**{_escape_markdown(table.title)}**", ""]
    for row in (cells[0], rule, *cells[1:]):
        lines.append(f"| {' | '.join(_pad(cell, widths[c], c >= table.labels) for c, cell in enumerate(row))} |")
    if below := [*table.notes, *table.remarks]:
        lines += ["", *(f"- {_escape_markdown(note)}" for note in below)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """LaTeX with the rules of booktabs; the footnotes stand below. Needs no package but booktabs, and UTF-8 input."""
    alignment = "l" * table.labels + "r" * (len(table.header) - table.labels)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape_latex(table.title)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_row(table.header),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_escape_latex(note)}" for note in (*table.notes, *table.remarks)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_text(table: Table, width: int = WIDTH) -> str:
    """Plain text for a terminal, at most ``width`` columns wide where its numbers leave room for its names.

    Headers and names that are too long are wrapped, nothing is cut; a name that is repeated in the first column is
    printed once. The remarks are left to `remarks_to_text`.
    """
    widths = _fit(table, width)
    if sum(widths) + 2 * (len(widths) - 1) > width or widths != _fit(table, 10**6):
        tighter = [[cell.replace(" ± ", "±") for cell in row] for row in table.rows]
        table = dataclasses.replace(table, rows=tighter)
        widths = _fit(table, width)
    lines = [*textwrap.wrap(table.title, width), ""]
    header = [textwrap.wrap(name, widths[c]) for c, name in enumerate(table.header)]
    height = max(map(len, header))
    lines += _text_rows([[""] * (height - len(name)) + name for name in header], widths, table.labels)
    lines.append("  ".join("─" * w for w in widths))
    previous = ""
    for row in table.rows:
        shown = ["" if row[0] == previous and table.labels > 1 else row[0], *row[1:]]
        cells = [textwrap.wrap(cell, widths[c]) if c < table.labels else [cell] for c, cell in enumerate(shown)]
        lines += _text_rows(cells, widths, table.labels)
        previous = row[0]
    for note in table.notes:
        lines += textwrap.wrap(note, width, subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def remarks_to_text(tables: Sequence[Table], width: int = WIDTH) -> str:
    """The remarks of several tables as plain text, each once."""
    remarks = dict.fromkeys(remark for table in tables for remark in table.remarks)
    return "".join("\n".join(textwrap.wrap(remark, width, subsequent_indent="  ")) + "\n" for remark in remarks)


def _fit(table: Table, width: int) -> list[int]:
    """Widths of the columns: those of their cells and the longest words of their headers, the widest names cut down."""
    widths = []
    for column, name in enumerate(table.header):
        words = max(_width(word) for word in name.split())
        widths.append(max(words, *(_width(row[column]) for row in table.rows)))
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for _ in range(excess):
        widest = max(range(table.labels), key=lambda column: widths[column])
        if widths[widest] <= MIN_NAME:
            break
        widths[widest] -= 1
    return widths


def _text_rows(cells: Sequence[Sequence[str]], widths: Sequence[int], labels: int) -> list[str]:
    """Lines of one row whose cells have several lines each."""
    height = max(map(len, cells))
    return [
        _text_row([cell[line] if line < len(cell) else "" for cell in cells], widths, labels) for line in range(height)
    ]


def _text_row(cells: Sequence[str], widths: Sequence[int], labels: int) -> str:
    return "  ".join(_pad(cell, widths[c], c >= labels) for c, cell in enumerate(cells)).rstrip()


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]~#])", r"\\\1", text).replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\ldots{}",
    "\n": " ",
    # A row that begins with [ or * would be read as an argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    **{character: "\\" + character for character in "&%$#_"},
}


def _escape_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.$+-])([+-]\d+(?:\.\d+)?)(?![\w.-])", r"$\1$", escaped)  # a minus, not a hyphen


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_escape_latex(cell) for cell in cells) + r" \\"

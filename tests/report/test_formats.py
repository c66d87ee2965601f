from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from asdbench.report import formats
from asdbench.report.table import Table


def table(**changes: object) -> Table:
    fields = {
        "name": "a_table",
        "title": "Gaps & AUC",
        "header": ["Machine", "Detector", "gap (points)"],
        "rows": [["fan", "ae_mse", "+4.28 ± 0.10"], ["fan", "k|nn", "– (1)"], ["valve", "ae_mse", "-0.50"]],
        "notes": ["(1) no 5 % of #1"],
        "numbers": pd.DataFrame({"gap": [0.1 + 0.2, np.nan]}),
        "labels": 2,
    }
    return Table(**(fields | changes))  # type: ignore[arg-type]


def test_markdown() -> None:
    assert formats.to_markdown(table()) == (
        "**Gaps & AUC**\n"
        "\n"
        "| Machine | Detector | gap (points) |\n"
        "| ------- | -------- | -----------: |\n"
        "| fan     | ae\\_mse  | +4.28 ± 0.10 |\n"
        "| fan     | k\\|nn    |        – (1) |\n"
        "| valve   | ae\\_mse  |        -0.50 |\n"
        "\n"
        "- (1) no 5 % of \\#1\n"
    )


def test_latex() -> None:
    assert formats.to_latex(table()) == (
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{Gaps \\& AUC}\n"
        "\\label{tab:a-table}\n"
        "\\begin{tabular}{llr}\n"
        "\\toprule\n"
        "Machine & Detector & gap (points) \\\\\n"
        "\\midrule\n"
        "fan & ae\\_mse & $+4.28$ $\\pm$ 0.10 \\\\\n"
        "fan & k\\textbar{}nn & -- (1) \\\\\n"
        "valve & ae\\_mse & $-0.50$ \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\par\\footnotesize (1) no 5 \\% of \\#1\n"
        "\\end{table}\n"
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"a\b", r"a\textbackslash{}b"),
        ("{x}^2~", r"\{x\}\textasciicircum{}2\textasciitilde{}"),
        ("$5_000", r"\$5\_000"),
        ("[published]", "{[}published{]}"),
        ("-4.22 to +12.88", "$-4.22$ to $+12.88$"),
        ("20-30 clips of fan-2", "20-30 clips of fan-2"),
        ("2023-04-05", "2023-04-05"),
    ],
)
def test_latex_escapes(text: str, escaped: str) -> None:
    assert escaped in formats.to_latex(table(rows=[[text, "", ""]]))


def test_csv_keeps_every_digit() -> None:
    text = formats.to_csv(table().numbers)
    assert text == 'gap\n0.30000000000000004\n""\n'
    assert pd.read_csv(io.StringIO(text), skip_blank_lines=False)["gap"][0] == 0.1 + 0.2


def test_text() -> None:
    assert formats.to_text(table()) == (
        "Gaps & AUC\n"
        "\n"
        "Machine  Detector  gap (points)\n"
        "───────  ────────  ────────────\n"
        "fan      ae_mse    +4.28 ± 0.10\n"
        "         k|nn             – (1)\n"
        "valve    ae_mse           -0.50\n"
        "(1) no 5 % of #1\n"
    )


def test_text_wraps_headers() -> None:
    text = formats.to_text(table(rows=[["fan", "ae", "1.0"]]))
    assert text.splitlines()[2:5] == [
        "                        gap",
        "Machine  Detector  (points)",
        "───────  ────────  ────────",
    ]


def test_text_wraps_names_and_cuts_nothing() -> None:
    long_name = "a detector with a name that goes on and on and then some more"
    rows = [["fan", long_name, "1.0000 ± 0.0001"], ["fan", "x" * 90, "2"]]
    text = formats.to_text(table(rows=rows, header=["Machine", "Detector", "a long header here"]), width=50)
    assert max(map(len, text.splitlines())) <= 50
    assert "1.0000±0.0001" in text
    assert text.count("x") == 90
    for word in long_name.split():
        assert word in text


def test_wide_characters_are_aligned() -> None:
    lines = formats.to_text(table(rows=[["扇風機", "ae", "1"], ["fan", "ae", "2"]])).splitlines()
    assert lines[-3].index("ae") + 3 == lines[-2].index("ae")  # three characters of double width

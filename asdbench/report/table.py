"""What a table of a report is: cells as printed, with footnotes, and the numbers behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asdbench.compare.testsets import Replicate

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: stem of its files.
        title: what it shows, in one line.
        header: names of the columns as printed, with units.
        rows: cells as printed, as many a row as there are in ``header``.
        notes: footnotes; their numbers are in the cells.
        remarks: how to read the table; tables of one kind share them.
        numbers: the same in full precision, for CSV: fractions, NaN where undefined, with a column ``reason``.
        labels: how many columns from the left are names rather than numbers.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    numbers: pd.DataFrame
    labels: int = 1
    remarks: Sequence[str] = ()


@dataclass
class Notes:
    """Collects footnotes; the same text gets the same number."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """Return " (k)" for a footnote, or "" for no text."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" ({self.texts.index(text) + 1})"

    def lines(self) -> list[str]:
        """The footnotes with their numbers."""
        return [f"({number}) {text}" for number, text in enumerate(self.texts, 1)]


def mean_sd(mean: float, spread: float, note: str) -> str:
    """A mean as printed, with its standard deviation where there is one, and a footnote's number."""
    if math.isnan(mean):
        return f"{DASH}{note}"
    return (f"{mean:.4f}" if math.isnan(spread) else f"{mean:.4f} ± {spread:.4f}") + note


def points_sd(mean: float, spread: float) -> str:
    """A signed mean in points, with its standard deviation where there is one."""
    return f"{100 * mean:+.2f}" if math.isnan(spread) else f"{100 * mean:+.2f} ± {100 * spread:.2f}"


def have_of(row: Mapping[str, Any], name: str, note: str) -> str:
    """A count, with the count that was expected where it is another."""
    have, expected = int(row[name]), int(row[f"{name}_expected"])
    return (str(have) if have == expected else f"{have} of {expected}") + note


def as_tuple(key: Any) -> tuple[Any, ...]:
    """The key of a group of rows, as a tuple also where it is of one column."""
    return key if isinstance(key, tuple) else (key,)


def over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of ``value`` over repetitions, and which of them are missing and why."""
    values = [row["value"] for row in rows if not math.isnan(row["value"])]
    missing = [row for row in rows if math.isnan(row["value"])]
    whys = list(dict.fromkeys(row["reason"] for row in missing))
    if len(whys) == 1 and not values:
        named = whys[0]
    else:
        seeds = {
            why: ", ".join(str(Replicate(r["seed"], r["generation_seed"])) for r in missing if r["reason"] == why)
            for why in whys
        }
        named = "; ".join(f"{seeds[why]}: {why}" for why in whys)
    partial = bool(values and missing)
    mean = sum(values) / len(values) if values else float("nan")
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else float("nan")
    return {
        "value": mean,
        "sd": spread,
        "n_seeds": len(values),
        "n_seeds_expected": len(rows),
        "missing": named,
        "reason": f"mean over {len(values)} of {len(rows)} seeds ({named})" if partial else named,
    }

"""Curves: how the gap changes with one setting of a generator, such as guidance, training steps or exposure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench.report.table import DASH, Notes, Table
from asdbench.side_by_side import cells
from asdbench.side_by_side.entries import Entry, entries, refuse_differences

if TYPE_CHECKING:
    from asdbench.results import Results


def curves(runs: Sequence[Results]) -> list[Table]:
    """One table for each setting that takes several values while all other settings of a generator stay the same.

    Args:
        runs: of benchmarks on the same real test clips.

    Returns:
        Tables named ``curve_<plugin>_<setting>``: a row for each detector and value, in the order of the values.

    Raises:
        UserError: the runs cannot be put side by side.
    """
    refuse_differences(runs)
    by_plugin: dict[str, list[Entry]] = {}
    for entry in entries(runs):
        by_plugin.setdefault(entry.use, []).append(entry)
    found = []
    for use, group in by_plugin.items():
        names = dict.fromkeys(name for entry in group for name in entry.settings)
        for name in names:
            series = _series(group, name)
            if series:
                found.append(_table(use, name, series))
    return found


def _series(group: Sequence[Entry], name: str) -> list[list[Entry]]:
    """Entries that differ in one setting only, in the order of its values; two or more values each."""
    rest: dict[str, list[Entry]] = {}
    for entry in group:
        others = {key: value for key, value in entry.settings.items() if key != name}
        rest.setdefault(json.dumps(others, sort_keys=True, default=str), []).append(entry)
    found = []
    for part in rest.values():
        values = {json.dumps(entry.settings.get(name), default=str) for entry in part}
        if len(values) > 1:
            found.append(sorted(part, key=lambda entry: _order(entry.settings.get(name))))
    return found


def _order(value: Any) -> tuple[Any, ...]:
    """Numbers by size, texts by the numbers in them (step-1000 before step-20000), nothing first."""
    if value is None:
        return (0,)
    if isinstance(value, bool | int | float):
        return (1, float(value))
    parts = re.split(r"(\d+)", value if isinstance(value, str) else json.dumps(value, default=str))
    return (2, *((1, int(part)) if part.isdigit() else (0, part) for part in parts))


def _table(use: str, name: str, series: Sequence[Sequence[Entry]]) -> Table:
    import pandas as pd

    notes = Notes()
    label, model = cells.sound_model([entry for part in series for entry in part])
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    for number, part in enumerate(series, 1):
        for detector in part[0].by_detector:
            for entry in part:
                row, value = entry.by_detector[detector], entry.settings.get(name)
                whole = row["n_machines"] == row["n_machines_expected"]
                figures = {key: row[key] if whole else math.nan for key in _FIGURES}
                gap = cells.points(figures["mean_gap"], signed=True) + ("" if whole else notes.mark(str(row["reason"])))
                artefact = entry.artefact(detector)
                shown = [gap, _interval(figures), cells.points(figures["mean_abs_gap"])]
                shown += [cells.points(figures["mean_floor"]), cells.number(figures["pearson"])]
                heard = "" if math.isnan(artefact) else f"{artefact:.3f}"
                sound = cells.sound_cell(entry, model, notes)
                rows.append([detector, _text(value), entry.generator, entry.run, *shown, heard, sound])
                own = {"curve": number, "detector": detector, name: _text(value), "generator": entry.generator}
                own |= {"run": entry.run, "artefact_auc": artefact}
                numbers.append(own | figures | cells.heard_numbers(entry))
    header = ["Detector", name, "Generator", "Run", "mean gap (points)", "interval", "mean |gap|", "floor", "Pearson"]
    return Table(
        f"curve_{use}_{name}",
        f"{use}: over {name}, all else equal",
        [*header, "artefact AUC", label],
        rows,
        notes.lines(),
        pd.DataFrame(numbers),
        labels=4,
    )


_FIGURES = ("mean_gap", "mean_gap_low", "mean_gap_high", "mean_abs_gap", "mean_floor", "pearson")


def _interval(figures: dict[str, float]) -> str:
    low, high = figures["mean_gap_low"], figures["mean_gap_high"]
    return DASH if math.isnan(low) else f"{100 * low:+.2f} to {100 * high:+.2f}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def draw(table: Table, path: Path) -> None:
    """Draw a table of `curves`: mean gap with its interval, and mean |gap| beside the floor, a line for each detector.

    Args:
        table: from `curves`.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    frame, setting = table.numbers, table.header[1]
    figure = Figure(figsize=(9, 4), layout="constrained")
    signed, absolute = figure.subplots(1, 2)
    values = list(dict.fromkeys(frame[setting]))
    numeric = all(_is_number(value) for value in values)
    for place, ((curve, detector), part) in enumerate(frame.groupby(["curve", "detector"], sort=False)):
        several = frame["curve"].nunique() > 1
        name = f"{detector} ({curve})" if several else str(detector)
        x = [float(value) if numeric else values.index(value) for value in part[setting]]
        gap, low, high = (100 * part[key] for key in ("mean_gap", "mean_gap_low", "mean_gap_high"))
        colour = f"C{place % 10}"
        signed.errorbar(x, gap, yerr=[gap - low, high - gap], marker="o", capsize=3, color=colour, label=name)
        absolute.plot(x, 100 * part["mean_abs_gap"], marker="o", color=colour, label=name)
        absolute.plot(x, 100 * part["mean_floor"], linestyle=":", color=colour)
    signed.axhline(0, color="grey", linewidth=0.8)
    signed.set_ylabel("mean gap (points)")
    absolute.set_ylabel("mean |gap| (points); dotted: floor")
    absolute.set_ylim(bottom=0)
    for axes in (signed, absolute):
        axes.set_xlabel(setting)
        if not numeric:
            axes.set_xticks(range(len(values)), values)
    signed.legend(fontsize="small")
    figure.suptitle(table.title)
    figure.savefig(path, dpi=120)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

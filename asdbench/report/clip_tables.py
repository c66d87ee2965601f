"""The tables of clips: how many there are (Table II), how they sound (Table III), copies among them, what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.testsets import REAL
from asdbench.frames import frame_of, records
from asdbench.metrics.audio.quality import POOLED
from asdbench.report import published
from asdbench.report.table import DASH, Notes, Table

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison

_TABLE_III = ("fad", "kad", "kl", "is", "clap_real", "clap_generated")
"""Figures of the paper's Table III, and those to be read beside them with few clips."""


def clips(comparison: Comparison) -> Table:
    """How many clips of what there are, by machine and source."""
    notes = Notes()
    kinds = [("train", "normal"), ("test", "normal"), ("test", "anomaly"), ("test", "unknown")]
    header = ["Machine", "Source", "generation seeds", *(f"{split} {condition}" for split, condition in kinds)]
    rows, grouped = [], False
    for (machine, source), group in comparison.clips.groupby(["machine", "source"], sort=False):
        cells = []
        for split, condition in kinds:
            found = group[(group["split"] == split) & (group["condition"] == condition)]
            counts = sorted({int(n) for n in found["n_clips"]}) or [0]
            copies = int((found["n_clips"] - found["n_different"]).sum())
            note = (
                notes.mark(f"{copies} clips have the same audio as another clip; figures count each audio once")
                if copies
                else ""
            )
            cell = "-".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
            if (found["n_groups"] != found["n_clips"]).any():
                cell += f" ({int(found['n_groups'].max())})"
                grouped = True
            cells.append(cell + note)
        seeds = "" if source == REAL else str(group["generation_seed"].nunique())
        rows.append([str(machine), str(source), seeds, *cells])
    title = "Scored clips by machine and source (for each generation seed)"
    remarks = ["In parentheses: the groups (recordings) that the clips are of."] if grouped else []
    return Table("clips", title, header, rows, notes.lines(), comparison.clips, labels=2, remarks=remarks)


def table_ii(comparison: Comparison) -> Table:
    """Real clips that generators are given and that they are judged by, in the manner of the paper's Table II."""
    rows, numbers = [], []
    roles = records(comparison.heard.roles)
    counts = {(row["machine"], row["role"], row["condition"]): row["n_clips"] for row in roles}
    kinds = [(role, condition) for role in ("pool", "test") for condition in ("normal", "anomaly")]
    paper = published.figures(comparison.published)
    theirs = any(paper.counts_of(machine) for machine in comparison.machines)
    for machine in dict.fromkeys(comparison.heard.roles["machine"]):
        own = [int(counts.get((machine, *kind), 0)) for kind in kinds]
        fit = int(counts.get((machine, "fit", "normal"), 0))
        known = paper.counts_of(machine)
        cells = [str(machine), *map(str, own), str(fit)]
        rows.append(cells + (([DASH] * 4 if known is None else list(map(str, known))) if theirs else []))
        names = ["training_normal", "training_anomaly", "validation_normal", "validation_anomaly"]
        number = {"machine": machine, **dict(zip(names, own, strict=True)), "detector_training": fit}
        if theirs:
            number |= {f"published_{n}": v for n, v in zip(names, known or [math.nan] * 4, strict=True)}
        numbers.append(number)
    columns = ["training normal", "training anomalous", "validation normal", "validation anomalous"]
    header = ["Machine", *columns, "detector training"]
    remarks = ["training: real clips that generators are given; validation: real test clips, by which they are judged."]
    if theirs:
        header += [f"{name}, published" for name in columns]
        remarks.append(f"published: {paper.paper}, {paper.counts_table}. {DASH}: the paper has no such machine.")
    title = "Real clips by machine, condition and use"
    return Table("table_ii", title, header, rows, [], frame_of(numbers), 1, remarks if rows else [])


def table_iii(comparison: Comparison) -> Table:
    """Audio quality by generator over all machines, in the manner of the paper's Table III."""
    notes = Notes()
    frame = comparison.heard.quality
    if (frame["machine"] == POOLED).any():  # else there is one machine
        frame = frame[frame["machine"] == POOLED]
    paper = published.figures(comparison.published)
    pooled = frame[frame["metric"].isin(_TABLE_III)]
    found = _columns(pooled)
    rows, numbers = [], []
    for (generator, condition), part in pooled.groupby(["generator", "condition"], sort=False):
        cells, number = [], {"generator": generator, "condition": condition, "published": False}
        for column in found:
            own = found[column]
            own = own[(own["generator"] == generator) & (own["condition"] == condition)]
            figure = _mean_of_seeds(own)
            cells.append(_quality_cell(figure, notes))
            number |= {f"{column}: {name}": value for name, value in figure.items()}
        clips = part[["n_real", "n_generated"]].max()
        rows.append([str(generator), str(condition), f"{clips['n_real']}/{clips['n_generated']}", *cells])
        numbers.append(number)
    if rows:
        missing = [name for known in paper.quality.values() for name in known]
        extra = [name for name in dict.fromkeys(missing) if not any(_is_published(column, name) for column in found)]
        names = [*found, *extra]
        rows = [[*row, *[""] * len(extra)] for row in rows]
        for generator, known in paper.quality.items():
            values = [next((v for n, v in known.items() if _is_published(column, n)), None) for column in names]
            rows.append(["[published]", generator, "", *("" if v is None else f"{v:.2f}" for v in values)])
            number = {"generator": generator, "condition": "", "published": True}
            shown = zip(names, values, strict=True)
            numbers.append(number | {f"{column}: value": value for column, value in shown if value is not None})
    else:
        names = []
    return Table(
        "table_iii",
        "Sound of generated against real test clips, over all machines",
        ["Generator", "condition", "clips", *names],
        rows,
        notes.lines(),
        frame_of(numbers),
        2,
        [
            "In parentheses: the figure with as many clips as half of the real ones, and its floor, the figure between "
            "two halves of the real clips (for IS: of as many real clips). With few clips read kad, which is unbiased. "
            "clips: real/generated. Means over seeds; intervals and machines are in quality.csv.",
            *(
                [
                    f"[published]: {paper.paper}, {paper.quality_table}: other clips; figures by one name with two "
                    "embeddings are two figures."
                ]
                if paper.quality
                else []
            ),
        ]
        if rows
        else [],
    )


def quality(comparison: Comparison) -> Table:
    """Every figure of audio quality by machine, generator and condition, mean over seeds."""
    notes = Notes()
    frame = comparison.heard.quality
    names = ["machine", "generator", "condition", "embedding_name", "metric"]
    rows, numbers = [], []
    for key, part in frame.groupby(names, sort=False):
        figure = _mean_of_seeds(part)
        value = DASH if math.isnan(figure["value"]) else f"{figure['value']:.4g}"
        value += notes.mark(figure["remark"])
        interval = DASH if math.isnan(figure["low"]) else f"{figure['low']:.4g} to {figure['high']:.4g}"
        floors = ("floor", "floor_high", "value_at_floor_n")
        floor = ["" if math.isnan(figure[name]) else f"{figure[name]:.4g}" for name in floors]
        rows.append([*map(str, key), value, interval, *floor, f"{figure['n_real']}/{figure['n_generated']}"])
        numbers.append(dict(zip(names, key, strict=True)) | figure)
    percent = f"{100 * comparison.confidence:g} %"
    header = ["Machine", "Generator", "condition", "embedding", "figure", "value", f"{percent} interval"]
    return Table(
        "quality",
        "Sound of generated against real test clips, mean over seeds",
        [*header, "floor", "floor, 95th percentile", "value at the floor's clips", "clips"],
        rows,
        notes.lines(),
        frame_of(numbers),
        5,
        ["floor: the figure between two halves of the real clips; it compares with the value at the floor's clips."]
        if rows
        else [],
    )


def memorisation(comparison: Comparison) -> Table:
    """Whether generators give training clips back."""
    notes = Notes()
    rows = []
    for row in records(comparison.memorisation):
        own = [str(row["machine"]), str(row["generator"])]
        if math.isnan(row["nearer"]):
            rows.append([*own, DASH + notes.mark(row["reason"]), *[DASH] * 5])
            continue
        interval = DASH if math.isnan(row["nearer_low"]) else f"{row['nearer_low']:.3f} to {row['nearer_high']:.3f}"
        cosines = f"{row['cosine_generated']:.2f} / {row['cosine_held_out']:.2f}"
        counts = f"{row['n_training']}/{row['n_generated']}/{row['n_held_out']}"
        rows.append(
            [
                *own,
                f"{row['nearer']:.3f}{notes.mark(row['reason'])}",
                interval,
                cosines,
                f"{row['its_cosine']:.2f}",
                counts,
                row["verdict"] or DASH,
            ]
        )
    percent = f"{100 * comparison.confidence:g} %"
    header = ["Machine", "Generator", "nearer", f"{percent} interval", "cosine, generated / held-out", "largest"]
    return Table(
        "memorisation",
        "Do generators give training clips back?",
        [*header, "clips", "verdict"],
        rows,
        notes.lines(),
        comparison.memorisation,
        2,
        [
            "nearer: how often a generated clip is more like its most alike training clip than a real held-out clip is "
            "like its own (0.5: as often as not; copies: the interval lies above). cosine: of the fine structures of "
            "the spectrograms of a clip and its most alike training clip, median; 1 for a copy. largest: of a "
            "generated clip; memorisation.csv names the two. clips: training/generated/held-out."
        ]
        if rows
        else [],
    )


def costs(comparison: Comparison) -> Table:
    """Seconds and parameters of each generator."""
    rows, numbers = [], []
    for generator, part in comparison.heard.costs.groupby("generator", sort=False):
        number = cost_of(part)
        numbers.append({"generator": generator, **number})
        trained = "" if math.isnan(number["training_seconds"]) else f"{number['training_seconds']:.0f}"
        size = "" if math.isnan(number["parameters"]) else f"{number['parameters'] / 1e6:.2f}"
        rows.append([str(generator), f"{number['seconds_per_clip']:.3g}", trained, size])
    header = ["Generator", "seconds a clip", "training (s)", "parameters (millions)"]
    remark = "seconds: on the machine that ran it, loading of models included; training: since it was last started."
    return Table("costs", "Cost of generation", header, rows, [], frame_of(numbers), 1, [remark] if rows else [])


def cost_of(rows: pd.DataFrame) -> dict[str, float]:
    """Seconds a clip, seconds of training and parameters of the rows of one generator; NaN for what there is not."""
    clips = int(rows["n_clips"].sum())
    return {
        "seconds_per_clip": float(rows["seconds"].sum()) / clips if clips else math.nan,
        "training_seconds": float(rows["training_seconds"].max()),
        "parameters": float(rows["parameters"].max()),
    }


def _columns(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each figure by the name of its column, in the order of Table III."""
    keys = list(dict.fromkeys(zip(frame["metric"], frame["embedding_name"], strict=True)))
    keys.sort(key=lambda key: _TABLE_III.index(key[0]))
    return {
        f"{metric} ({name})": frame[(frame["metric"] == metric) & (frame["embedding_name"] == name)]
        for metric, name in keys
    }


def _is_published(column: str, name: str) -> bool:
    """Whether a column holds a figure of the published table; the paper names no CLAP model."""
    return column == name or column.startswith(f"{name} (")


def _mean_of_seeds(rows: pd.DataFrame) -> dict[str, Any]:
    """Mean over seeds of a figure, of its interval's limits and floor, and what is missing."""
    missing = [str(row["remark"]) for row in records(rows) if math.isnan(row["value"])]
    figures = ("value", "low", "high", "floor", "floor_high", "value_at_floor_n")
    # A mean over the seeds that happen to be there would not be the mean that was asked for.
    values = {name: math.nan if missing else _mean(rows[name]) for name in figures}
    spread = float(rows["value"].std(ddof=1)) if len(rows) > 1 and not missing else math.nan
    counts = {name: int(rows[name].max()) if len(rows) else 0 for name in ("n_real", "n_generated", "floor_n")}
    remarks = missing or [str(text) for text in rows["remark"] if text]
    return values | {"sd": spread, "n_seeds": len(rows)} | counts | {"remark": next(iter(remarks), "")}


def _mean(values: pd.Series[float]) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if len(array) else math.nan


def _quality_cell(figure: Mapping[str, Any], notes: Notes) -> str:
    if math.isnan(figure["value"]):
        return DASH + notes.mark(figure["remark"] or "not computed")
    if math.isnan(figure["floor"]):
        return f"{figure['value']:.3g}"
    return f"{figure['value']:.3g} ({figure['value_at_floor_n']:.2g}/{figure['floor']:.2g})"

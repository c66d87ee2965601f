"""ROC and DET curves as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

_TICKS = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
_EDGE = 0.004
"""Rates nearer to 0 or 1 are drawn at the edge of the DET plot: on probit axes 0 and 1 are infinitely far."""


def draw_pictures(curves: pd.DataFrame, folder: Path, by: tuple[str, ...] = ("machine",)) -> list[Path]:
    """Draw curves over all domains, one picture for each value of the columns ``by``.

    Args:
        curves: as `asdbench.compare.operating` makes them, with a column ``label``: a line for each of its values and
            each repetition (columns ``seed`` and ``generation_seed``, where there are any).
        folder: where the files ``roc_<machine>….png`` go.
        by: the columns.

    Returns:
        The files.
    """
    files = []
    for key, part in curves[curves["domain"] == "all"].groupby(list(by), sort=False):
        names = [str(name) for name in (key if isinstance(key, tuple) else (key,))]
        files.append(folder / f"roc_{'_'.join(re.sub(r'[^0-9A-Za-z_.-]', '-', name) for name in names)}.png")
        draw(part, ", ".join(names), files[-1])
    return files


def draw(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Draw the ROC and, on probit axes, the DET curve of each label of ``curves`` (see `draw_pictures`)."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from scipy.special import ndtri

    figure = Figure(figsize=(9, 4.4), layout="constrained")
    roc, det = figure.subplots(1, 2)
    repetitions = [name for name in ("seed", "generation_seed") if name in curves]
    shown = []
    for place, (label, lines) in enumerate(curves.groupby("label", sort=False)):
        colour = "black" if label == "original" else f"C{place % 10}"
        shown.append(Line2D([], [], color=colour, label=str(label)))
        several = [part for _, part in lines.groupby(repetitions, sort=False)] if repetitions else [lines]
        for line in several:
            alpha = 1.0 if len(several) == 1 else 0.6
            fpr, tpr, fnr = (line[name].to_numpy(dtype=float) for name in ("fpr", "tpr", "fnr"))
            roc.plot(fpr, tpr, color=colour, linewidth=1.2, alpha=alpha)
            det.plot(_probit(fpr), _probit(fnr), color=colour, linewidth=1.2, alpha=alpha)
    roc.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    det.plot(*(ndtri([_EDGE, 1 - _EDGE]), ndtri([1 - _EDGE, _EDGE])), color="grey", linewidth=0.8, linestyle=":")
    roc.set(xlabel="false-positive rate", ylabel="true-positive rate", xlim=(0, 1), ylim=(0, 1), title="ROC")
    ticks, names = ndtri(_TICKS), [f"{100 * tick:g} %" for tick in _TICKS]
    det.set(xlabel="false-positive rate", ylabel="miss rate", title="DET, probit axes")
    det.set(xlim=ndtri([_EDGE, 1 - _EDGE]), ylim=ndtri([_EDGE, 1 - _EDGE]))
    det.set_xticks(ticks, names)
    det.set_yticks(ticks, names)
    det.grid(linewidth=0.4)
    for axes in (roc, det):
        axes.set_aspect("equal")
    roc.legend(handles=shown, fontsize="small", loc="lower right")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _probit(rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(rates, _EDGE, 1 - _EDGE)))

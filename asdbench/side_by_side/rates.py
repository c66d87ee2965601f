"""ROC and DET curves of several runs on the same real clips: the original set and every generator's in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench.compare.testsets import REAL
from asdbench.report.roc_picture import draw_pictures

if TYPE_CHECKING:
    from asdbench.results import Results


def draw_rates(runs: Sequence[Results], folder: Path) -> list[Path]:
    """Draw a picture ``roc_<machine>_<detector>.png`` for each machine and detector; return the files.

    Args:
        runs: of benchmarks on the same real test clips; the curve of the original set is that of the first.
        folder: where the pictures go.
    """
    import pandas as pd

    parts = []
    for index, run in enumerate(runs):
        curves = run.curves()
        if index:
            curves = curves[curves["source"] != REAL]
        whose = f" ({run.folder.name})" if len(runs) > 1 else ""
        labels = ["original" if source == REAL else f"{source}{whose}" for source in curves["source"]]
        parts.append(curves.assign(label=labels))
    return draw_pictures(pd.concat(parts, ignore_index=True), folder, ("machine", "detector")) if parts else []

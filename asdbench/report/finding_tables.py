"""Tables of what a run found out that makes its figures doubtful; a run without such findings has none of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asdbench.frames import records
from asdbench.report.table import DASH, Table

if TYPE_CHECKING:
    from asdbench.compare import Comparison


def dependence(comparison: Comparison) -> Table:
    """Detectors whose score of a clip depends on the clips beside it, on their order, or changes from call to call."""
    frame = comparison.heard.dependence
    rows = []
    for (detector, on), found in frame.groupby(["detector", "on"], sort=False):
        worst = records(found.sort_values("difference", ascending=False, na_position="first"))[0]
        size = DASH if math.isnan(worst["difference"]) else f"{worst['difference']:.3g}"
        machines = f"{found['machine'].nunique()} of {len(comparison.machines)}"
        rows.append([str(detector), str(on), machines, size, f"{worst['reason']} ({worst['clip_id']})"])
    return Table(
        "dependence",
        "Detectors whose scores depend on more than the clip",
        ["Detector", "scores depend on", "machines", "largest change (standard deviations)", "found"],
        rows,
        [],
        frame,
        2,
        [
            "Some clips were scored again: alone (batch), in reverse order (order), and in the same way (call). A clip "
            "should have one score whatever is scored beside it: else AUCs are those of this order and these batches, "
            "and a generated test set, whose batches hold generated clips alone, is no fair comparison."
        ]
        if rows
        else [],
    )

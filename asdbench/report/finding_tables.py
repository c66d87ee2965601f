"""Tables of what a run found out that makes its figures doubtful; a run without such findings has none of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asdbench.frames import records
from asdbench.report.table import DASH, Notes, Table, as_tuple

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


def near_copies(comparison: Comparison) -> Table:
    """Test clips and generated clips that hold the same recording as a clip of another role."""
    frame = comparison.heard.near
    rows = []
    for key, found in frame.groupby(["machine", "generator", "twin_role"], sort=False):
        machine, source, role = map(str, as_tuple(key))
        top = records(found.nlargest(1, "similarity"))[0]
        pair = f"{top['clip_id']} and {top['twin']}"
        rows.append([machine, source, role, str(len(found)), f"{top['similarity']:.3f}", pair])
    return Table(
        "near_copies",
        "Clips of two roles that hold the same recording",
        ["Machine", "Clips", "near copies of", "count", "similarity", "the most alike"],
        rows,
        [],
        frame,
        3,
        [
            "Near copies: the same recording at another level, start, rate or file format, or a cut of it; similarity "
            "1 is a copy. A detector that has learnt a test clip, or a generator that gives one out, makes the figures "
            "too good. Clips of one recording need one value in the column `group`: then they have one role. "
            "near_copies.csv names all pairs."
        ]
        if rows
        else [],
    )


def copy_effects(comparison: Comparison) -> Table:
    """What near copies do to the AUC of each detector."""
    frame = comparison.copy_effects
    notes = Notes()
    rows = []
    for row in records(frame):
        without = (
            f"{row['auc_without']:.3f}" if not math.isnan(row["auc_without"]) else DASH + notes.mark(row["reason"])
        )
        counts = f"{row['n_copies']:g} of {row['n_clips']:g}"
        rows.append([row["machine"], row["source"], row["detector"], counts, f"{row['auc']:.3f}", without])
    return Table(
        "near_copies_effect",
        "What near copies do to the AUC",
        ["Machine", "Clips", "Detector", "near copies", "AUC with them", "AUC without them"],
        rows,
        notes.lines(),
        frame,
        3,
        [
            "AUC with and without near copies: of normal test clips against real anomalous clips (Clips: real) or "
            "against those of the generator, mean over seeds. Normal copies of the detector's training clips raise "
            "it. With a column `group` that names the recording of each clip, copies have one role."
        ]
        if rows
        else [],
    )


def beyond_full_scale(comparison: Comparison) -> Table:
    """Generators that make clips with samples beyond full scale."""
    frame = comparison.heard.levels
    loud = frame[frame["n_beyond"] > 0]
    rows = []
    for (machine, generator), found in loud.groupby(["machine", "generator"], sort=False):
        every = frame[(frame["machine"] == machine) & (frame["generator"] == generator)]
        count = f"{int(found['n_beyond'].sum())} of {int(every['n_clips'].sum())}"
        rows.append([str(machine), str(generator), count, f"{found['peak'].max():.3g}"])
    return Table(
        "beyond_full_scale",
        "Generated clips beyond full scale",
        ["Machine", "Generator", "clips", "largest sample"],
        rows,
        [],
        loud,
        2,
        ["Full scale is 1: a recorder would clip these samples; detectors are given them as they are."] if rows else [],
    )

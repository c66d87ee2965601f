"""Commands that put results side by side, and the one that plans a study."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asdbench.cli.options import table_options, with_options
from asdbench.errors import UserError

if TYPE_CHECKING:
    from asdbench.report.table import Table


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@with_options(table_options)
def compare(runs: tuple[Path, ...], csv: bool, out: Path | None) -> None:
    """Put the generators of RUNS side by side; without RUNS, judge the published Table IV.

    A run is its folder. All must have been tested on the same real clips, with the same detectors and seeds. Where a
    generator was run with several values of a setting (guidance, checkpoints, exposure), a table follows it as a curve.
    """
    from asdbench.results import load
    from asdbench.side_by_side import curves, side_by_side
    from asdbench.side_by_side.curves import draw
    from asdbench.side_by_side.rates import draw_rates

    loaded = [load(run) for run in dict.fromkeys(runs)]
    followed = curves(loaded)

    def add_pictures(into: Path) -> None:
        for table in followed:
            draw(table, into / f"{table.name}.png")
        draw_rates(loaded, into)

    show_tables([*side_by_side(loaded), *followed], csv, out, add_pictures)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@with_options(table_options)
def leaderboard(folder: Path, csv: bool, out: Path | None) -> None:
    """Rank the generators of all runs below FOLDER.

    Runs on other real clips, machines, detectors or seeds have a board of their own: ranks across them would mean
    nothing.
    """
    from asdbench import side_by_side

    show_tables([board.table for board in side_by_side.leaderboard(folder)], csv, out)


def show_tables(
    shown: list[Table], csv: bool, out: Path | None, add: Callable[[Path], None] = lambda folder: None
) -> None:
    """Print tables, or the numbers of the first; write them to a folder where there is one, with what ``add`` adds."""
    from asdbench.report import formats, render_tables
    from asdbench.report.write import texts_of, write_texts
    from asdbench.store import disk_errors

    if out is not None:
        with disk_errors(out):
            write_texts(texts_of(shown), out)
            add(out)
    if csv:
        click.echo(formats.to_csv(shown[0].numbers), nl=False)
    else:
        click.echo(render_tables(shown), nl=False)
    if out is not None:
        click.echo(f"{out}: {len(shown)} tables", err=True)


@click.command()
@click.option("--auc", type=click.FloatRange(0, 1, min_open=True, max_open=True), required=True, help="On real clips.")
@click.option("--gap", type=float, help="Gap that is to be found, as a fraction: 0.05 is 5 points.")
@click.option("--clips", type=click.IntRange(2), help="Clips of each kind, to ask which gap they show.")
@click.option("--power", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.8, show_default=True)
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--group-size", type=click.IntRange(1), default=1, help="Clips of a group, such as a recording.")
@click.option("--group-correlation", type=click.FloatRange(0, 1), help="Share of the scores' variance between groups.")
def power(
    auc: float,
    gap: float | None,
    clips: int | None,
    power: float,
    alpha: float,
    group_size: int,
    group_correlation: float | None,
) -> None:
    """Say how many clips a study needs to show a gap, or which gap a number of clips shows."""
    from asdbench.compare.power import clips_needed, design_effect, detectable_gap

    if (gap is None) == (clips is None):
        raise UserError("give either --gap (to ask for clips) or --clips (to ask for the gap)")
    if (group_size > 1) != (group_correlation is not None):
        raise UserError("--group-size and --group-correlation go together: give both, or none where clips are alone")
    effect = design_effect(group_size, group_correlation or 0.0)

    def in_groups(number: int) -> str:
        return f" in groups of {group_size} ({math.ceil(number / group_size)} groups)" if group_size > 1 else ""

    how = f"with a probability of {power:.0%} at level {alpha:g}, at AUC {auc:g} on real clips"
    try:
        if gap is not None:
            needed = math.ceil(clips_needed(auc, gap, power, alpha) * effect)
            kinds = f"clips each (normal, real anomalous, generated){in_groups(needed)}"
            click.echo(f"{needed} {kinds} show a gap of {100 * abs(gap):g} points {how}")
        else:
            counted = math.floor((clips or 0) / effect)
            found = detectable_gap(auc, counted, power, alpha) if counted >= 2 else float("nan")
            shown = "no gap at all" if found != found else f"a gap of {100 * found:.1f} points or more"
            kinds = f"clips each (normal, real anomalous, generated){in_groups(clips or 0)}"
            click.echo(f"{clips} {kinds} show {shown} {how}")
    except ValueError as error:
        raise UserError(f"--gap {gap}: {error}") from error

"""Commands for the files of DCASE Task 2."""

from __future__ import annotations

from pathlib import Path

import click

from asdbench.cli.options import FOLDER, split_names, table_options, with_options
from asdbench.cli.tables import show_tables


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--truth", type=FOLDER, help="Folder with truth files, for clips whose names do not tell.")
@click.option("--year", type=click.IntRange(2020, 2026), help="Year of the challenge, where file names do not say it.")
@click.option(
    "--machines",
    callback=split_names,
    help="Comma-separated machine types that make up the score.  [default: all that are scored]",
)
@with_options(table_options)
def evaluate(
    folder: Path, truth: Path | None, year: int | None, machines: tuple[str, ...], csv: bool, out: Path | None
) -> None:
    """Evaluate score and decision files of DCASE Task 2, anybody's, in and below FOLDER.

    Each folder, and each seed in the names of baseline files, is a system with a row of its own. Truth is taken from
    the clips' names and from the organisers' ground_truth files.
    """
    from asdbench.challenge.evaluation import evaluate as evaluate_folder
    from asdbench.report import formats
    from asdbench.report.roc_picture import draw_pictures
    from asdbench.results import CURVES

    found = evaluate_folder(folder, truth, year, machines)

    def add_curves(into: Path) -> None:
        curves = found.curves()
        (into / CURVES).write_bytes(formats.to_csv(curves).encode())
        draw_pictures(curves.rename(columns={"system": "label"}), into)

    show_tables(found.tables(), csv, out, add_curves)

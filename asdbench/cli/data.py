"""Commands for public recordings: bring them here, check them, list what is there."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from asdbench.cli.options import FOLDER, split_names

ROOT = click.option(
    "--root", type=FOLDER, default=Path("data"), show_default=True, help="Folder of all data sets, ROOT/NAME each."
)


def _split_parts(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for value in values for part in split_names(context, option, value)))


@click.group()
def data() -> None:
    """Bring public recordings here (DCASE Task 2, MIMII, MIMII DG), check them, list them."""


@data.command("get")
@click.argument("name")
@click.option("--machines", callback=split_names, help="Comma-separated machine types.  [default: all]")
@click.option(
    "--part",
    "parts",
    multiple=True,
    callback=_split_parts,
    help="Part to bring, such as eval_train; more than one with commas.  [default: the first in `data list NAME`]",
)
@ROOT
@click.option(
    "--from",
    "source",
    help="Folder or address that holds the archives, or an address like Zenodo's …/api/records."
    "  [default: ASDBENCH_DATA_FROM or Zenodo]",
)
@click.option("--keep-archives", "keep", is_flag=True, help="Keep the archives, in ROOT/NAME/archives.")
@click.option("--yes", is_flag=True, help="Do not ask before the download.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def get(
    name: str,
    machines: tuple[str, ...],
    parts: tuple[str, ...],
    root: Path,
    source: str | None,
    keep: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Download recordings to ROOT/NAME.

    Sizes and licence are shown first, checksums verified, and a machine is there whole or not at all. What is there
    already is not fetched again, and what broke off goes on where it stopped.
    """
    from asdbench.downloads import asking
    from asdbench.downloads.catalogue import collection
    from asdbench.progress import Progress

    wanted = collection(name)
    archives = wanted.choose(machines, parts)
    folder = root / name
    asking.get(wanted, folder, archives, source=source, keep=keep, yes=yes, progress=Progress(quiet))
    chosen = list(dict.fromkeys(archive.part for archive in archives))
    click.echo(f"{folder}: {', '.join(dict.fromkeys(archive.machine for archive in archives))}; a spec reads it with")
    for line in wanted.spec_lines(str(folder), chosen):
        click.echo(f"  {line}")


@data.command()
@click.argument("names", nargs=-1)
@ROOT
@click.option("--quiet", is_flag=True, help="Show no progress.")
def verify(names: tuple[str, ...], root: Path, quiet: bool) -> None:
    """Compare files with their checksums.

    All of NAMES, or all that is there; exit code 1 if one is missing, changed or extra.
    """
    from asdbench.downloads import taking_stock
    from asdbench.downloads.catalogue import collection, collections
    from asdbench.downloads.manifest import NAME, read_manifest
    from asdbench.errors import UserError
    from asdbench.progress import Progress

    wanted = [collection(name) for name in names] or [
        each for each in collections().values() if (root / each.name / NAME).exists()
    ]
    if not wanted:
        raise UserError(f"{root} holds nothing that was downloaded with `asdbench data get`")
    sound = True
    for each in wanted:
        folder = root / each.name
        files = sum(record.count for record in read_manifest(folder, each.name).archives.values())
        with Progress(quiet).steps(f"reading {each.name}", files, "file") as steps:
            findings = taking_stock.verify(each, folder, steps.advance)
        for finding in findings:
            if finding.differences:
                sound = False
                click.echo(f"{finding.folder}: {finding.differences}")
            else:
                click.echo(f"{finding.folder}: {finding.record.count} files as downloaded")
    if not sound:
        sys.exit(1)


@data.command("list")
@click.argument("name", required=False)
@ROOT
def list_data(name: str | None, root: Path) -> None:
    """List what there is and what is here.

    With NAME each archive of one, and how a spec reads it.
    """
    from asdbench.downloads import taking_stock
    from asdbench.downloads.catalogue import collection, collections

    click.echo(
        taking_stock.details(collection(name), root) if name else taking_stock.overview(collections().values(), root)
    )

"""Recordings that a data root lacks: which collection has them, the command that brings them, bringing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asdbench import UserError
from asdbench.datasets.dcase.tree import place
from asdbench.datasets.listing import walk
from asdbench.downloads import asking
from asdbench.downloads.catalogue import Collection, collections
from asdbench.progress import Progress

_ROOT = "data"
"""Where `asdbench data get` puts collections by default."""


def collection_of(root: Path, year: int | None) -> Collection | None:
    """The collection that belongs under a root: that of the year, or the one that the root is named after."""
    return _readable().get(root.name if year is None else f"dcase{year}")


def _readable() -> dict[str, Collection]:
    """The collections that the dataset `dcase` reads, by name."""
    return {name: each for name, each in collections().items() if each.reads["use"] == "dcase"}


def advice(root: Path, year: int | None, machines: Sequence[str] | None = None) -> str:
    """What to call to have recordings under a root, for messages; "" where no collection is known for it."""
    collection = collection_of(root, year)
    if collection is None:
        return ""
    here = root.name == collection.name
    words = ["asdbench data get", collection.name, f"--machines {','.join(machines or ['…'])}"]
    words += [f"--root {root.parent}"] if here and str(root.parent) != _ROOT else []
    then = "" if here else f" and set root to {_ROOT}/{collection.name}"
    return f"`{' '.join(words)}`{then}"


def fetch_missing(root: Path, year: int | None, machines: Sequence[str] | None) -> None:
    """Download the machine types that a root lacks, after asking.

    Args:
        root: the data root; made where it is absent.
        year: of the challenge, or None.
        machines: those that are needed; None for all of the collection's first part where there are none at all.

    Raises:
        UserError: no collection is known for this root; a machine cannot be had; there is nobody to ask.
    """
    folders = walk(root) if root.is_dir() else []
    there = {where.machine for folder in folders if folder.audio and (where := place(folder))}
    missing = [machine for machine in machines or () if machine not in there]
    if not missing and (machines or there):
        return
    collection = collection_of(root, year)
    if collection is None:
        names = ", ".join(_readable())
        raise UserError(f"download: it is not clear which recordings belong to {root}; give 'year', or call it {names}")
    archives = collection.choose(missing, None)
    lacking = [archive.machine for archive in archives]
    try:
        asking.get(collection, root, archives, otherwise="", progress=Progress())
    except UserError as error:
        raise UserError(
            f"{root} lacks {', '.join(lacking)}: {error}; {advice(root, year, lacking)} brings them"
        ) from error

"""Asking before anything is downloaded: what it is, how much, under which licence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from asdbench.downloads.catalogue import Archive, Collection
from asdbench.downloads.getting import carry_out
from asdbench.downloads.planning import Getting, plan_getting
from asdbench.errors import UserError
from asdbench.progress import Progress


def get(
    collection: Collection,
    folder: Path,
    archives: Sequence[Archive],
    *,
    source: str | None = None,
    keep: bool = False,
    yes: bool = False,
    otherwise: str = "; add --yes",
    progress: Progress,
) -> Getting:
    """Say what would be downloaded, ask, and download it; say nothing where all is there.

    Args:
        collection: which recordings.
        folder: where they go.
        archives: those that are wanted.
        source: see `planning.plan_getting`.
        keep: archives are to stay.
        yes: do not ask.
        otherwise: what to do where there is no terminal to ask on, for the message.
        progress: shows how far it is.

    Raises:
        UserError: as of `planning.plan_getting` and `getting.carry_out`; the answer was no, or there is no terminal.
    """
    getting = plan_getting(collection, folder, archives, source=source, keep=keep, say=progress.say)
    if not getting.offers:
        return getting
    click.echo(getting.text(), err=True)
    if not yes:
        if not _terminal():
            raise UserError(f"there is no terminal to ask on whether to download this{otherwise}")
        try:
            agreed = click.confirm("Download?", err=True)
        except click.Abort:  # what click makes of Ctrl-C
            raise KeyboardInterrupt from None
        if not agreed:
            raise UserError("nothing was downloaded")
    carry_out(getting, progress)
    return getting


def _terminal() -> bool:
    """Whether somebody can be asked and sees the question."""
    return sys.stdin.isatty() and sys.stderr.isatty()

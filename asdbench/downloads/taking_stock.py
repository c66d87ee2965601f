"""What is there: every collection, part and machine type with its state, and files compared with their checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asdbench.downloads.catalogue import Archive, Collection
from asdbench.downloads.manifest import NAME, ArchiveRecord, Differences, differences, read_manifest
from asdbench.errors import UserError
from asdbench.progress import readable_bytes


@dataclass(frozen=True)
class Holding:
    """One archive of the catalogue and what there is of it.

    Attributes:
        archive: which.
        state: "there", "absent", "differs" (from what was downloaded) or "other" (it came from elsewhere).
        record: of the manifest, where there is one.
    """

    archive: Archive
    state: str
    record: ArchiveRecord | None


def holdings(collection: Collection, folder: Path) -> list[Holding]:
    """The state of every archive of a collection, going by the sizes of files.

    Raises:
        UserError: the manifest is damaged.
    """
    manifest = read_manifest(folder, collection.name)
    found = []
    for archive in collection.archives:
        record = manifest.archives.get(archive.file)
        if not (folder / archive.folder).exists():
            state = "absent"
        elif record is None:
            state = "other"
        else:
            state = "differs" if differences(folder, record, contents=False) else "there"
        found.append(Holding(archive, state, record))
    return found


def overview(collections: Iterable[Collection], root: Path) -> str:
    """Every part of every collection in a line: record, licence, what is there, and how much it is."""
    rows = [("data set", "part", "record", "there", "files", "size", "licence")]
    for collection in collections:
        found = holdings(collection, root / collection.name)
        for part in collection.parts:
            inside = [holding for holding in found if holding.archive.part == part]
            there = [holding for holding in inside if holding.state == "there" and holding.record]
            records = [holding.record for holding in there if holding.record]
            said = f"{len(there)} of {len(inside)} machines"
            for state, words in (("differs", "changed"), ("other", "from elsewhere")):
                count = sum(holding.state == state for holding in inside)
                said += f", {count} {words}" if count else ""
            rows.append(
                (
                    collection.name,
                    part,
                    str(inside[0].archive.record),
                    said,
                    str(sum(record.count for record in records)) if records else "",
                    readable_bytes(sum(record.bytes for record in records)) if records else "",
                    ", ".join(sorted({record.licence or "not stated" for record in records})),
                )
            )
    return _columns(rows)


def details(collection: Collection, root: Path) -> str:
    """Every archive of a collection in a line, and how its parts are read."""
    folder = root / collection.name
    rows = [("part", "machine", "archive", "there", "files", "size", "licence", "downloaded")]
    words = {"there": "yes", "absent": "no", "differs": "changed", "other": "from elsewhere"}
    for holding in holdings(collection, folder):
        archive, record = holding.archive, holding.record
        about = ("", "", "", "")
        if record is not None:
            about = (str(record.count), readable_bytes(record.bytes), record.licence or "not stated", record.date)
        rows.append((archive.part, archive.machine, archive.file, words[holding.state], *about))
    return "\n".join([_columns(rows), "", *collection.spec_lines(str(folder), collection.parts)])


@dataclass(frozen=True)
class Finding:
    """One archive whose files were read: the folder that holds them, and how they differ."""

    folder: Path
    record: ArchiveRecord
    differences: Differences


def verify(collection: Collection, folder: Path, advance: Callable[[int], None]) -> list[Finding]:
    """Compare every file of the archives that were downloaded with its checksum.

    Args:
        collection: which recordings.
        folder: of the collection.
        advance: called with the number of files that were read.

    Raises:
        UserError: nothing was downloaded to this folder; a file cannot be read.
    """
    manifest = read_manifest(folder, collection.name)
    if not manifest.archives:
        raise UserError(f"{folder / NAME}: there is no such file, so nothing was downloaded with `asdbench data get`")
    findings = []
    for record in manifest.archives.values():
        findings.append(Finding(folder / record.folder, record, differences(folder, record, contents=True)))
        advance(record.count)
    return findings


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)

"""What getting archives would take: which are not there, with which checksums, and whether they fit on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from asdbench.downloads.catalogue import Archive, Collection
from asdbench.downloads.http import Patience, Say
from asdbench.downloads.manifest import NAME, Manifest, differences, read_manifest
from asdbench.downloads.sources import ZENODO, Offer, source_of
from asdbench.downloads.transfer import part_of
from asdbench.errors import UserError
from asdbench.progress import readable_bytes

SOURCE_VARIABLE = "ASDBENCH_DATA_FROM"
KEPT = "archives"
"""Folder of the archives that are kept."""
WORK = ".download"
"""Folder of what is on its way: hidden, so that readers of recordings leave it out."""
EXTRACTED = 1.5
"""Of an archive's size: what its files take up, as long as only the archive's size is known."""


@dataclass(frozen=True)
class Getting:
    """What a call would do.

    Attributes:
        collection: which recordings.
        folder: of the collection, made where it is absent.
        source: where archives come from, as given.
        present: wanted archives that are there already.
        offers: those that are not, as the source has them, with the checksum that they must have ("" where none is
            known yet).
        room: bytes that the disk must have free for it.
        free: bytes that it has free.
        keep: archives stay after they were extracted.
    """

    collection: Collection
    folder: Path
    source: str
    present: tuple[Archive, ...]
    offers: tuple[Offer, ...]
    room: int
    free: int
    keep: bool

    @property
    def transfer(self) -> int:
        """Bytes that are still to come; what lies in a folder does not travel."""
        return sum(_to_come(self.folder, offer) for offer in self.offers)

    def text(self) -> str:
        """What would be done, for people: archives with sizes and checksums, licence, room."""
        name = self.collection.name
        lines = [f"{name}: {archive.file} is there" for archive in self.present]
        if not self.offers:
            return "\n".join(lines)
        width = max(len(offer.archive.file) for offer in self.offers)
        for offer in self.offers:
            archive = offer.archive
            checksum = f"md5 {offer.md5}" if offer.md5 else "no checksum known: locked by this download"
            begun = offer.size - _to_come(self.folder, offer) if isinstance(offer.place, str) else 0
            part = f", {readable_bytes(begun)} of it here" if begun else ""
            lines.append(
                f"{name}: {archive.file:<{width}}  {archive.part}  {readable_bytes(offer.size):>8}  {checksum}{part}"
            )
        for record, licence in dict.fromkeys((offer.archive.record, offer.licence) for offer in self.offers):
            lines.append(f"licence: {licence or 'not stated here'} (zenodo.org/records/{record})")
        lines.append(
            f"from {self.source} to {self.folder}: {readable_bytes(self.transfer)} to download, about "
            f"{readable_bytes(self.room)} of room needed, {readable_bytes(self.free)} free"
        )
        return "\n".join(lines)


def plan_getting(
    collection: Collection,
    folder: Path,
    archives: Sequence[Archive],
    *,
    source: str | None = None,
    keep: bool = False,
    patience: Patience | None = None,
    say: Say,
) -> Getting:
    """Find out what is to be done; nothing is written.

    Args:
        collection: which recordings.
        folder: of the collection.
        archives: those that are wanted.
        source: an address or folder, see `sources.source_of`; by default the environment variable ASDBENCH_DATA_FROM,
            or Zenodo.
        keep: archives are to stay after they were extracted.
        patience: how often to ask.
        say: told about pauses.

    Raises:
        UserError: the source lacks an archive or states another checksum than is known; something else stands where
            the recordings would go; the disk has not enough room.
    """
    manifest = read_manifest(folder, collection.name)
    present = tuple(archive for archive in archives if is_present(folder, manifest, archive))
    wanted = [archive for archive in archives if archive not in present]
    source = source or os.environ.get(SOURCE_VARIABLE) or ZENODO
    free = shutil.disk_usage(_existing(folder)).free
    if not wanted:
        return Getting(collection, folder, source, present, (), 0, free, keep)
    offers = source_of(source, patience or Patience(attempts=3)).offers(wanted, say)
    known = tuple(with_checksum(folder, manifest, offer) for offer in offers)
    room = _room(folder, known, keep)
    if room > free:
        raise UserError(
            f"{folder}: the disk has {readable_bytes(free)} free, but about {readable_bytes(room)} are needed for "
            f"{'archives' if len(known) > 1 else known[0].archive.file} and what they become; free room, or take fewer "
            "machines"
        )
    return Getting(collection, folder, source, present, known, room, free, keep)


def is_present(folder: Path, manifest: Manifest, archive: Archive) -> bool:
    """Whether an archive's files are there, going by their sizes.

    Raises:
        UserError: some are there and some are not, or the manifest does not know them.
    """
    target = folder / archive.folder
    record = manifest.archives.get(archive.file)
    if not target.exists():
        return False
    if record is None:
        raise UserError(
            f"{target} is there but not in {folder / NAME}, so it came from elsewhere; use it as it is, or "
            "move it away to get it anew"
        )
    found = differences(folder, record, contents=False)
    if found:
        raise UserError(f"{target} differs from what was downloaded: {found}; move it away to get it anew")
    return True


def with_checksum(folder: Path, manifest: Manifest, offer: Offer) -> Offer:
    """An offer with the checksum that it must have.

    Raises:
        UserError: what the source states differs from what is known.
    """
    archive, record = offer.archive, manifest.archives.get(offer.archive.file)
    known = [(archive.md5, "known for this file")] if archive.md5 else []
    known += [(record.md5, f"of the first download, in {folder / NAME}")] if record is not None else []
    for expected, why in known:
        if offer.md5 and offer.md5 != expected:
            raise UserError(f"{archive.file}: the source states the md5 {offer.md5}, expected {expected} ({why})")
    licence = offer.licence or (record.licence if record is not None else "")
    md5, why = known[0] if known else (offer.md5, "as the source states")
    return replace(offer, md5=md5, md5_from=why, licence=licence)


def _to_come(folder: Path, offer: Offer) -> int:
    """Bytes of an archive that are not on the disk yet; none of what lies in a folder."""
    if isinstance(offer.place, Path):
        return 0
    here = [folder / KEPT / offer.archive.file, folder / WORK / offer.archive.file]
    here.append(part_of(here[-1]))
    for path in here:
        with suppress(OSError):
            return max(0, offer.size - path.stat().st_size)
    return offer.size


def _room(folder: Path, offers: Sequence[Offer], keep: bool) -> int:
    """Bytes that must be free: archives go once they were extracted, so it counts how much there is at any time."""
    most = taken = 0
    for offer in offers:
        coming, extracted = _to_come(folder, offer), int(EXTRACTED * offer.size)
        most = max(most, taken + coming + extracted)
        taken += extracted + (coming if keep else coming - offer.size if isinstance(offer.place, str) else 0)
    return max(most, 0)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())

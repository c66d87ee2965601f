"""Bringing archives: what is wanted and not there, whether it fits on the disk, then one archive after the other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from asdbench.downloads.catalogue import Archive, Collection
from asdbench.downloads.http import Patience, Say
from asdbench.downloads.manifest import (
    ArchiveRecord,
    Manifest,
    differences,
    md5_of,
    read_manifest,
    write_manifest,
)
from asdbench.downloads.sources import ZENODO, Offer, source_of
from asdbench.downloads.transfer import discard, fetch, part_of
from asdbench.downloads.unzip import ArchiveError, Extraction
from asdbench.errors import UserError
from asdbench.folders import locked, remove_abandoned, temporary_folder
from asdbench.progress import BYTES, Progress, readable_bytes
from asdbench.store import disk_errors

SOURCE_VARIABLE = "ASDBENCH_DATA_FROM"
KEPT = "archives"
"""Folder of the archives that are kept."""
EXTRACTED = 1.5
"""Of an archive's size: what its files take up, as long as only the archive's size is known."""
_WORK = ".download"
"""Folder of what is on its way: hidden, so that readers of recordings leave it out."""


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
    known = tuple(_with_checksum(folder, manifest, offer) for offer in offers)
    room = _room(folder, known, keep)
    if room > free:
        raise UserError(
            f"{folder}: the disk has {readable_bytes(free)} free, but about {readable_bytes(room)} are needed for "
            f"{'archives' if len(known) > 1 else known[0].archive.file} and what they become; free room, or take fewer "
            "machines"
        )
    return Getting(collection, folder, source, present, known, room, free, keep)


def carry_out(getting: Getting, progress: Progress, patience: Patience | None = None) -> None:
    """Bring the archives, one after the other; each is there whole or not at all.

    Raises:
        UserError: one cannot be had, has another checksum than expected, or must not be extracted. Those before it are
            there, and the same call goes on with it.
    """
    if not getting.offers:
        return
    folder = getting.folder
    with _work(folder, progress) as work:
        for offer in getting.offers:
            manifest = read_manifest(folder, getting.collection.name)
            if is_present(folder, manifest, offer.archive):
                continue  # another process brought it while this one waited
            offer = _with_checksum(folder, manifest, offer)
            path = _archive(getting, offer, work, progress, patience or Patience())
            try:
                _extract(getting, offer, path, work, manifest, progress)
            except ArchiveError:
                if isinstance(offer.place, str):
                    discard(path)
                raise
            if isinstance(offer.place, str):
                _put_away(path, folder, getting.keep)


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
            f"{target} is there but not in {folder / 'manifest.json'}, so it came from elsewhere; use it as it is, or "
            "move it away to get it anew"
        )
    found = differences(folder, record, contents=False)
    if found:
        raise UserError(f"{target} differs from what was downloaded: {found}; move it away to get it anew")
    return True


def _with_checksum(folder: Path, manifest: Manifest, offer: Offer) -> Offer:
    """An offer with the checksum that it must have.

    Raises:
        UserError: what the source states differs from what is known.
    """
    archive, record = offer.archive, manifest.archives.get(offer.archive.file)
    known = [(archive.md5, "known for this file")] if archive.md5 else []
    known += [(record.md5, f"of the first download, in {folder / 'manifest.json'}")] if record is not None else []
    for expected, why in known:
        if offer.md5 and offer.md5 != expected:
            raise UserError(f"{archive.file}: the source states the md5 {offer.md5}, expected {expected} ({why})")
    licence = offer.licence or (record.licence if record is not None else "")
    return replace(offer, md5=known[0][0] if known else offer.md5, licence=licence)


def _archive(getting: Getting, offer: Offer, work: Path, progress: Progress, patience: Patience) -> Path:
    """Where the whole archive lies, after it was fetched if need be, with the right checksum.

    Raises:
        UserError: it cannot be had, or its checksum is wrong; it is then removed where it was fetched.
    """
    if isinstance(offer.place, Path):
        _check_md5(offer, offer.place, progress)
        return offer.place
    kept = getting.folder / KEPT / offer.archive.file
    path = work / offer.archive.file
    for there in (kept, path):
        same_size = there.is_file() and there.stat().st_size == offer.size
        if same_size and (not offer.md5 or md5_of(there) == offer.md5):
            return there
    with progress.steps(offer.archive.file, offer.size, BYTES) as steps:
        fetch(offer.place, path, offer.size, patience=patience, say=progress.say, advance=steps.advance)
    try:
        _check_md5(offer, path, progress)
    except UserError:
        discard(path)
        raise
    return path


def _check_md5(offer: Offer, path: Path, progress: Progress) -> None:
    if not offer.md5:
        return
    progress.say(f"{offer.archive.file}: checking")
    found = md5_of(path)
    if found != offer.md5:
        raise UserError(f"{offer.place}: the file has the md5 {found}, expected {offer.md5}; nothing was extracted")


def _extract(getting: Getting, offer: Offer, path: Path, work: Path, manifest: Manifest, progress: Progress) -> None:
    """Extract an archive beside its place, note it in the manifest, and move it there in one step."""
    archive, target = offer.archive, getting.folder / offer.archive.folder
    extraction = Extraction(path, archive.machine)
    free = shutil.disk_usage(getting.folder).free
    if extraction.bytes > free:
        raise UserError(
            f"{getting.folder}: the disk has {readable_bytes(free)} free, but {archive.file} becomes "
            f"{readable_bytes(extraction.bytes)}; free room and call again"
        )
    with disk_errors(target), temporary_folder(work) as folder:
        with progress.steps(f"extracting {archive.file}", extraction.bytes, BYTES) as steps:
            files = extraction.extract_to(folder / "content", steps.advance)
        record = ArchiveRecord(
            part=archive.part,
            machine=archive.machine,
            record=archive.record,
            source=str(offer.place),
            size=path.stat().st_size,
            md5=offer.md5 or md5_of(path),
            licence=offer.licence,
            date=datetime.now(UTC).date().isoformat(),
            folder=archive.folder,
            count=extraction.count,
            bytes=extraction.bytes,
            files=files,
        )
        # The manifest first: where the process ends in between, the archive counts as not there, and is brought again.
        manifest.archives[archive.file] = record
        write_manifest(getting.folder, manifest)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder / "content", target)


def _put_away(path: Path, folder: Path, keep: bool) -> None:
    """Keep or remove an archive that was extracted."""
    kept = folder / KEPT / path.name
    if path == kept:
        return
    if keep:
        with disk_errors(kept):
            kept.parent.mkdir(exist_ok=True)
            os.replace(path, kept)
    else:
        path.unlink()


@contextmanager
def _work(folder: Path, progress: Progress) -> Iterator[Path]:
    """The folder of what is on its way, for this process alone."""
    work = folder / _WORK
    with disk_errors(folder):
        work.mkdir(parents=True, exist_ok=True)
        lock = locked(work / "lock", lambda: progress.say(f"{folder}: waiting for another download to it"))
    with lock:
        remove_abandoned(work)
        yield work


def _to_come(folder: Path, offer: Offer) -> int:
    """Bytes of an archive that are not on the disk yet; none of what lies in a folder."""
    if isinstance(offer.place, Path):
        return 0
    here = [folder / KEPT / offer.archive.file, folder / _WORK / offer.archive.file]
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

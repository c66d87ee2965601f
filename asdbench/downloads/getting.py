"""Bringing archives, one after the other: fetched, checked, extracted beside their place, moved there in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from asdbench.downloads.http import Patience
from asdbench.downloads.manifest import ArchiveRecord, Manifest, md5_of, read_manifest, write_manifest
from asdbench.downloads.planning import KEPT, WORK, Getting, is_present, with_checksum
from asdbench.downloads.sources import Offer
from asdbench.downloads.transfer import discard, fetch
from asdbench.downloads.unzip import ArchiveError, Extraction
from asdbench.errors import UserError
from asdbench.folders import locked, remove_abandoned, temporary_folder
from asdbench.progress import BYTES, Progress, readable_bytes
from asdbench.store import disk_errors


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
            offer = with_checksum(folder, manifest, offer)
            path = _archive(getting, offer, work, progress, patience or Patience())
            try:
                _extract(getting, offer, path, work, manifest, progress)
            except ArchiveError:
                if isinstance(offer.place, str) and not offer.md5:
                    discard(path)  # it may be that it did not arrive well; what has its checksum did
                raise
            if isinstance(offer.place, str):
                _put_away(path, folder, getting.keep)


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
        raise UserError(
            f"{offer.place}: the file has the md5 {found}, expected {offer.md5} ({offer.md5_from}); nothing was "
            "extracted"
        )


def _extract(getting: Getting, offer: Offer, path: Path, work: Path, manifest: Manifest, progress: Progress) -> None:
    """Extract an archive beside its place, note it in the manifest, and move it there in one step."""
    archive, target = offer.archive, getting.folder / offer.archive.folder
    others = set(getting.collection.machines) - {archive.machine}
    extraction = Extraction(path, archive.machine, others)
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
    work = folder / WORK
    with disk_errors(folder):
        work.mkdir(parents=True, exist_ok=True)
        lock = locked(work / "lock", lambda: progress.say(f"{folder}: waiting for another download to it"))
    with lock:
        remove_abandoned(work)
        yield work

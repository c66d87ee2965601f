"""Where archives come from: Zenodo, a server that answers like it, a server or a folder that holds the archives."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urljoin, urlsplit

from asdbench.downloads.catalogue import Archive
from asdbench.downloads.http import BrokenConnectionError, Patience, Say, check_address, opened, read_some
from asdbench.errors import UserError, did_you_mean

ZENODO = "https://zenodo.org/api/records"
_API = "/api/records"
_LARGEST_ANSWER = 10_000_000
_HINT = "give another source with --from, such as a folder that holds the archives"
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Offer:
    """An archive as a source has it.

    Attributes:
        archive: which.
        place: its address, or its path where it lies in a folder.
        size: in bytes.
        md5: as the source states it, "" where it states none.
        licence: as the source states it, "" where it states none.
        md5_from: where the md5 comes from, for messages.
    """

    archive: Archive
    place: str | Path
    size: int
    md5: str = ""
    licence: str = ""
    md5_from: str = ""


class Source(Protocol):
    """Says what it has of archives; nothing is fetched."""

    def offers(self, archives: Sequence[Archive], say: Say) -> list[Offer]:
        """One offer an archive, in their order.

        Raises:
            UserError: the source cannot be reached, or lacks one of them.
        """
        ...


def source_of(text: str, patience: Patience) -> Source:
    """Understand what was given as ``--from``.

    An address that ends in ``/api/records`` is asked like Zenodo, for ``ADDRESS/RECORD``. Any other address, and any
    folder, holds the archives of a collection under their names.

    Raises:
        UserError: it is neither an address nor a folder.
    """
    if "://" not in text:
        folder = Path(text).expanduser()
        if not folder.is_dir():
            raise UserError(f"--from {text}: there is no such folder; expected a folder or an address (http://…)")
        return _InFolder(folder)
    check_address(text)
    base = text.rstrip("/")
    return _Records(base, patience) if urlsplit(base).path.endswith(_API) else _OnServer(base, patience)


class _Records:
    """Records in the form of Zenodo's REST API: sizes, checksums, addresses of files, and the licence."""

    def __init__(self, base: str, patience: Patience) -> None:
        self._base, self._patience = base, patience

    def offers(self, archives: Sequence[Archive], say: Say) -> list[Offer]:
        records = {record: self._ask(record, say) for record in {archive.record: None for archive in archives}}
        return [self._offer(archive, records[archive.record]) for archive in archives]

    def _ask(self, record: int, say: Say) -> dict[str, Any]:
        url = f"{self._base}/{record}"
        body = b""

        def attempt() -> bool:
            nonlocal body
            body = b""
            with opened(url, {"Accept": "application/json"}) as answer:
                length = answer.headers.get("Content-Length")
                while chunk := read_some(answer, _LARGEST_ANSWER):
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        raise UserError(f"{url}: the answer is longer than {_LARGEST_ANSWER} bytes, expected a record")
            if length and length.isdecimal() and len(body) < int(length):
                raise BrokenConnectionError(f"the connection broke after {len(body)} of {length} bytes")
            return True

        self._patience.keep_trying(url, attempt, say, _HINT)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise UserError(f"{url}: the answer is no JSON, expected a record of Zenodo") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("files"), list):
            raise UserError(f"{url}: the answer has no list 'files', expected a record of Zenodo")
        return answer

    def _offer(self, archive: Archive, record: dict[str, Any]) -> Offer:
        url = f"{self._base}/{archive.record}"
        files = {str(file.get("key")): file for file in record["files"] if isinstance(file, dict)}
        if archive.file not in files:
            raise UserError(f"{url}: the record has no file '{archive.file}'{did_you_mean(archive.file, files)}")
        file = files[archive.file]
        try:
            size = file["size"]
            kind, _, md5 = str(file["checksum"]).partition(":")
            address = urljoin(f"{url}/", str(file["links"]["self"]))
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{url}: the entry of '{archive.file}' lacks size, checksum or links.self, expected a record of Zenodo"
            ) from error
        if type(size) is not int or size < 1:
            raise UserError(f"{url}: the size of '{archive.file}' is {size!r}, expected a number of bytes")
        if kind != "md5" or not _MD5.fullmatch(md5):
            raise UserError(
                f"{url}: the checksum of '{archive.file}' is '{file['checksum']}', expected md5: and 32 hex digits"
            )
        check_address(address)
        return Offer(archive, address, size, md5, _licence(record))


class _OnServer:
    """A server that holds the archives under their names, and says only how long they are."""

    def __init__(self, base: str, patience: Patience) -> None:
        self._base, self._patience = base, patience

    def offers(self, archives: Sequence[Archive], say: Say) -> list[Offer]:
        return [self._offer(archive, say) for archive in archives]

    def _offer(self, archive: Archive, say: Say) -> Offer:
        url = f"{self._base}/{quote(archive.file)}"
        length = ""

        def attempt() -> bool:
            nonlocal length
            with opened(url, method="HEAD") as answer:
                length = answer.headers.get("Content-Length") or ""
            return True

        self._patience.keep_trying(url, attempt, say, _HINT)
        if not length.isdecimal() or int(length) < 1:
            raise UserError(f"{url}: the server does not say how long the file is (Content-Length: '{length}')")
        return Offer(archive, url, int(length))


class _InFolder:
    """A folder that holds the archives under their names; they are read where they lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offers(self, archives: Sequence[Archive], say: Say) -> list[Offer]:
        offers = []
        for archive in archives:
            path = self._folder / archive.file
            if not path.is_file():
                raise UserError(f"{self._folder} holds no file '{archive.file}'")
            offers.append(Offer(archive, path, path.stat().st_size))
        return offers


def _licence(record: dict[str, Any]) -> str:
    """The licence of a record: ``metadata.license.id``, or ``metadata.license`` itself where that is text."""
    metadata = record.get("metadata")
    licence = metadata.get("license") if isinstance(metadata, dict) else None
    if isinstance(licence, dict):
        licence = licence.get("id")
    return licence if isinstance(licence, str) else ""

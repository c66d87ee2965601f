"""A server that can be told to misbehave, archives in memory, and retries without pauses."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import soundfile


class Server:
    """Files over HTTP on a port of this machine.

    Attributes:
        files: content by path.
        etags: entity tag by path, for those that have one.
        faults: by path, what goes wrong with the next requests, one entry a request: a status code; ``("cut", n)``:
            only n bytes of the body are sent; ``("stall", n)``: the same, and the connection stays open; ``("length",
            n)``: the header says n bytes and so many are sent, padded; ``("unsaid", None)``: no length; None: nothing.
        always: what goes wrong with all others.
        go_on: ends the waiting of connections that stay open.
        ranges: whether requests for a part of a file are understood.
        log: method, path and range of every request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.faults: dict[str, list[Any]] = defaultdict(list)
        self.always: Any = None
        self.ranges = True
        self.go_on = threading.Event()
        self.log: list[tuple[str, str, str | None]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients that went away
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.records = f"{self.url}/api/records"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def add_record(
        self, record: int, files: dict[str, bytes], licence: str | None = "cc-by-4.0", **changes: dict[str, Any]
    ) -> None:
        """Serve files as Zenodo does; changes replace what the record says of single files, by name."""
        entries = []
        for name, content in files.items():
            path = f"/api/records/{record}/files/{name}/content"
            self.files[path] = content
            entry = {
                "id": "9ae7bc3e-1d6f-4c1e-a1c5-7d4d0b7b9c53",
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": f"{self.url}{path}"},
            }
            entries.append(entry | changes.get(name, {}))
        answer = {
            "created": "2023-05-01T00:00:00.000000+00:00",
            "modified": "2023-05-02T00:00:00.000000+00:00",
            "id": record,
            "conceptrecid": str(record - 1),
            "doi": f"10.5281/zenodo.{record}",
            "metadata": {
                "title": "Development data",
                "publication_date": "2023-05-01",
                "access_right": "open",
                "creators": [{"name": "Somebody", "affiliation": None}],
                **({"license": {"id": licence}} if licence else {}),
            },
            "links": {"self": f"{self.records}/{record}"},
            "recid": str(record),
            "files": entries,
            "status": "published",
            "state": "done",
            "submitted": True,
        }
        self.files[f"/api/records/{record}"] = json.dumps(answer).encode()

    def requests(self, path: str, method: str = "GET") -> list[str | None]:
        """The ranges that were asked for, one entry a request."""
        return [asked for verb, where, asked in self.log if where == path and verb == method]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self._serve(body=False)

            def do_GET(self) -> None:
                self._serve(body=True)

            def _serve(self, body: bool) -> None:
                path = unquote(urlsplit(self.path).path)
                asked = self.headers.get("Range")
                server.log.append((self.command, path, asked))
                fault = server.faults[path].pop(0) if server.faults[path] else server.always
                if isinstance(fault, int) or path not in server.files:
                    self.send_error(fault if isinstance(fault, int) else 404)
                    return
                content, tag = server.files[path], server.etags.get(path)
                start = 0
                if asked and server.ranges and self.headers.get("If-Range") in (None, tag):
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                    if start >= len(content):
                        self.send_error(416)
                        return
                sent = content[start:]
                kind, value = fault or ("", None)
                if kind == "length":
                    sent = sent[:value].ljust(value, b"x")
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                if tag:
                    self.send_header("ETag", tag)
                if kind != "unsaid":
                    self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                if body:
                    self.wfile.write(sent[:value] if kind in ("cut", "stall") else sent)
                if kind == "stall":
                    server.go_on.wait(10)
                self.close_connection = True

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries, which are noted and not made."""
    noted: list[float] = []
    monkeypatch.setattr("asdbench.downloads.http.sleep", noted.append)
    return noted


@pytest.fixture(scope="session")
def wav() -> bytes:
    """A fortieth of a second of noise, as the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 400), 16000, format="WAV")
    return file.getvalue()


@pytest.fixture
def make_zip() -> Callable[..., bytes]:
    """An archive from contents by name, or from entries that say more (a `zipfile.ZipInfo`, a tuple of both)."""

    def make(members: dict[str, bytes] | list[tuple[Any, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, content in members.items() if isinstance(members, dict) else members:
                archive.writestr(name, content)
        return file.getvalue()

    return make


@pytest.fixture
def dev_zip(make_zip: Callable[..., bytes], wav: bytes) -> Callable[..., bytes]:
    """Development data of a machine as the organisers pack it; ``salt`` makes another archive of the same names."""

    def make(machine: str, salt: bytes = b"") -> bytes:
        names = [
            f"{split}/section_00_{domain}_{split}_{condition}_{index:04d}_vel_{index}.wav"
            for split, condition in (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
            for domain in ("source", "target")
            for index in range(2)
        ]
        members = {f"{machine}/": b"", f"{machine}/attributes_00.csv": b"file_name,d1p,d1v\n"}
        return make_zip(members | {f"{machine}/{name}": wav + salt for name in names})

    return make

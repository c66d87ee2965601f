"""The transfer: whole files whatever the server does, resumed where that is right, begun anew where it is not."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from asdbench import UserError
from asdbench.downloads import transfer
from asdbench.downloads.http import Patience, opened
from asdbench.downloads.transfer import fetch, part_of

CONTENT = np.random.default_rng(1).bytes(3 << 20)
PATH = "/dev_fan.zip"


@pytest.fixture
def get(server, tmp_path):
    """Fetch the file of the server; the fixture keeps what was said and how far the progress came."""
    server.files[PATH] = CONTENT

    class Get:
        def __init__(self) -> None:
            self.path = tmp_path / "work" / "dev_fan.zip"
            self.part = part_of(self.path)

        def __call__(self, size: int = len(CONTENT), attempts: int = 3) -> bytes:
            def advance(count: int) -> None:
                self.done += count

            self.said, self.done = [], 0
            patience = Patience(attempts)
            fetch(server.url + PATH, self.path, size, patience=patience, say=self.said.append, advance=advance)
            assert self.done == size
            assert not self.part.exists()
            assert [path.name for path in self.path.parent.iterdir()] == ["dev_fan.zip"]
            return self.path.read_bytes()

    return Get()


def test_a_file_arrives_whole(server, get):
    assert get() == CONTENT
    assert server.requests(PATH) == [None]
    assert get.said == []


def test_a_broken_connection_is_gone_on_from_where_it_broke(server, get, pauses):
    server.faults[PATH] = [("cut", 1000), ("cut", 500)]
    assert get() == CONTENT
    assert server.requests(PATH) == [None, "bytes=1000-", "bytes=1500-"]
    assert pauses == [1.0, 2.0]
    assert "the connection broke after 1000 of 3145728 bytes; trying again in 1 s" in get.said[0]


def test_a_connection_on_which_nothing_comes_counts_as_broken(server, get, monkeypatch):
    monkeypatch.setattr("asdbench.downloads.http._TIMEOUT", 0.2)
    server.faults[PATH] = [("stall", 1000)]
    assert get() == CONTENT
    assert server.requests(PATH) == [None, "bytes=1000-"]
    assert "the connection broke (nothing came for 0 s); trying again" in get.said[0]


def test_tries_end_and_what_came_serves_the_next_call(server, get, pauses):
    server.faults[PATH] = [("cut", 1000), ("cut", 0), ("cut", 10)]
    with pytest.raises(
        UserError, match=r"dev_fan\.zip: the connection broke after 1010 of .* 3 tries; the same command"
    ):
        get()
    assert get.part.stat().st_size == 1010
    assert not get.path.exists()
    assert get() == CONTENT
    assert server.requests(PATH)[-1] == "bytes=1010-"


def test_progress_starts_the_count_of_tries_anew(server, get):
    server.faults[PATH] = [("cut", 1 << 20), ("cut", 1 << 20), 503, 503]
    assert get() == CONTENT


def test_a_server_that_loses_what_it_sent_is_not_asked_for_ever(server, get):
    server.ranges = False
    server.always = ("cut", 2 << 20)
    with pytest.raises(UserError, match="given up after 3 tries"):
        get()
    assert len(server.log) == 4  # the first came further than any before


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_errors_are_tried_again(server, get, pauses, code):
    server.faults[PATH] = [code, code]
    assert get() == CONTENT
    assert pauses == [1.0, 2.0]


def test_passing_errors_that_stay_end_the_call(server, get):
    server.always = 503
    with pytest.raises(UserError, match=r"the server answers 503 \(Service Unavailable\); given up after 3 tries"):
        get()


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("100000", 60.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0)])
def test_the_server_may_ask_for_a_longer_pause(monkeypatch, server, get, pauses, asked, waited):
    handler = server._server.RequestHandlerClass

    def send_error(self, code):
        self.send_response(code)
        self.send_header("Retry-After", asked)
        self.send_header("Content-Length", "0")
        self.end_headers()

    monkeypatch.setattr(handler, "send_error", send_error)
    server.faults[PATH] = [429]
    assert get() == CONTENT
    assert pauses == [waited]


@pytest.mark.parametrize("code", [403, 404, 410])
def test_other_errors_end_the_call_at_once(server, get, code):
    server.always = code
    with pytest.raises(UserError, match=rf"http://127.0.0.1:\d+/dev_fan.zip: the server answers {code} "):
        get()
    assert len(server.log) == 1


def test_a_server_without_ranges_sends_all_again(server, get):
    server.faults[PATH] = [("cut", 1000)]
    server.ranges = False
    assert get() == CONTENT
    assert server.requests(PATH) == [None, "bytes=1000-"]


def test_another_version_of_the_file_is_begun_anew(server, get):
    server.etags[PATH] = '"one"'
    server.faults[PATH] = [("cut", 1000), 404]
    with pytest.raises(UserError, match="404"):
        get()
    assert json.loads(Path(f"{get.part}.json").read_text())["etag"] == '"one"'
    server.files[PATH], server.etags[PATH] = CONTENT[::-1], '"two"'
    assert get() == CONTENT[::-1]


def test_a_server_that_overlooks_that_the_version_is_another_is_noticed(monkeypatch, server, get):
    server.etags[PATH] = 'W/"one"'  # weak: the server is not asked to compare it
    server.faults[PATH] = [("cut", 1000), 404]
    with pytest.raises(UserError, match="404"):
        get()
    server.files[PATH], server.etags[PATH] = CONTENT[::-1], 'W/"two"'
    assert get() == CONTENT[::-1]
    assert "has changed" in get.said[0]


def test_what_came_of_a_file_of_another_size_is_of_no_use(server, get):
    server.faults[PATH] = [("cut", 1000), 404]
    with pytest.raises(UserError, match="404"):
        get()
    server.files[PATH] = CONTENT[:5000]
    assert get(5000) == CONTENT[:5000]
    assert server.requests(PATH)[-1] is None


def test_a_file_that_became_shorter_than_the_record_says_is_refused(server, get):
    server.faults[PATH] = [("cut", 6000), 404]
    with pytest.raises(UserError, match="404"):
        get()
    server.files[PATH] = CONTENT[:5000]  # the record still says what it said
    with pytest.raises(UserError, match="the server says that the file has 5000 bytes, expected 3145728"):
        get()


@pytest.mark.parametrize("length", [len(CONTENT) - 1, len(CONTENT) + 1, 10])
def test_another_length_than_expected_is_refused_and_nothing_is_lost(server, get, length):
    server.faults[PATH] = [("cut", 1000), ("length", length)]
    server.ranges = False
    with pytest.raises(UserError, match=rf"says that the file has {length} bytes, expected {len(CONTENT)}"):
        get()
    assert get.part.stat().st_size == 1000


def test_more_than_expected_is_refused_where_the_server_does_not_say_how_much(server, get):
    server.files[PATH] = CONTENT + b"more"
    server.always = ("unsaid", None)
    with pytest.raises(UserError, match=f"sends more than the {len(CONTENT)} bytes expected"):
        get()


def test_less_than_expected_counts_as_broken_where_the_server_does_not_say_how_much(server, get):
    server.files[PATH] = CONTENT[:1000]
    server.always = ("unsaid", None)
    with pytest.raises(UserError, match="given up after 3 tries"):
        get()


def test_a_full_disk_is_one_sentence_and_what_came_stays(monkeypatch, server, get):
    original, written = transfer.read_some, [0]

    def read_some(answer, size):
        written[0] += 1
        if written[0] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(answer, size)

    monkeypatch.setattr(transfer, "read_some", read_some)
    with pytest.raises(UserError, match=r"cannot write to .*dev_fan\.zip\.part: the disk is full"):
        get()
    came = get.part.stat().st_size
    assert 0 < came < len(CONTENT)
    monkeypatch.setattr(transfer, "read_some", original)
    assert get() == CONTENT
    assert server.requests(PATH)[-1] == f"bytes={came}-"


def test_an_interruption_keeps_what_came(monkeypatch, server, get):
    original, read = transfer.read_some, [0]

    def read_some(answer, size):
        read[0] += 1
        if read[0] == 3:
            raise KeyboardInterrupt
        return original(answer, size)

    monkeypatch.setattr(transfer, "read_some", read_some)
    with pytest.raises(KeyboardInterrupt):
        get()
    came = get.part.stat().st_size
    monkeypatch.setattr(transfer, "read_some", original)
    assert get() == CONTENT
    assert server.requests(PATH)[-1] == f"bytes={came}-"


def test_nobody_at_the_address(tmp_path, pauses):
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1 cannot be reached \(Connection refused\); given up after 3"):
        fetch("http://127.0.0.1:1/x", tmp_path / "x", 1, patience=Patience(3), say=lambda text: None, advance=print)
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/x", "http://", "x.zip", "http://h:port/x"])
def test_only_http_is_fetched(url):
    with pytest.raises(UserError, match="not an address that can be fetched"), opened(url):
        pass


def test_a_server_cannot_redirect_to_a_file(server, monkeypatch):
    handler = server._server.RequestHandlerClass

    def redirect(self):
        self.send_response(302)
        self.send_header("Location", "file:///etc/hostname")
        self.send_header("Content-Length", "0")
        self.end_headers()

    monkeypatch.setattr(handler, "do_GET", redirect)
    with pytest.raises(UserError, match="302"), opened(f"{server.url}/x"):
        pass

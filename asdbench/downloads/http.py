"""HTTP as the transfer needs it: requests that are tried again where that can help, and reasons in words."""

from __future__ import annotations

import http
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import sleep, time
from typing import Any
from urllib.parse import urlsplit

from asdbench.errors import UserError

_TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""
_LONGEST_WAIT = 60.0

Say = Callable[[str], None]


class BrokenConnectionError(Exception):
    """An attempt that failed for a reason that may pass; the message is the reason.

    Attributes:
        wait: seconds after which the server asks to be tried again, 0.0 where it says nothing.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class RangeRefusedError(BrokenConnectionError):
    """The server cannot begin in the file where it was asked to: the file is another one now."""


@dataclass(frozen=True)
class Patience:
    """How often and after which pauses a request is tried again.

    Attributes:
        attempts: tries in all without anything gained.
        pause: seconds before the second try; each further pause is twice as long.
    """

    attempts: int = 5
    pause: float = 1.0

    def keep_trying(self, what: str, attempt: Callable[[], bool], say: Say, hint: str) -> None:
        """Call ``attempt`` until it returns True.

        It returns False where it broke off but came further, which starts the count of tries anew.

        Args:
            what: what is being fetched, for messages.
            attempt: raises `BrokenConnectionError` for what may pass.
            say: told about each pause.
            hint: what the user may do, for the end of the message.

        Raises:
            UserError: none of the tries came further.
        """
        failed = 0
        while True:
            try:
                if attempt():
                    return
                failed = 0
            except BrokenConnectionError as error:
                failed += 1
                if failed >= self.attempts:
                    raise UserError(f"{what}: {error}; given up after {failed} tries; {hint}") from error
                wait = min(max(self.pause * 2 ** (failed - 1), error.wait), _LONGEST_WAIT)
                say(f"{what}: {error}; trying again in {wait:.0f} s")
                sleep(wait)


@contextmanager
def opened(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Iterator[Any]:
    """Yield the answer of a server.

    Raises:
        BrokenConnectionError: the server cannot be reached, breaks off, or answers what may pass.
        UserError: it answers something that will not pass, such as 404; the address is none of HTTP.
    """
    with _answer(url, headers or {}, method) as answer:
        yield answer


def read_some(answer: Any, size: int) -> bytes:
    """Read up to ``size`` bytes of an answer's body, b"" at its end.

    Raises:
        BrokenConnectionError: the connection broke.
    """
    try:
        return bytes(answer.read1(size))  # read would lose what came where it does not get all
    except (OSError, http.client.HTTPException) as error:
        raise BrokenConnectionError(f"the connection broke ({_words(error)})") from error


def check_address(url: str) -> None:
    """Refuse addresses of anything but HTTP, such as ``file:``.

    Raises:
        UserError: the address is not one of HTTP.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"'{url}' is not an address that can be fetched, expected http://… or https://…")


def _answer(url: str, headers: Mapping[str, str], method: str) -> Any:
    check_address(url)
    request = urllib.request.Request(url, headers={"User-Agent": "asdbench", **headers}, method=method)
    try:
        return _opener().open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            reason = f"the server answers {error.code} ({error.reason})"
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise RangeRefusedError(reason) from error
            if error.code in _PASSING:
                raise BrokenConnectionError(reason, _retry_after(error.headers.get("Retry-After"))) from error
            raise UserError(f"{url}: {reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise UserError(f"{url}: the server's certificate is not valid ({error.reason.verify_message})") from error
        if not isinstance(error.reason, OSError):  # a redirection to something that is not HTTP
            raise UserError(f"{url}: {error.reason}") from error
        raise BrokenConnectionError(f"{urlsplit(url).netloc} cannot be reached ({_words(error.reason)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenConnectionError(f"{urlsplit(url).netloc} broke off before its answer ({_words(error)})") from error


def _opener() -> urllib.request.OpenerDirector:
    """Like urllib's own, without the handlers that open files and FTP, to which a server could redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {_TIMEOUT:.0f} s"
    if isinstance(error, socket.gaierror):
        return "its name is not known here: no network?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _retry_after(text: str | None) -> float:
    """Seconds that a Retry-After header asks for; it holds a number or a date."""
    if not text:
        return 0.0
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return 0.0

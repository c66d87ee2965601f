"""A worker process: takes units from standard input, one JSON object a line, and answers on standard output.

Started as ``python -m asdbench.execute.worker``, so that neither scripts without a main guard nor notebooks are run
again in it. When the process that started it dies, its input ends and it stops at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from asdbench.errors import NotApplicableError, UserError
from asdbench.store import Store, StoreError


def attempt(message: dict[str, Any], store: Store, progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Carry out one unit and say how it went.

    Args:
        progress: called now and then with the steps done, all steps, and a note.

    Returns:
        ``{"ok", "fatal", "applicable", "reason", "traceback"}``.
    """
    from asdbench.execute.stages import carry_out

    try:
        carry_out(message["stage"], message["key"], message["label"], message["task"], store, progress)
    except StoreError as error:
        return _failure(str(error), fatal=True)
    except NotApplicableError as error:
        return _failure(str(error)) | {"applicable": False}
    except UserError as error:
        return _failure(str(error))
    except MemoryError:
        return _failure("the memory is used up")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise SystemExit or worse
        return _failure(_in_words(error)) | {"traceback": _traceback()}
    return _failure("") | {"ok": True}


def _failure(reason: str, fatal: bool = False) -> dict[str, Any]:
    return {"ok": False, "fatal": fatal, "applicable": True, "reason": reason, "traceback": ""}


def _in_words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    except Exception:  # an error that cannot even be printed
        return type(error).__name__


def _traceback() -> str:
    try:
        return traceback.format_exc()
    except Exception:
        return ""


def main() -> None:
    """Serve until the input ends."""
    # The real standard input and output are kept for messages: plugins read nothing, and print to standard error.
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, messages), daemon=True).start()
    from asdbench import plugins

    setup, trouble = messages.get(), ""
    try:
        plugins.load_files(map(Path, setup["plugin_files"]))
    except UserError as error:
        trouble = str(error)
    store = Store(Path(setup["store"]))

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    while True:
        message = messages.get()
        told = Throttle(lambda *step: say({"progress": step}))
        say(_failure(trouble) if trouble else attempt(message, store, told))


class Throttle:
    """Passes on how far work is, but not more often than anybody can read."""

    def __init__(self, tell: Callable[[int, int, str], None], seconds: float = 1.0) -> None:
        self._tell, self._seconds, self._last = tell, seconds, 0.0

    def __call__(self, done: int, total: int, note: str) -> None:
        """Take note of a step."""
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            self._tell(done, total, note)


def _listen(requests: IO[str], messages: queue.Queue[dict[str, Any]]) -> None:
    for line in requests:
        messages.put(json.loads(line))
    # The other end is gone: nobody waits for what is being computed, nor for what plugins have started.
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()

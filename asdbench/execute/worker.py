"""A worker process: takes units from standard input, one JSON object a line, and answers on standard output.

Started as ``python -m asdbench.execute.worker``, so that neither scripts without a main guard nor notebooks are run
again in it. When the process that started it dies, its input ends and it stops at once.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import traceback
from pathlib import Path
from typing import IO, Any

from asdbench.errors import UserError
from asdbench.store import Store, StoreError


def attempt(message: dict[str, Any], store: Store) -> dict[str, Any]:
    """Carry out one unit and say how it went: ``{"key", "ok", "fatal", "reason", "traceback"}``."""
    from asdbench.execute.stages import carry_out

    answer = {"key": message["key"], "ok": True, "fatal": False, "reason": "", "traceback": ""}
    try:
        carry_out(message["stage"], message["key"], message["label"], message["task"], store)
    except StoreError as error:
        answer |= {"ok": False, "fatal": True, "reason": str(error)}
    except UserError as error:
        answer |= {"ok": False, "reason": str(error)}
    except MemoryError:
        answer |= {"ok": False, "reason": "the memory is used up"}
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        answer |= {"ok": False, "reason": reason, "traceback": traceback.format_exc()}
    return answer


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

    setup = messages.get()
    plugins.load_files(map(Path, setup["plugin_files"]))
    store = Store(Path(setup["store"]))
    while True:
        answer = attempt(messages.get(), store)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(requests: IO[str], messages: queue.Queue[dict[str, Any]]) -> None:
    for line in requests:
        messages.put(json.loads(line))
    os._exit(0)  # the other end is gone: nobody waits for what is being computed


if __name__ == "__main__":
    main()

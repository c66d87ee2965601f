"""Carrying out a plan on this machine, in worker processes with one compute thread each."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asdbench.execute.worker import Throttle, attempt
from asdbench.plan import Unit
from asdbench.store import Store, StoreError

_THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
_ONE_THREAD = dict.fromkeys((f"{name}_NUM_THREADS" for name in _THREAD_VARIABLES), "1")

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Failure:
    """A unit that could not be carried out, or could not start because of one before it.

    Attributes:
        unit: the unit.
        reason: one phrase.
        traceback: the traceback of a plugin that raised, or "".
        cause: the failed unit that this one waited for, None when it failed itself.
        applicable: False where the plugin said that there is nothing to do for it.
    """

    unit: Unit
    reason: str
    traceback: str = ""
    cause: Unit | None = None
    applicable: bool = True


def cpu_count() -> int:
    """Number of CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_units(
    units: list[Unit],
    store: Store,
    workers: int,
    plugin_files: list[Path],
    on_start: Callable[[Unit], None],
    on_end: Callable[[Unit, Failure | None], None],
    on_progress: Callable[[Unit, int, int, str], None] = lambda unit, done, total, note: None,
) -> list[Failure]:
    """Carry out units, each after those it needs; a failed unit takes down only what depends on it.

    Args:
        units: in an order that respects their needs; needs that are not among them are in the store.
        workers: number of processes; 0 carries everything out in this one.
        on_start: called when a unit starts.
        on_end: called when a unit has ended, with its failure if there is one.
        on_progress: called now and then while a unit runs, with its steps done, all its steps, and a note.

    Raises:
        StoreError: the store cannot be written; nothing can go on.
    """
    schedule = _Schedule(units, on_start, on_end)
    if workers == 0:
        with one_thread():
            while (unit := schedule.next()) is not None:
                told = Throttle(partial(on_progress, unit))
                schedule.record(unit, attempt(unit.message(), store, told))
    else:
        with _Pool(min(workers, len(units)), store, plugin_files) as pool:
            pool.run(schedule, on_progress)
    return schedule.failures


class _Schedule:
    """Which unit may run next, and what became of the others."""

    def __init__(
        self, units: list[Unit], on_start: Callable[[Unit], None], on_end: Callable[[Unit, Failure | None], None]
    ) -> None:
        self.waiting = {unit.key: unit for unit in units}
        self.running: dict[str, Unit] = {}
        self.failures: list[Failure] = []
        self._failed: dict[str, Failure] = {}
        self._on_start, self._on_end = on_start, on_end

    def next(self) -> Unit | None:
        """The first unit whose needs are met, now counted as running; None when there is none at the moment."""
        for unit in list(self.waiting.values()):
            broken = next((self._failed[key] for key in unit.needs if key in self._failed), None)
            if broken is not None:
                del self.waiting[unit.key]
                cause = broken.cause or broken.unit
                self._fail(Failure(unit, broken.reason, cause=cause, applicable=broken.applicable))
            elif not any(key in self.waiting or key in self.running for key in unit.needs):
                self.running[unit.key] = self.waiting.pop(unit.key)
                self._on_start(unit)
                return unit
        return None

    def record(self, unit: Unit, answer: dict[str, Any]) -> None:
        """Take note of how a running unit ended."""
        del self.running[unit.key]
        if answer["ok"]:
            self._on_end(unit, None)
        elif answer["fatal"]:
            raise StoreError(answer["reason"])
        else:
            self._fail(Failure(unit, answer["reason"], answer["traceback"], applicable=answer["applicable"]))

    def _fail(self, failure: Failure) -> None:
        self._failed[failure.unit.key] = failure
        self.failures.append(failure)
        self._on_end(failure.unit, failure)


class _Pool:
    """Worker processes that are asked and answer over pipes."""

    def __init__(self, size: int, store: Store, plugin_files: list[Path]) -> None:
        self._setup = {"store": str(store.root), "plugin_files": [str(path) for path in plugin_files]}
        self._selector = selectors.DefaultSelector()
        self._idle: list[subprocess.Popen[str]] = []
        self._busy: dict[int, tuple[subprocess.Popen[str], Unit]] = {}
        self._heard: dict[int, bytes] = {}  # what came of a line that has not ended yet
        self._size = size

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in [*self._idle, *(process for process, _ in self._busy.values())]:
            _kill(process)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        self._selector.close()

    def run(self, schedule: _Schedule, on_progress: Callable[[Unit, int, int, str], None]) -> None:
        while True:
            while len(self._busy) < self._size and (unit := schedule.next()) is not None:
                self._start(unit)
            if not self._busy:
                break
            ready = [int(key.fd) for key, _ in self._selector.select(timeout=_SECONDS_BETWEEN_LOOKS)]
            # A process that died may have left its end of the pipe to a child of its own: look, do not only listen.
            dead = [fd for fd, (process, _) in self._busy.items() if fd not in ready and process.poll() is not None]
            for descriptor in [*ready, *dead]:
                self._collect(descriptor, schedule, on_progress)

    def _start(self, unit: Unit) -> None:
        process = self._idle.pop() if self._idle else self._spawn()
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        self._busy[descriptor] = (process, unit)
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._send(process, unit.message())

    def _collect(
        self, descriptor: int, schedule: _Schedule, on_progress: Callable[[Unit, int, int, str], None]
    ) -> None:
        """Take what a worker said: how far it is, how its unit ended, or nothing any more."""
        process, unit = self._busy[descriptor]
        said = os.read(descriptor, 1 << 16) if self._has_input(descriptor) else b""
        *lines, rest = (self._heard.pop(descriptor, b"") + said).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                on_progress(unit, *message["progress"])
                continue
            del self._busy[descriptor]
            self._selector.unregister(descriptor)
            self._idle.append(process)
            schedule.record(unit, message)
            return  # the answer is the last that a worker says of a unit
        if said:
            self._heard[descriptor] = rest
            return
        del self._busy[descriptor]
        self._selector.unregister(descriptor)
        status = process.wait()
        _kill(process)
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        hint = " (the memory may be used up; fewer --workers need less)" if status == -9 else ""
        reason = f"its worker process {how}{hint}"
        schedule.record(unit, {"ok": False, "fatal": False, "applicable": True, "reason": reason, "traceback": ""})

    def _spawn(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "asdbench.execute.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends its workers
        )
        self._send(process, self._setup)
        return process

    @staticmethod
    def _has_input(descriptor: int) -> bool:
        """Whether reading would return at once."""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            return bool(selector.select(timeout=0))

    @staticmethod
    def _send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; the end of its output says so to `_collect`


def _kill(process: subprocess.Popen[str]) -> None:
    """End a worker and whatever its plugins have started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # a worker leads its own group
    except (AttributeError, ProcessLookupError, PermissionError):
        process.kill()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold this process to one compute thread, as workers are, and restore what was set before."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else cpu_count()
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)  # for libraries that a plugin loads in the block
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)

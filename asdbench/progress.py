"""Progress on standard error: a tqdm bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 5.0
BYTES = "B"
"""The unit of steps that are bytes, which are shown as MB or GB."""


def readable_bytes(count: float) -> str:
    """A number of bytes for people, in powers of 1000: "4.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.95 or (unit == "B" and count < 1000):
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """Reports steps of a known number; what it prints fits the place it is printed to.

    Args:
        quiet: print nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    @contextmanager
    def steps(self, text: str, total: int, unit: str) -> Iterator[Steps]:
        """Count ``total`` steps under a heading."""
        steps = Steps(self, text, total, unit, bar=self._terminal and not self._quiet)
        try:
            yield steps
        finally:
            steps.close()

    @contextmanager
    def track(self, text: str, unit: str = "step") -> Iterator[Callable[[int, int, str], None]]:
        """Follow work that says itself how far it is: yield what is to be called with done, total and a note."""
        steps: Steps | None = None

        def tell(done: int, total: int, note: str) -> None:
            nonlocal steps
            if steps is None or steps.total != total:
                if steps is not None:
                    steps.close()
                steps = Steps(self, text, total, unit, bar=self._terminal and not self._quiet)
            steps.advance(done - steps.done, note)

        try:
            yield tell
        finally:
            if steps is not None:
                steps.close()


class Steps:
    """One count of `Progress`.

    Attributes:
        total: where it ends.
        done: where it stands.
    """

    def __init__(self, progress: Progress, text: str, total: int, unit: str, bar: bool) -> None:
        self._progress, self._text, self.total, self._unit = progress, text, total, unit
        self.done, self._last = 0, 0.0
        self._bar = None
        if bar:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc=text, unit=unit, unit_scale=unit == BYTES, dynamic_ncols=True, file=sys.stderr
            )

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count steps that are done; ``note`` says which was the last."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            if note:
                self._bar.set_postfix_str(note)
            return
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES or self.done == self.total:
            self._last = now
            if self._unit == BYTES:
                amount = f"{readable_bytes(self.done)} of {readable_bytes(self.total)}"
            else:
                amount = f"{self.done} of {self.total} {self._unit}s"
            self._progress.say(f"{self._text}: {amount}" + (f" ({note})" if note else ""))

    def close(self) -> None:
        """End the count, wherever it stands."""
        if self._bar is not None:
            self._bar.close()

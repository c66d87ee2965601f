"""Notes on how far a training is, a few times a second at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Notes"]

_SECONDS_BETWEEN = 0.3


class Notes:
    """Passes notes on, but those that follow another too soon."""

    def __init__(self, report: Callable[[int, int, str], None]) -> None:
        """Prepare.

        Args:
            report: called with steps done, steps in all and a note.
        """
        self._report = report
        self._last = -math.inf

    def __call__(self, step: int, steps: int, note: str) -> None:
        """Note a step; the last one is always passed on."""
        if step == steps or time.monotonic() - self._last >= _SECONDS_BETWEEN:
            self._last = time.monotonic()
            self._report(step, steps, note)

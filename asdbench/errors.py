"""The one exception that a user of asdbench is meant to read."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: bad data, a bad spec, a bad option.

    The message is one sentence that names the file or field, what was found and what was expected. The command line
    prints it without a traceback and exits with code 2.
    """


class NotApplicableError(UserError):
    """A plugin cannot do its work on these data, and nobody is to blame: other real anomalies where there are none.

    The cells are left empty with the message as their reason, and the run counts as complete.
    """


class PluginError(UserError):
    """A plugin broke its contract."""


def warn(sentence: str) -> None:
    """Tell the user on standard error what they would want to know, though nothing is wrong enough to stop."""
    print(f"asdbench: warning: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` or, where nothing is close, the known words; for the end of an error message."""
    known = sorted(known)
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{by_lower[close[0]]}'?"
    return f"; known: {', '.join(known)}" if known else ""

"""What an inspection of recordings has to tell: which cannot be used, and what is worth knowing of the others."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asdbench.audio import AudioInfo, Channel
from asdbench.errors import UserError
from asdbench.segments import file_of

SHOWN = 20
"""Files that a sentence names; of more it gives the number."""


@dataclass(frozen=True)
class BadClip:
    """A clip that cannot be used.

    Attributes:
        path: its file, or the part of a file (see `asdbench.segments`).
        problem: why not, one phrase.
    """

    path: str
    problem: str


class BadClipsError(UserError):
    """Recordings that cannot be used.

    Attributes:
        bad: all of them; the message names the first `SHOWN`.
    """

    def __init__(self, bad: Sequence[BadClip], place: str = "", hint: str = "") -> None:
        """Put in words which recordings cannot be used.

        Args:
            bad: one or more.
            place: where they were asked for, such as a field of a spec.
            hint: what can be done, for the end of the sentence.
        """
        text = f"{bad[0].path}: {bad[0].problem}" if len(bad) == 1 else f"{_counted(bad)}: {named(bad)}"
        super().__init__(f"{place and f'{place}: '}{text}{hint and f'; {hint}'}")
        self.bad, self.place = tuple(bad), place


def bad_clips(
    paths: Iterable[str], infos: Iterable[AudioInfo], channel: Channel, sample_rate: int | None
) -> list[BadClip]:
    """The clips that cannot be used, in order.

    Args:
        paths: of the clips.
        infos: what was found of each.
        channel: that is to be read.
        sample_rate: in Hz at which they are to be read, None for their own.
    """
    problems = ((str(path), info.problem_of(channel, sample_rate)) for path, info in zip(paths, infos, strict=True))
    return [BadClip(path, problem) for path, problem in problems if problem]


def refuse_bad_files(
    paths: Iterable[str], infos: Iterable[AudioInfo], channel: Channel, sample_rate: int | None
) -> None:
    """Raise a `BadClipsError` where a clip cannot be used; arguments as for `bad_clips`."""
    bad = bad_clips(paths, infos, channel, sample_rate)
    if bad:
        raise BadClipsError(bad)


def named(bad: Sequence[BadClip]) -> str:
    """The first `SHOWN` clips that cannot be used, those with the same problem together, and the number of others."""
    by_problem: dict[str, list[str]] = defaultdict(list)
    for one in bad[:SHOWN]:
        by_problem[one.problem].append(one.path)
    text = "; ".join(f"{', '.join(paths)}: {problem}" for problem, paths in by_problem.items())
    return text + (f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")


def skipped_note(bad: Sequence[BadClip]) -> str:
    """What is said where clips that cannot be used are left out."""
    return f"skipped, since {_counted(bad)}: {named(bad)}"


def unread_note(unread: Sequence[str]) -> str:
    """What is said of recordings whose format libsndfile does not know."""
    endings = sorted({os.path.splitext(name)[1].lower() for name in unread})
    are = "1 recording is" if len(unread) == 1 else f"{len(unread)} recordings are"
    return (
        f"{are} left out, such as {unread[0]}: libsndfile does not read {', '.join(endings)}; convert them to WAV, "
        "FLAC, MP3 or Opus"
    )


def notes_on(paths: Iterable[str], infos: Iterable[AudioInfo], sample_rate: int | None) -> list[str]:
    """What is worth knowing of recordings that can be used, one sentence for all files that it is true of.

    Args:
        paths: of the clips.
        infos: what was found of each.
        sample_rate: in Hz at which they are read.
    """
    files = {file_of(path): info for path, info in zip(paths, infos, strict=True)}
    notes = []
    wrong = [path for path, info in files.items() if info.has_wrong_length]
    if wrong:
        whose = "1 file has" if len(wrong) == 1 else f"{len(wrong)} files have"
        notes.append(
            f"{whose} a wrong length in the header and {'is' if len(wrong) == 1 else 'are'} "
            f"read to the end, such as {wrong[0]}"
        )
    return notes + _notes_on_rates({path: info.sample_rate for path, info in files.items()}, sample_rate)


def _notes_on_rates(rates: dict[str, int], sample_rate: int | None) -> list[str]:
    """Files of lower rates than others lack what is above: a detector that hears that does not hear the machine."""
    heard = {path: min(rate, sample_rate or rate) for path, rate in rates.items()}
    highest = max(heard.values(), default=0)
    lower: dict[int, list[str]] = defaultdict(list)
    for path, rate in heard.items():
        if rate < highest:
            lower[rate].append(path)
    if not lower:
        return []
    count, shown, parts = sum(map(len, lower.values())), SHOWN, []
    for rate, paths in sorted(lower.items()):
        parts += [f"{_first(paths, shown)} ({rate} Hz)"] if shown else []
        shown = max(0, shown - len(paths))
    return [
        f"{count} of {len(heard)} files have lower sample rates than the others and nothing above half of their rate, "
        f"where the others have sound up to {highest // 2} Hz; detectors and embeddings hear that: {', '.join(parts)}"
    ]


def _first(paths: Sequence[str], count: int = SHOWN) -> str:
    more = f" and {len(paths) - count} more" if len(paths) > count else ""
    return ", ".join(paths[:count]) + more


def _counted(bad: Sequence[BadClip]) -> str:
    return "1 recording cannot be used" if len(bad) == 1 else f"{len(bad)} recordings cannot be used"

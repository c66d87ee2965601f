"""Scoring blind: what a detector is shown of the clips that it scores, and in what order.

Names, places and order of recordings tell their labels. So a detector gets the audio of the clips as it is read, under
names and in an order that follow from a hash, and a table that tells machine, section and format alone. Where it asks
for a file, one is written that holds this audio and nothing else of the recording: neither titles, comments, dates nor
other channels. It gets the clips in batches of much the same size, whatever set is scored, so that the place in a batch
says nothing of the set either. `dependence` finds out detectors whose scores depend on the batch or on the order.

Nothing that can be reached from the clip set leads back to labels. A detector runs in this process all the same: one
that searches the process or the disk for labels is not stopped.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from asdbench import audio
from asdbench.audio import Waveform
from asdbench.clips import COLUMNS, ClipSet, positions_of
from asdbench.errors import PluginError, UserError
from asdbench.folders import remove_abandoned, temporary_folder
from asdbench.plugins import Detector

if TYPE_CHECKING:
    import pandas as pd

BATCH = 16
"""Clips of a batch, about: batches of one set are equal to within a clip."""
_BATCH_BYTES = 2**28
"""The audio of a batch is not much larger than this, where one clip is not."""
PROBED = 8
"""Clips that are scored again by `dependence`."""
_SCALE_TOLERANCE, _SPREAD_TOLERANCE = 1e-6, 1e-3
"""Scores that differ by less than this part of the largest score, or of the scores' standard deviation, are the same:
libraries choose other kernels for other batch sizes."""

Scores = npt.NDArray[np.float64]


class CopyError(UserError):
    """The file of a clip cannot be written for a detector, which is not to blame."""


@dataclass(frozen=True)
class Dependence:
    """What the score of a clip depends on beside the clip and what was learnt.

    Attributes:
        on: "call" (the same clips get other scores when they are scored again), "order" or "batch".
        difference: the largest between two scores of a clip, in standard deviations of all scores; NaN where a clip
            cannot be scored at all.
        clip_id: that clip.
        reason: one sentence.
    """

    on: str
    difference: float
    clip_id: str
    reason: str


def score_blind(detector: Detector, clips: ClipSet, advance: Callable[[int], None] = lambda count: None) -> Scores:
    """Have a detector score clips of which it knows nothing.

    Args:
        detector: fitted.
        clips: with their labels.
        advance: called with the number of clips scored since the last call.

    Returns:
        One score a clip, shape (len(clips),), in the order of ``clips``.

    Raises:
        PluginError: the detector does not give one finite number a clip.
        UserError: a clip cannot be read.
        Exception: whatever the detector raises; hidden names in it are replaced by the true ones.
    """
    scores = np.empty(len(clips))
    with _folder() as folder:
        hide = _Hiding(clips, folder)
        for rows in batches(clips):
            scores[rows] = _score(detector, hide(rows), clips, rows)
            for copy in folder.iterdir():
                copy.unlink()
            advance(len(rows))
    return scores


def batches(clips: ClipSet) -> list[npt.NDArray[np.intp]]:
    """Positions of the clips that are scored together, in the order of their hashes."""
    order = blind_order(clips)
    size = 4 * float(clips.frame["num_samples"].astype(float).sum())  # float32
    count = max(round(len(order) / BATCH), int(np.ceil(size / _BATCH_BYTES)), 1)
    return [part for part in np.array_split(order, min(count, max(len(order), 1))) if len(part)]


def blind_order(clips: ClipSet) -> npt.NDArray[np.intp]:
    """Positions of clips by hash of their audio; a hash of their names decides among clips of the same audio."""
    keys = [
        (_digest(content), _digest(name))
        for content, name in zip(clips.frame["content_hash"], clips.frame["clip_id"], strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)


def hidden_copies(clips: ClipSet, folder: Path) -> HiddenClips:
    """Read clips, and return them, in their order, as a clip set that tells nothing but the audio that is read.

    The table has nothing but machine, section and format of the audio: neither condition, domain nor attributes may be
    used of a clip that is scored, as in DCASE Task 2 from 2022 on.

    Args:
        clips: few enough to be held in memory.
        folder: where files are written once a detector asks for them.

    Raises:
        UserError: a clip cannot be read; the message names it.
    """
    return _Hiding(clips, folder)(range(len(clips)))


class _Hiding:
    """Hides clips, some at a time."""

    def __init__(self, clips: ClipSet, folder: Path) -> None:
        import pandas as pd

        frame = clips.frame
        names, seen = dict[int, str](), dict[str, int]()
        contents, clip_ids = frame["content_hash"].tolist(), frame["clip_id"].tolist()
        for row in blind_order(clips).tolist():
            digest = _digest(str(contents[row] or clip_ids[row]))
            seen[digest] = seen.get(digest, 0) + 1
            names[row] = f"{digest}-{seen[digest]}"
        self._clips, self._folder = clips, folder
        self._names = [names[row] for row in range(len(clips))]
        self._rates = [clips.sample_rate or int(rate) for rate in frame["sample_rate"]]
        # A table that is made anew: one that is derived may still hold the columns of the old one in its memory.
        columns = dict.fromkeys(COLUMNS, [""] * len(clips)) | {name: frame[name].tolist() for name in _TOLD}
        columns |= {"clip_id": self._names, "group": self._names}
        columns |= dict.fromkeys(("domain", "split", "condition", "source"), ["unknown"] * len(clips))
        columns |= {name: [{} for _ in names] for name in ("attributes", "provenance")}
        self._table = pd.DataFrame(columns, dtype=object)  # one block of memory: parts of it are taken quickly

    def __call__(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> HiddenClips:
        """The clips at some positions."""
        positions = np.asarray(rows, dtype=np.intp)
        waveforms = [self._clips.waveform(row) for row in positions]
        names, rates = ([values[row] for row in positions] for values in (self._names, self._rates))
        table = self._table.take(positions)
        lengths = [len(waveform) for waveform in waveforms]
        for name, values in (("sample_rate", rates), ("channels", [1] * len(rates)), ("num_samples", lengths)):
            table[name] = np.array(values, dtype=np.int64)
        return HiddenClips(table, self._clips.sample_rate, waveforms, _Files(self._folder, names, rates, waveforms))


_TOLD = ("machine", "section")
"""What a detector may know of a clip that it scores."""


class HiddenClips(ClipSet):
    """Clips whose audio is in memory, one channel each; see `hidden_copies`."""

    def __init__(self, frame: pd.DataFrame, sample_rate: int | None, waveforms: list[Waveform], copies: _Files) -> None:
        """Wrap a table and its audio."""
        super().__init__(frame, sample_rate, files=())
        self._waveforms = waveforms
        self._files = self._copies = copies

    def waveform(self, index: int) -> Waveform:
        """The audio of one clip, as it is read; float32, shape (num_samples,)."""
        return self._waveforms[index].copy()

    def path(self, index: int) -> str:
        """Where the file of one clip is, or would be."""
        return self._copies.path(index)

    def select(self, rows: Any) -> HiddenClips:
        """Return the clips at ``rows``: integer positions, in the order given, or a boolean mask."""
        positions = positions_of(rows)
        waveforms = [self._waveforms[position] for position in positions]
        return HiddenClips(self.frame.iloc[positions], self.sample_rate, waveforms, self._copies.select(positions))


class _Files(Sequence[str]):
    """Files of hidden clips: float WAV files of the audio that is read, written when they are asked for."""

    def __init__(self, folder: Path, names: list[str], rates: list[int], waveforms: list[Waveform]) -> None:
        self._folder, self._names, self._rates, self._waveforms = folder, names, rates, waveforms

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        path = self.path(index)
        if not os.path.exists(path):
            try:
                audio.write(path, self._waveforms[index], self._rates[index], subtype="FLOAT")
            except OSError as error:
                raise CopyError(
                    f"cannot write to {self._folder}: {error.strerror or error}; TMPDIR can name another folder"
                ) from None
        return path

    def __len__(self) -> int:
        return len(self._names)

    def path(self, index: int) -> str:
        """Where a file is, or would be."""
        return str(self._folder / f"{self._names[index]}.wav")

    def select(self, positions: npt.NDArray[np.intp]) -> _Files:
        """The files at some positions."""
        kept = ([values[position] for position in positions] for values in (self._names, self._rates, self._waveforms))
        return _Files(self._folder, *kept)


def dependence(detector: Detector, clips: ClipSet, scores: Scores) -> list[Dependence]:
    """Find out whether a detector's scores depend on order and batch, by scoring a few clips again.

    The clips are scored together, together in reverse order, and each alone.

    Args:
        detector: has scored the clips.
        clips: with their labels.
        scores: what `score_blind` gave.

    Raises:
        CopyError: the clips cannot be copied.
    """
    order = blind_order(clips)
    probe = clips.select(order[:PROBED])
    if not len(probe):
        return []
    told = _Differences(probe, scores)
    with _folder() as folder:
        hidden = hidden_copies(probe, folder)

        def score(rows: Sequence[int]) -> Scores:
            return _score(detector, hidden.select(rows), probe, rows)

        every = range(len(probe))
        try:
            together = score(every)
            reversed_ = score(every[::-1])[::-1]
            changed = told.found("order", together, reversed_)
            if changed:  # or does it so in the same order, too?
                changed = told.found("call", together, score(every)) or changed
            alone = np.concatenate([score([row]) for row in every])
        except CopyError:
            raise
        except Exception as error:
            reason = (
                f"clips that were scored among others cannot be scored by themselves: {type(error).__name__}: {error}"
            )
            return [Dependence("batch", float("nan"), str(probe.frame["clip_id"].iat[0]), reason)]
    if changed and changed[0].on == "call":
        return changed
    return changed + (told.found("batch", scores[order[:PROBED]], alone) or told.found("batch", together, alone))


_SAID = {
    "call": "when the clips are scored again in the same way",
    "order": "when the clips come in reverse order",
    "batch": "when it is scored alone",
}


class _Differences:
    """Judges differences between scores of the same clips."""

    def __init__(self, probe: ClipSet, scores: Scores) -> None:
        self._names = probe.frame["clip_id"].tolist()
        self._spread = float(scores.std())
        self._allowed = max(_SCALE_TOLERANCE * float(np.abs(scores).max()), _SPREAD_TOLERANCE * self._spread)

    def found(self, on: str, first: Scores, second: Scores) -> list[Dependence]:
        """One dependence where any clip has two scores, else none."""
        apart = np.abs(first - second)
        top = int(apart.argmax())
        if apart[top] <= self._allowed:
            return []
        difference = float(apart[top]) / self._spread if self._spread else float("inf")
        count = int((apart > self._allowed).sum())
        reason = (
            f"{count} of {len(apart)} clips have another score {_SAID[on]}; the largest change is from "
            f"{first[top]:.6g} to {second[top]:.6g}"
        )
        return [Dependence(on, difference, self._names[top], reason)]


def _score(
    detector: Detector, hidden: HiddenClips, clips: ClipSet, rows: Sequence[int] | npt.NDArray[np.intp]
) -> Scores:
    """Scores of one batch: the clips at some positions."""
    try:
        return checked_scores(detector.score(hidden), len(hidden))
    except Exception as error:
        _name(error, hidden, clips.select(rows))
        raise


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that has nothing to do with the store, where labels lie."""
    place = Path(tempfile.gettempdir()) / f"asdbench-{os.getuid() if hasattr(os, 'getuid') else 'scoring'}"
    with ExitStack() as stack:
        try:
            remove_abandoned(place)
            folder = stack.enter_context(temporary_folder(place))
        except OSError as error:
            reason = error.strerror or error
            raise CopyError(f"cannot write to {place}: {reason}; TMPDIR can name another folder") from None
        yield folder


def _name(error: Exception, hidden: HiddenClips, clips: ClipSet) -> None:
    """Put the true names into an error."""

    def named(text: str) -> str:
        for row in range(len(clips)):
            text = text.replace(hidden.path(row), clips.file(row))
            text = text.replace(str(hidden.frame["clip_id"].iat[row]), str(clips.frame["clip_id"].iat[row]))
        return text

    error.args = tuple(named(item) if isinstance(item, str) else item for item in error.args)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = named(error.filename)


def _digest(text: str) -> str:
    return hashlib.blake2b(f"blind {text}".encode(), digest_size=16).hexdigest()


def checked_scores(scores: Any, expected: int) -> Scores:
    """Return the scores as float64.

    Raises:
        PluginError: they are not one finite number a clip.
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise PluginError(f"score() returned {type(scores).__name__}, expected an array of numbers") from None
    if array.shape != (expected,):
        raise PluginError(
            f"score() returned an array of shape {array.shape} for {expected} clips, expected ({expected},)"
        )
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise PluginError(
            f"score() returned {array[bad[0]]} for {len(bad)} of {expected} clips, expected finite numbers"
        )
    return array

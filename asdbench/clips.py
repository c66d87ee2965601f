"""ClipSet: an ordered table of audio clips that can read its own audio.

Everything that passes between the stages of asdbench is a ClipSet or an array aligned with one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench import audio
from asdbench.audio import Channel, Waveform
from asdbench.audio_hash import hashes_of
from asdbench.errors import UserError
from asdbench.inspection import refuse_bad_files

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

LABELS = ("clip_id", "path", "machine", "section", "domain", "split", "condition", "attributes")
"""Columns that a dataset provides; see `ClipSet`."""
MEASURED = ("content_hash", "sample_rate", "channels", "num_samples")
"""Columns that are read off the file."""
ORIGIN = ("source", "provenance")
"""Columns that say who made the clip."""
GROUP = "group"
"""Column that a dataset may provide: what must not be divided between roles, such as a recording."""
AUDIO_HASH = "audio_hash"
"""Column with the hash of the audio as it is read; see `asdbench.audio_hash`."""
COLUMNS = (*LABELS, GROUP, *MEASURED, AUDIO_HASH, *ORIGIN)

DOMAINS = ("source", "target", "none", "unknown")
SPLITS = ("train", "test")
CONDITIONS = ("normal", "anomaly", "unknown")
_JSON_COLUMNS = ("attributes", "provenance")


class ClipSet:
    """An ordered set of clips: one row each, audio read when it is asked for.

    Attributes:
        frame: a pandas table with a 0..n-1 index and the columns

            - ``clip_id``: unique name, usually the path relative to the data root, with forward slashes;
            - ``path``: the audio file, or the part of one (see `asdbench.segments`);
            - ``machine``, ``section``: machine type and section ("00" where there is one);
            - ``domain``: "source", "target", "none" (the data has no domains) or "unknown";
            - ``split``: "train" or "test"; ``condition``: "normal", "anomaly" or "unknown";
            - ``attributes``: a mapping such as ``{"vel": "6", "loc": "A"}``;
            - ``group``: clips of one group, such as the cuts of a recording, have one role; by default ``clip_id``;
            - ``content_hash``: hash of the decoded audio; ``sample_rate``, ``channels``, ``num_samples``: of the file;
            - ``audio_hash``: hash of the audio as it is read (one channel, resampled), "" where that is not known;
            - ``source``: "real" or the name of the generator that made the clip; ``provenance``: how it was made.
        sample_rate: rate in Hz at which waveforms are returned, None for each file's own.
        channel: channel that is returned, an index or "mean".
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        sample_rate: int | None = 16000,
        channel: Channel = 0,
        *,
        files: Sequence[str] | None = None,
    ) -> None:
        """Wrap a table.

        Args:
            frame: the table.
            sample_rate: see the attribute.
            channel: see the attribute.
            files: where the audio is, where the column ``path`` must not say so.
        """
        if GROUP not in frame.columns and "clip_id" in frame.columns:
            frame = frame.assign(**{GROUP: frame["clip_id"]})
        if AUDIO_HASH not in frame.columns and set(MEASURED) <= set(frame.columns):  # tables of before had none
            frame = frame.assign(**{AUDIO_HASH: _hash_of_whole(frame, sample_rate)})
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise ValueError(f"a ClipSet needs the columns {missing}")
        self.frame = frame.reset_index(drop=True)
        self.sample_rate = sample_rate
        self.channel = channel
        self._files: Sequence[str] = list(frame["path"]) if files is None else list(files)

    @classmethod
    def from_files(
        cls,
        labels: pd.DataFrame | Sequence[dict[str, Any]],
        sample_rate: int | None = 16000,
        channel: Channel = 0,
        source: str = "real",
        infos: Sequence[audio.AudioInfo] | None = None,
        audio_hashes: Sequence[str] | None = None,
    ) -> ClipSet:
        """Build a clip set from label rows, measuring every file.

        Args:
            labels: rows with the columns of `LABELS`, and "group" and "provenance" where there are any.
            infos: what `asdbench.audio.inspect` says of each file, where that is known already.
            audio_hashes: the column ``audio_hash``, where that is known already.

        Raises:
            UserError: files cannot be used; the message names them (see `asdbench.inspection.BadClipsError`).
        """
        import pandas as pd

        table = pd.DataFrame(list(labels) if not isinstance(labels, pd.DataFrame) else labels)
        missing = [name for name in LABELS if name not in table.columns]
        if missing and len(table):
            raise UserError(f"the table of clips lacks the columns {missing}, expected {list(LABELS)}")
        if table.empty:
            return cls(pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS}), sample_rate, channel)
        for name, allowed in (("domain", DOMAINS), ("split", SPLITS), ("condition", CONDITIONS)):
            strange = table[name][~table[name].isin(allowed)]
            if len(strange):
                raise UserError(
                    f"{table['path'][strange.index[0]]}: {name} is {strange.iloc[0]!r}, expected one of {allowed}"
                )
        if infos is None:
            infos = [audio.inspect(path) for path in table["path"]]
        refuse_bad_names(table["path"])
        refuse_bad_files(table["path"], infos, channel, sample_rate)
        measured = pd.DataFrame(
            [(i.content_hash, i.sample_rate, i.channels, i.num_samples) for i in infos], columns=list(MEASURED)
        )
        measured[AUDIO_HASH] = (
            list(audio_hashes)
            if audio_hashes is not None
            else hashes_of(list(table["path"]), infos, sample_rate, channel)
        )
        table = pd.concat([table.reset_index(drop=True), measured], axis=1)
        table["source"] = source
        if "provenance" not in table:
            table["provenance"] = pd.Series([{} for _ in range(len(table))], dtype=object)
        if GROUP not in table:
            table[GROUP] = table["clip_id"]
        repeated = table["clip_id"][table["clip_id"].duplicated()]
        if len(repeated):
            raise UserError(f"two clips have the same name {repeated.iloc[0]!r}; names must be unique")
        return cls(table[list(COLUMNS)], sample_rate, channel)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        machines = ", ".join(sorted(self.frame["machine"].unique())) if len(self) else "no machine"
        return f"ClipSet({len(self)} clips of {machines})"

    def waveform(self, index: int) -> Waveform:
        """Read the audio of one clip: float32, shape (num_samples,), at ``self.sample_rate``."""
        return audio.read(self._files[index], self.sample_rate, self.channel)

    def file(self, index: int) -> str:
        """Where the audio of one clip is, for messages; its name may tell the label."""
        return self._files[index]

    def waveforms(self) -> Iterator[Waveform]:
        """Read the clips one after the other, in order; lengths may differ."""
        return (self.waveform(index) for index in range(len(self)))

    def select(self, rows: Any) -> ClipSet:
        """Return the clips at ``rows``: integer positions, in the order given, or a boolean mask."""
        positions = positions_of(rows)
        files = [self._files[position] for position in positions]
        return ClipSet(self.frame.iloc[positions], self.sample_rate, self.channel, files=files)

    def where(self, **values: str | Iterable[str]) -> ClipSet:
        """Return the clips whose columns have the given values: ``clips.where(split="test", domain=["source"])``."""
        mask = self.frame["clip_id"].notna()
        for column, wanted in values.items():
            mask &= self.frame[column].isin([wanted] if isinstance(wanted, str) else list(wanted))
        return self.select(mask.to_numpy(dtype=bool))

    def without_labels(self) -> ClipSet:
        """Return the clips with a table that tells machine, section and audio format, nothing else.

        Where the audio is, `file` still says; what a detector scores hides that, too (`asdbench.blind`).
        """
        import pandas as pd

        names = [f"clip {index}" for index in range(len(self))]
        frame = self.frame.assign(
            clip_id=names, group=names, path="", content_hash="", audio_hash="", source="unknown", split="unknown"
        )
        frame = frame.assign(condition="unknown", domain="unknown")
        for column in _JSON_COLUMNS:
            frame[column] = pd.Series([{} for _ in range(len(frame))], dtype=object)
        return ClipSet(frame, self.sample_rate, self.channel, files=self._files)

    def for_lookup(self, source: str, seed: int) -> ClipSet:
        """Return the clips as one may see them who looks scores up: by name, machine, section and split.

        Args:
            source: "real", or the name of the generator in the benchmark; stands in the column ``source``.
            seed: of the benchmark, for generated clips that of their generation; stands in ``provenance`` as "seed".
        """
        import pandas as pd

        known = self.without_labels().frame.assign(clip_id=self.frame["clip_id"], split=self.frame["split"])
        known["source"] = source
        known["provenance"] = pd.Series([{"seed": seed} for _ in range(len(known))], dtype=object)
        return ClipSet(known, self.sample_rate, self.channel, files=self._files)

    @staticmethod
    def concat(parts: Sequence[ClipSet]) -> ClipSet:
        """Join clip sets, in order; all must be read at the same rate and channel."""
        import pandas as pd

        first = parts[0]
        if any((part.sample_rate, part.channel) != (first.sample_rate, first.channel) for part in parts):
            raise ValueError("clip sets with different sample rates or channels cannot be joined")
        filled = [part for part in parts if len(part)] or [first]
        frame = pd.concat([part.frame for part in filled], ignore_index=True)
        files = [file for part in filled for file in part._files]
        return ClipSet(frame, first.sample_rate, first.channel, files=files)

    def content_id(self) -> str:
        """Hash of what the clips are: labels, audio and reading rate, but not where the files lie."""
        digest = hashlib.blake2b(json.dumps([self.sample_rate, self.channel]).encode(), digest_size=16)
        # Clips that are groups of their own have the identity that they had before there were groups.
        grouped = not (self.frame[GROUP] == self.frame["clip_id"]).all()
        columns = [name for name in COLUMNS if name not in ("path", AUDIO_HASH) and (grouped or name != GROUP)]
        for row in self.frame[columns].itertuples(index=False):
            digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        return digest.hexdigest()

    def save(self, path: Path, root: Path | None = None) -> None:
        """Write the table as parquet; file paths under ``root`` are stored relative to it."""
        frame = self.frame.copy()
        for column in _JSON_COLUMNS:
            frame[column] = [json.dumps(value, sort_keys=True) for value in frame[column]]
        if root is not None:
            frame["path"] = [_relative(Path(name), root) for name in frame["path"]]
        frame.attrs = {}
        frame.to_parquet(path, index=False)
        settings = {"sample_rate": self.sample_rate, "channel": self.channel}
        path.with_suffix(".json").write_text(json.dumps(settings))

    @classmethod
    def load(cls, path: Path, root: Path | None = None) -> ClipSet:
        """Read what `save` wrote."""
        import pandas as pd

        frame = pd.read_parquet(path)
        for column in _JSON_COLUMNS:
            frame[column] = [json.loads(value) for value in frame[column]]
        if root is not None:
            frame["path"] = [str(root / name) for name in frame["path"]]
        return cls(frame, **json.loads(path.with_suffix(".json").read_text()))


def positions_of(rows: Any) -> npt.NDArray[np.intp]:
    """Integer positions of rows that are given as such or as a boolean mask."""
    import numpy as np

    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)


def _hash_of_whole(frame: pd.DataFrame, sample_rate: int | None) -> list[str]:
    """The content hash where all of the file is read, else ""."""
    whole = (frame["channels"] == 1) & ((frame["sample_rate"] == sample_rate) | (sample_rate is None))
    return [str(content) if same else "" for content, same in zip(frame["content_hash"], whole, strict=True)]


def refuse_bad_names(paths: Iterable[str]) -> None:
    """Raise a UserError that names the first file whose name is no valid Unicode; tables cannot hold it."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(path).encode(errors='replace').decode()}: expected a file name in UTF-8") from None


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

"""Having a generator make clips, checking them, and writing them as a folder in the layout of DCASE Task 2."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from asdbench import audio
from asdbench.clips import ClipSet
from asdbench.errors import PluginError
from asdbench.frames import records
from asdbench.plugins import GeneratedClip, Generator, Request

_LONGEST_NAME = 200  # bytes; file systems allow 255


def name_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a request with a ``clip_id`` for each: a path and name in the form of DCASE Task 2."""
    return rows.assign(clip_id=[_name(index, row) for index, row in enumerate(records(rows))])


def write_clips(
    generator: Generator, request: Request, folder: Path, on_clip: Callable[[], None] = lambda: None
) -> ClipSet:
    """Have a generator meet a request, and write each clip to ``folder/clip_id`` as float WAV.

    Args:
        generator: with its seed set.
        request: rows as `name_rows` returns them, with a ``split``.
        folder: where the clips go.
        on_clip: called after each clip.

    Raises:
        PluginError: the generator made too few or too many clips, or one that is no clip.
    """
    rows = request.rows
    made = iter(generator.generate(request))
    labels: list[dict[str, Any]] = []
    for index, row in enumerate(records(rows)):
        clip = next(made, None)
        if clip is None:
            raise PluginError(f"the generator made {index} clips, {len(rows)} were asked for")
        waveform = checked_waveform(clip, index, request.sample_rate)
        if clip.attributes is not None:
            row = {**row, "attributes": clip.attributes}
        clip_id = _name(index, row)
        path = folder / clip_id
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, waveform, request.sample_rate, subtype="FLOAT")
        labels.append({**row, "clip_id": clip_id, "path": str(path), "provenance": json_values(clip.provenance)})
        on_clip()
    if next(made, None) is not None:
        raise PluginError(f"the generator made more clips than the {len(rows)} that were asked for")
    return ClipSet.from_files(labels, request.sample_rate, source=generator.name)


def json_values(value: dict[str, Any]) -> dict[str, Any]:
    """Return a provenance with numpy numbers and arrays turned to JSON values.

    Raises:
        PluginError: it holds something that JSON cannot say.
    """

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise PluginError(f"provenance holds a {type(item).__name__}, expected JSON values")

    return cast(dict[str, Any], json.loads(json.dumps(value, default=plain)))


def checked_waveform(clip: GeneratedClip, index: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """Return the audio of a generated clip as float32.

    Raises:
        PluginError: it is not one channel of finite samples, or too short or silent.
    """
    waveform = np.asarray(clip.waveform, dtype=np.float32)
    if waveform.ndim != 1 or not len(waveform):
        raise PluginError(f"generated clip {index} has shape {waveform.shape}, expected (num_samples,)")
    flaw = audio.flaw(waveform[:, None], sample_rate)
    if flaw:
        raise PluginError(f"generated clip {index}: {flaw}")
    return waveform


def _name(index: int, row: Mapping[str, Any]) -> str:
    """A name in the form of DCASE Task 2, so that other tools read the folder."""
    attributes = "".join(f"_{key}_{value}" for key, value in row["attributes"].items())
    name = f"section_{row['section']}_{row['domain']}_{row['split']}_{row['condition']}_{index:04d}{attributes}"
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
    return f"{row['machine']}/{row['split']}/{safe.encode()[:_LONGEST_NAME].decode(errors='ignore')}.wav"

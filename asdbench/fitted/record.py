"""What is known of a fitted detector: the file ``detector.json`` beside its state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import pydantic

from asdbench.audio import Channel
from asdbench.errors import UserError
from asdbench.metrics.threshold import Method
from asdbench.state import ARRAYS, TREE
from asdbench.validation import first_error

RECORD, FORMAT = "detector.json", 1
"""Name of the file, and its format: to be raised when older readers would misunderstand it."""


_FILE = r"^(state\.json|arrays\.safetensors|\d+\.skops)$"


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PluginRecord(_Model):
    """The plugin, as it was when it was fitted.

    Attributes:
        use: its name.
        version: see `asdbench.plugins.Plugin`.
        source: hash of its code; see `asdbench.plugins.source_id`.
        origin: where it came from, such as "package acme 1.0".
        settings: all of them, defaults included.
        seed: of the instance.
        inputs: files that it depends on beside its state, such as a pretrained model, by hash.
    """

    use: str
    version: str
    source: str
    origin: str
    settings: dict[str, Any]
    seed: int
    inputs: dict[str, str]


class Audio(_Model):
    """How recordings are read.

    Attributes:
        sample_rate: rate in Hz to which they are resampled, None for each file's own.
        channel: which channel is read: an index, or "mean".
    """

    sample_rate: Annotated[int, pydantic.Field(ge=1)] | None
    channel: Channel


class Fitted(_Model):
    """What the detector has learnt from.

    Attributes:
        machine: machine type.
        sections: their names.
        clips: number of clips.
        content: hash of the content of all of them, whatever their order.
    """

    machine: str
    sections: list[str] = pydantic.Field(min_length=1)
    clips: int = pydantic.Field(ge=1)
    content: str


class Threshold(_Model):
    """The score above which a recording is called anomalous.

    Attributes:
        method: "gamma": quantile of a gamma distribution fitted to the scores of the training clips
            (`asdbench.metrics.threshold`); "empirical": quantile of these scores themselves.
        quantile: which one.
        value: the score.
    """

    method: Method
    quantile: float = pydantic.Field(gt=0, lt=1)
    value: float

    def __str__(self) -> str:
        return f"{self.value:.6g} ({self.method}, {self.quantile:g})"


class Record(_Model):
    """All that is known of a fitted detector.

    Attributes:
        format: see `FORMAT`.
        asdbench: version of asdbench that wrote it.
        detector: the plugin.
        audio: how recordings are read.
        fitted: what it has learnt from.
        threshold: where decisions are made, None for scores alone.
        files: hash of each file of the state.
    """

    format: int
    asdbench: str
    detector: PluginRecord
    audio: Audio
    fitted: Fitted
    threshold: Threshold | None
    files: dict[Annotated[str, pydantic.Field(pattern=_FILE)], str] = {}

    def text(self) -> str:
        """The content of the file."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


def read_record(folder: Path) -> Record:
    """Read the record of a fitted detector.

    Raises:
        UserError: there is none, it is of another format, or a field is missing or wrong.
    """
    path = folder / RECORD
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one that `asdbench fit` or `asdbench export` wrote")
    try:
        content = path.read_bytes()
        data = json.loads(content)
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no fitted detector in it (no {RECORD}), expected a folder that `asdbench fit` or "
            "`asdbench export` wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: the file cannot be read as JSON ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise UserError(f"{path}: expected a JSON object with the number 'format'")
    if data["format"] != FORMAT:
        raise UserError(f"{path}: found format {data['format']}, this version of asdbench reads format {FORMAT}")
    try:
        record = Record.model_validate_json(content)
    except pydantic.ValidationError as error:
        where, sentence = first_error(error, list(Record.model_fields))
        raise UserError(": ".join([str(path), *([".".join(map(str, where))] if where else []), sentence])) from None
    missing = {TREE, ARRAYS} - set(record.files)
    if missing:
        raise UserError(f"{path}: files: expected the hash of {sorted(missing)[0]} among them")
    return record


def content_hash(hashes: Iterable[str]) -> str:
    """Hash of the content hashes of clips, whatever their order."""
    return hashlib.blake2b("\n".join(sorted(hashes)).encode(), digest_size=16).hexdigest()

"""What a model has learnt from: a table of its training clips, kept beside the model, and their fingerprints.

A benchmark reads the table to refuse a model that knows its test clips; a generator reads it to describe anomalies as
those of its training clips were, and to say what no training clip had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench import ClipSet, UserError, fingerprints

from .captions import Description

if TYPE_CHECKING:
    import pandas as pd

RECORD, SEAL = "training_clips.csv", "training_clips.json"
"""The table; its number of clips and a hash of them, since a table that lost rows would hide what was learnt."""
FINGERPRINTS = "fingerprints.safetensors"
COLUMNS = (
    "clip_id",
    "machine",
    "section",
    "domain",
    "condition",
    "attributes",
    "fault",
    "severity",
    "content_hash",
    "audio_hash",
    "caption",
)


def data_hash(content_hashes: Iterable[str]) -> str:
    """Hash of a set of clips: their content hashes, sorted, one a line, through BLAKE2b with 16 bytes."""
    text = "".join(f"{content_hash}\n" for content_hash in sorted(content_hashes))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def seal_of(content_hashes: Iterable[str]) -> dict[str, Any]:
    """Number of clips and a hash of them."""
    hashes = list(content_hashes)
    return {"clips": len(hashes), "hash": data_hash(hashes)}


def record_row(row: dict[str, Any], description: Description, caption: str) -> dict[str, Any]:
    """The row of the table for a clip.

    Args:
        row: of the clip set.
        description: what the caption says of the clip.
        caption: the caption.
    """
    labels = {name: row[name] for name in ("clip_id", "machine", "section", "domain", "condition", "attributes")}
    said = {"fault": description.fault, "severity": description.severity}
    hashes = {"content_hash": row["content_hash"], "audio_hash": row.get("audio_hash", "")}
    return labels | said | hashes | {"caption": caption}


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the table: rows with the keys of `COLUMNS`, attributes as a mapping."""
    import pandas as pd

    texts = [row | {"attributes": json.dumps(row["attributes"], sort_keys=True)} for row in rows]
    pd.DataFrame(texts, columns=list(COLUMNS)).to_csv(path, index=False)


def write_seal(path: Path, seal: dict[str, Any]) -> None:
    """Write what `seal_of` returned, and perhaps more."""
    path.write_text(json.dumps(seal) + "\n", encoding="utf-8")


def read_table(path: Path, seal_path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote.

    Args:
        path: of the table.
        seal_path: of its seal.

    Raises:
        UserError: the table is damaged.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame = with_audio_hash(frame)
        attributes = pd.Series([_mapping(text) for text in frame["attributes"]], dtype=object)
        severity = pd.Series([float(text) if text else None for text in frame["severity"]], dtype=object)
        frame = frame[list(COLUMNS)].assign(attributes=attributes, severity=severity)
        seal = json.loads(seal_path.read_text(encoding="utf-8"))
        if {name: seal[name] for name in ("clips", "hash")} != seal_of(frame["content_hash"]):
            raise ValueError(f"its {len(frame)} clips are not those that {seal_path.name} speaks of")
        return frame
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path}: the table of training clips is damaged ({error})") from error


def with_audio_hash(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``audio_hash``, which models of before do not have: "" where it is not known."""
    return frame if "audio_hash" in frame else frame.assign(audio_hash="")


def write_fingerprints(folder: Path, clips: ClipSet) -> None:
    """Write by what copies of the training clips are known."""
    fingerprints(clips).save(folder / FINGERPRINTS)


def describe(row: dict[str, Any]) -> Description:
    """The description of a row of the table."""
    return Description(
        machine=row["machine"],
        condition=row["condition"],
        attributes=row["attributes"],
        domain=row["domain"],
        section=row["section"],
        fault=row["fault"] or None,
        severity=row["severity"],
    )


def _mapping(text: str) -> dict[str, str]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"attributes are {text!r}, expected a JSON object")
    return {str(name): str(item) for name, item in value.items()}

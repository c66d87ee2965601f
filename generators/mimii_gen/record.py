"""What a model has learnt from: a table of its training clips, kept beside the weights.

A benchmark reads it to refuse a model that knows its test clips; the generator reads it to describe anomalies as they
were met, and to say what it has never met.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from asdbench import ClipSet, Fingerprints, UserError, fingerprints
from asdbench.pretrained.files import local_folder

from ..shared.captions import Description
from .model_card import data_hash

if TYPE_CHECKING:
    import pandas as pd

RECORD, SEAL, INDEX = "training_clips.csv", "training_clips.json", "model_index.json"
"""The table, which a trained codec has too; its number of clips and a hash of them, since a table that lost rows would
hide what was learnt; what a folder with a model holds."""
CODEC_RECORD = "codec_clips.csv"
"""The table of the clips that the model's codec was trained on, where its folder told them; sealed with the other."""
FINGERPRINTS, UNET = "fingerprints.safetensors", "unet/diffusion_pytorch_model.safetensors"
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
    "caption",
)


CODEC_COLUMNS = ("clip_id", "machine", "section", "domain", "condition", "content_hash")


def write_record(folder: Path, rows: Sequence[dict[str, Any]], codec: pd.DataFrame | None = None) -> None:
    """Write the training clips of a model.

    Args:
        folder: of the model.
        rows: the clips, with the keys of `COLUMNS`, attributes as a mapping.
        codec: the clips that its codec learnt from, see `codec_clips`.
    """
    import pandas as pd

    texts = [row | {"attributes": json.dumps(row["attributes"], sort_keys=True)} for row in rows]
    pd.DataFrame(texts, columns=list(COLUMNS)).to_csv(folder / RECORD, index=False)
    seal = _seal([row["content_hash"] for row in rows])
    if codec is not None:
        codec.to_csv(folder / CODEC_RECORD, index=False)
        seal["codec"] = _seal(codec["content_hash"])
    (folder / SEAL).write_text(json.dumps(seal) + "\n", encoding="utf-8")


def codec_clips(codec: str) -> pd.DataFrame | None:
    """The clips that a codec was trained on, as `CODEC_COLUMNS`.

    Args:
        codec: the setting ``codec``.

    Returns:
        None where it does not tell, as of a downloaded codec.

    Raises:
        UserError: the table is damaged.
    """
    path = Path(codec).expanduser() / RECORD
    return _read_codec_clips(path) if path.is_file() else None


def read_heard(model: str | Path) -> pd.DataFrame | None:
    """Read all clips that a model has heard: those that it was trained on, and then those of its codec alone.

    The latter have no attributes: nobody can ask for clips like them. None where a model has no such table.

    Raises:
        UserError: there is no such model, or a table is damaged.
    """
    import pandas as pd

    learnt, seal_path, path = read_record(model), _file(model, SEAL), _file(model, CODEC_RECORD)
    if learnt is None or seal_path is None:
        return None
    sealed = json.loads(seal_path.read_text(encoding="utf-8")).get("codec")
    if path is None:
        if sealed is not None:
            raise UserError(f"checkpoint: {model} lacks {CODEC_RECORD}, expected the clips that its codec has heard")
        return learnt
    codec = _read_codec_clips(path)
    if sealed != _seal(codec["content_hash"]):
        raise UserError(f"{path}: the table of training clips is damaged (its {len(codec)} clips are not sealed)")
    codec = codec[~codec["content_hash"].isin(set(learnt["content_hash"]))]
    return pd.concat([learnt, codec.assign(attributes=None, fault="", severity=None, caption="")], ignore_index=True)


def read_record(model: str | Path) -> pd.DataFrame | None:
    """Read what `write_record` wrote, from a folder or the hub; None where a model has no such table.

    Raises:
        UserError: there is no such model, or the table is damaged.
    """
    path, seal_path = _file(model, RECORD), _file(model, SEAL)
    if path is None or seal_path is None:
        return None
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        attributes = pd.Series([_mapping(text) for text in frame["attributes"]], dtype=object)
        severity = pd.Series([float(text) if text else None for text in frame["severity"]], dtype=object)
        frame = frame[list(COLUMNS)].assign(attributes=attributes, severity=severity)
        seal = json.loads(seal_path.read_text(encoding="utf-8"))
        if {name: seal[name] for name in ("clips", "hash")} != _seal(frame["content_hash"]):
            raise ValueError(f"its {len(frame)} clips are not those that {SEAL} speaks of")
        return frame
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path}: the table of training clips is damaged ({error})") from error


def write_fingerprints(folder: Path, clips: ClipSet) -> None:
    """Write by what copies of the training clips are known."""
    fingerprints(clips).save(folder / FINGERPRINTS)


def read_fingerprints(model: str | Path) -> Fingerprints | None:
    """Read what `write_fingerprints` wrote; None where a model has none.

    Raises:
        UserError: there is no such model, or the file is damaged.
    """
    path = _file(model, FINGERPRINTS)
    return None if path is None else Fingerprints.load(path)


def count_parameters(model: str | Path) -> int | None:
    """Number of weights of a model's U-Net, from the head of its file; None where there is no such file."""
    path = _file(model, UNET)
    if path is None:
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: the weights are damaged ({error})") from error


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


def _seal(content_hashes: Iterable[str]) -> dict[str, Any]:
    hashes = list(content_hashes)
    return {"clips": len(hashes), "hash": data_hash(hashes)}


def _read_codec_clips(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)[list(CODEC_COLUMNS)]
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{path}: the table of training clips is damaged ({error})") from error


def _mapping(text: str) -> dict[str, str]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"attributes are {text!r}, expected a JSON object")
    return {str(name): str(item) for name, item in value.items()}


def _file(model: str | Path, name: str) -> Path | None:
    folder = local_folder(str(model), "checkpoint")
    if folder is not None:
        if not (folder / INDEX).is_file():
            raise UserError(f"checkpoint: {folder} holds no {INDEX}, expected the folder of a trained generator")
        return folder / name if (folder / name).is_file() else None
    from asdbench.pretrained.hub import hub_file

    return hub_file(str(model), name)

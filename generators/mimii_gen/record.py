"""What a model has learnt from: a table of its training clips, kept beside the weights.

A benchmark reads it to refuse a model that knows its test clips; the generator reads it to describe anomalies as they
occurred in training, and to list labels that did not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from asdbench import Fingerprints, UserError
from asdbench.pretrained.files import local_folder

from ..shared.record import FINGERPRINTS, RECORD, SEAL, read_table, seal_of, with_audio_hash, write_seal, write_table

if TYPE_CHECKING:
    import pandas as pd

INDEX = "model_index.json"
"""What a folder with a model holds."""
CODEC_RECORD = "codec_clips.csv"
"""The table of the clips that the model's codec was trained on, where its folder lists them; sealed with the other."""
_WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET, CLIP_NETWORK = f"unet/{_WEIGHTS}", f"clip_network/{_WEIGHTS}"
CODEC_COLUMNS = ("clip_id", "machine", "section", "domain", "condition", "content_hash", "audio_hash")


def write_record(folder: Path, rows: Sequence[dict[str, Any]], codec: pd.DataFrame | None = None) -> None:
    """Write the training clips of a model.

    Args:
        folder: of the model.
        rows: the clips, with the keys of `shared.record.COLUMNS`, attributes as a mapping.
        codec: the clips that its codec learnt from, see `codec_clips`.
    """
    write_table(folder / RECORD, rows)
    seal = seal_of(row["content_hash"] for row in rows)
    if codec is not None:
        codec.to_csv(folder / CODEC_RECORD, index=False)
        seal["codec"] = seal_of(codec["content_hash"])
    write_seal(folder / SEAL, seal)


def codec_clips(codec: str) -> pd.DataFrame | None:
    """The clips that a codec was trained on, as `CODEC_COLUMNS`.

    Args:
        codec: the setting ``codec``.

    Returns:
        None where its folder has no table, as of a downloaded codec.

    Raises:
        UserError: the table is damaged.
    """
    path = Path(codec).expanduser() / RECORD
    return _read_codec_clips(path) if path.is_file() else None


def read_training_clips(model: str | Path) -> pd.DataFrame | None:
    """Read all training clips of a model: those of its networks, and then those of its codec alone.

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
            raise UserError(f"checkpoint: {model} lacks {CODEC_RECORD}, expected the training clips of its codec")
        return learnt
    codec = _read_codec_clips(path)
    if sealed != seal_of(codec["content_hash"]):
        raise UserError(f"{path}: the table of training clips is damaged (its {len(codec)} clips are not sealed)")
    codec = codec[~codec["content_hash"].isin(set(learnt["content_hash"]))]
    return pd.concat([learnt, codec.assign(attributes=None, fault="", severity=None, caption="")], ignore_index=True)


def read_record(model: str | Path) -> pd.DataFrame | None:
    """Read what `write_record` wrote, from a folder or the hub; None where a model has no such table.

    Raises:
        UserError: there is no such model, or the table is damaged.
    """
    path, seal_path = _file(model, RECORD), _file(model, SEAL)
    return None if path is None or seal_path is None else read_table(path, seal_path)


def read_fingerprints(model: str | Path) -> Fingerprints | None:
    """Read the fingerprints of the training clips; None where a model has none.

    Raises:
        UserError: there is no such model, or the file is damaged.
    """
    path = _file(model, FINGERPRINTS)
    return None if path is None else Fingerprints.load(path)


def count_parameters(model: str | Path) -> int | None:
    """Number of weights of the networks that denoise, from the heads of their files; None where there is no U-Net."""
    paths = _file(model, UNET), _file(model, CLIP_NETWORK)
    return None if paths[0] is None else sum(_count(path) for path in paths if path is not None)


def _count(path: Path) -> int:
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: the weights are damaged ({error})") from error


def _read_codec_clips(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return with_audio_hash(pd.read_csv(path, dtype=str, keep_default_na=False))[list(CODEC_COLUMNS)]
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{path}: the table of training clips is damaged ({error})") from error


def _file(model: str | Path, name: str) -> Path | None:
    folder = local_folder(str(model), "checkpoint")
    if folder is not None:
        if not (folder / INDEX).is_file():
            raise UserError(f"checkpoint: {folder} holds no {INDEX}, expected the folder of a trained generator")
        return folder / name if (folder / name).is_file() else None
    from asdbench.pretrained.hub import hub_file

    return hub_file(str(model), name)

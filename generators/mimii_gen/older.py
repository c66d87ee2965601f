"""Models of older versions, which today's generator cannot use. Imports no heavy library."""

from __future__ import annotations

import json
from pathlib import Path

from asdbench import UserError

_INDEX, _CLASS = "model_index.json", "MimiiGenPipeline"
_ENTRIES = ("levels", "events", "lapped_transform")
_FILES = ("levels.safetensors", "events.safetensors")


def refuse_older(model: str | Path) -> None:
    """Refuse the folder of a model whose sound was synthesised in closed form, in part or as a whole.

    Nothing happens where the model is a hub id, or where the index cannot be read.

    Raises:
        UserError: the folder holds such a model.
    """
    folder = Path(model).expanduser()
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # a message about it is up to those who need the index
        return
    if not isinstance(index, dict) or index.get("_class_name") not in (None, _CLASS):
        return
    if any(index.get(name) is not None for name in _ENTRIES) or any((folder / name).is_file() for name in _FILES):
        raise UserError(
            f"checkpoint: {folder} was made by an older version of asdbench, whose closed-form synthesis is now the "
            "generator 'texture' (use: texture); a model of mimii_gen has to be trained anew"
        )

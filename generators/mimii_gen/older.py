"""Models of older versions, which today's generator cannot use. Only a hub id makes it import a heavy library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from asdbench import UserError
from asdbench.pretrained.files import local_folder

_INDEX, _CLASS = "model_index.json", "MimiiGenPipeline"
_ENTRIES = ("levels", "events", "lapped_transform")
_FILES = ("levels.safetensors", "events.safetensors")


def refuse_older(model: str | Path) -> None:
    """Refuse a model whose sound was synthesised in closed form, in part or as a whole.

    Nothing happens where the index cannot be read; a message about it is up to those who need the index.

    Args:
        model: folder or hub id.

    Raises:
        UserError: it is such a model.
    """
    try:
        folder = local_folder(str(model))
        older = _is_older(_on_hub(str(model)) if folder is None else _in_folder(folder))
    except (UserError, OSError, ValueError, RecursionError):
        return
    if older:
        raise UserError(
            f"checkpoint: {folder or model} was made by an older version of asdbench, whose closed-form synthesis is "
            "now the generator 'texture' (use: texture); a model of mimii_gen has to be trained anew"
        )


def _is_older(find: Callable[[str], Path | None]) -> bool:
    """Whether a model is older, by a function that returns the path of one of its files, or None."""
    path = find(_INDEX)
    index = None if path is None else json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(index, dict) or index.get("_class_name") not in (None, _CLASS):
        return False
    if any(index.get(name) is not None for name in _ENTRIES):
        return True
    # Older versions named what they lacked, too; of a model that does not, the hub need not be asked for more files.
    return any(name in index for name in _ENTRIES) and any(find(name) is not None for name in _FILES)


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    return lambda name: folder / name if (folder / name).is_file() else None


def _on_hub(model: str) -> Callable[[str], Path | None]:
    from asdbench.pretrained.hub import hub_file

    return lambda name: hub_file(model, name)

"""Saving what a detector has learnt, without pickle: arrays as safetensors, estimators by skops, the rest as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_ARRAY, _ESTIMATOR, _TUPLE = "__array__", "__estimator__", "__tuple__"
_TRUSTED = ("sklearn.", "numpy.", "scipy.", "builtins.")


class StateError(TypeError):
    """A state holds something that cannot be saved."""


def save_state(state: dict[str, Any], folder: Path) -> None:
    """Write a state: nested dicts, lists and tuples of arrays, tensors, scikit-learn estimators and JSON values.

    Raises:
        StateError: the state holds something else; the message names the attribute and its type.
    """
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    tree = _pack(state, "", arrays, folder)
    (folder / "state.json").write_text(json.dumps(tree))
    (folder / "arrays.safetensors").write_bytes(save(arrays))  # so that a full disk says so


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; tensors come back as arrays."""
    from safetensors.numpy import load_file

    arrays = load_file(folder / "arrays.safetensors")
    tree = json.loads((folder / "state.json").read_text())
    state = _unpack(tree, arrays, folder)
    assert isinstance(state, dict)
    return state


def _pack(value: Any, at: str, arrays: dict[str, np.ndarray], folder: Path) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise StateError(f"{at}: dicts in a detector's state need words as keys")
        return {key: _pack(item, f"{at}.{key}" if at else key, arrays, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{at}.{index}", arrays, folder) for index, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if type(value).__module__ == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        name = str(len(arrays))
        # In the machine's byte order, which is what safetensors reads back; the shape may be ().
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if hasattr(value, "get_params") and type(value).__module__.startswith("sklearn."):
        return {_ESTIMATOR: _save_estimator(value, at, folder)}
    raise StateError(
        f"{at}: a {type(value).__name__} cannot be saved; override get_state and set_state to give arrays instead"
    )


def _unpack(value: Any, arrays: dict[str, np.ndarray], folder: Path) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays, folder) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays[value[_ARRAY]]
    if _TUPLE in value:
        return tuple(_unpack(item, arrays, folder) for item in value[_TUPLE])
    if _ESTIMATOR in value:
        return _load_estimator(folder / value[_ESTIMATOR])
    return {key: _unpack(item, arrays, folder) for key, item in value.items()}


def _save_estimator(estimator: Any, at: str, folder: Path) -> str:
    import skops.io

    name = f"{sum(1 for _ in folder.glob('*.skops'))}.skops"
    skops.io.dump(estimator, folder / name)
    strange = [kind for kind in skops.io.get_untrusted_types(file=folder / name) if not kind.startswith(_TRUSTED)]
    if strange:
        raise StateError(f"{at}: the estimator holds a {strange[0]}, which cannot be saved safely")
    return name


def _load_estimator(path: Path) -> Any:
    import skops.io

    kinds = [kind for kind in skops.io.get_untrusted_types(file=path) if kind.startswith(_TRUSTED)]
    return skops.io.load(path, trusted=kinds)

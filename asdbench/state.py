"""Saving what a detector has learnt, without pickle: arrays as safetensors, estimators by skops, the rest as JSON.

Nothing in these files is code, and reading them runs none: JSON and safetensors hold data only, and of what a skops
file may hold only classes of scikit-learn and a few containers of numbers are built.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from asdbench.errors import UserError

TREE, ARRAYS = "state.json", "arrays.safetensors"
"""Files of a state: its shape and plain values, and its arrays; estimators are beside them."""

_ARRAY, _ESTIMATOR, _TUPLE = "__array__", "__estimator__", "__tuple__"
_ESTIMATOR_FILE = re.compile(r"\d+\.skops")
_NUMBERS = {
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    *(f"scipy.sparse._{kind}.{kind}_{what}" for kind in ("coo", "csc", "csr") for what in ("array", "matrix")),
}
"""What estimators hold beside scikit-learn's own classes and what skops builds anyway."""


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
    (folder / TREE).write_text(json.dumps(tree))
    (folder / ARRAYS).write_bytes(save(arrays))  # so that a full disk says so


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; tensors come back as arrays.

    Raises:
        UserError: a file is missing, damaged, or holds what is no data; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(folder / ARRAYS)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{folder / ARRAYS}: the arrays cannot be read ({_reason(error)})") from error
    try:
        tree = json.loads((folder / TREE).read_text(encoding="utf-8"))
        state = _unpack(tree, arrays, folder)
        if not isinstance(state, dict):
            raise ValueError(f"found a {type(state).__name__}, expected an object")
        return state
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / TREE}: the state cannot be read ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(f"{error if isinstance(error, ValueError) else repr(error)}".split())


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
        if value[_ARRAY] not in arrays:
            raise ValueError(f"there is no array {value[_ARRAY]!r}")
        return arrays[value[_ARRAY]]
    if _TUPLE in value:
        return tuple(_unpack(item, arrays, folder) for item in value[_TUPLE])
    if _ESTIMATOR in value:
        if not _ESTIMATOR_FILE.fullmatch(value[_ESTIMATOR]):
            raise ValueError(f"found {value[_ESTIMATOR]!r}, expected the name of a file such as 0.skops")
        return _load_estimator(folder / value[_ESTIMATOR])
    return {key: _unpack(item, arrays, folder) for key, item in value.items()}


def _save_estimator(estimator: Any, at: str, folder: Path) -> str:
    import skops.io

    name = f"{sum(1 for _ in folder.glob('*.skops'))}.skops"
    try:
        skops.io.dump(estimator, folder / name)
    except skops.io.exceptions.UnsupportedTypeException as error:
        raise StateError(f"{at}: a {type(estimator).__name__} cannot be saved ({error})") from error
    strange = refused_types(skops.io.get_untrusted_types(file=folder / name))
    if strange:
        raise StateError(f"{at}: the estimator holds a {strange[0]}, which cannot be saved safely")
    return name


def _load_estimator(path: Path) -> Any:
    import skops.io

    try:
        kinds = skops.io.get_untrusted_types(file=path)
        strange = refused_types(kinds)
        if not strange:
            return skops.io.load(path, trusted=kinds)
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(f"{path}: the estimator cannot be read ({_reason(error)})") from error
    raise UserError(f"{path}: the file holds a {strange[0]}, which is not loaded, since it could run code")


def refused_types(names: Iterable[str], packages: Collection[str] = ("sklearn",)) -> list[str]:
    """Those of the types that a skops file names which may not be built, since they could run code.

    Classes that the packages define are built, and a few containers of numbers. Functions are refused, also those of
    the packages and of numpy: a file could have them called with arguments of its choice. Nothing is imported for it:
    skops has imported all of scikit-learn, and who trusts another package has imported what it needs.

    Args:
        names: what `skops.io.get_untrusted_types` says.
        packages: the packages whose classes may be built.
    """
    return [name for name in names if name not in _NUMBERS and not _is_class(name, packages)]


def _is_class(name: str, packages: Collection[str]) -> bool:
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module), attribute, None)
    if not isinstance(found, type):
        return False
    return {module.partition(".")[0], found.__module__.partition(".")[0]} <= set(packages)

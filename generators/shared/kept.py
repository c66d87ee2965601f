"""Results that an interrupted training need not compute again: arrays in files named after what they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .disk import os_errors, whole_file

__all__ = ["kept"]

Arrays = Mapping[str, npt.NDArray[Any]]


def kept(folder: Path, what: str, depends_on: Any, compute: Callable[[], Arrays]) -> Arrays:
    """Return what was computed before, or compute and keep it.

    A damaged file is computed anew.

    Args:
        folder: where the files are.
        what: first part of the file's name.
        depends_on: all that the result depends on, as JSON values.
        compute: returns the arrays by name.
    """
    digest = hashlib.blake2b(json.dumps(depends_on, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = folder / f"{what}-{digest}.safetensors"
    found = _read(path)
    if found is None:
        found = {name: np.asarray(array, order="C") for name, array in compute().items()}
        _write(path, found)
    return found


def _read(path: Path) -> Arrays | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = (file.metadata() or {}).get("checksum")
    except (OSError, SafetensorError, ValueError):
        return None
    return arrays if checksum == _checksum(arrays) else None


def _write(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    with whole_file(path) as part, os_errors(path):
        save_file(dict(arrays), part, {"checksum": _checksum(arrays)})


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

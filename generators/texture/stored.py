"""A part of a model in a file of its own: arrays, and words that say what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy.typing as npt

from asdbench import UserError

from ..shared.disk import os_errors

__all__ = ["Stored", "read_stored"]

T = TypeVar("T")
Arrays = dict[str, npt.NDArray[Any]]


class Stored:
    """A part of a model.

    Attributes:
        file: name of its file.
    """

    file: ClassVar[str]

    def save(self, folder: Path) -> None:
        """Write the file into a folder."""
        from safetensors.numpy import save_file

        path = folder / self.file
        with os_errors(path):
            save_file(self.arrays(), path, {"words": self.words()})

    def words(self) -> str:
        """What the arrays are, as JSON."""
        raise NotImplementedError

    def arrays(self) -> Arrays:
        """The numbers by name."""
        raise NotImplementedError


def read_stored(path: Path, what: str, make: Callable[[dict[str, Any], Arrays], T]) -> T:
    """Read what `Stored.save` wrote.

    Args:
        path: the file.
        what: what it holds, for messages.
        make: makes the part of its words and arrays; errors about these count as damage.

    Raises:
        UserError: the file is damaged or missing.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            words = json.loads((file.metadata() or {})["words"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return make(words, arrays)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{path}: the {what} of the texture model are damaged ({error})") from error

"""What is kept in a file of its own beside a pipeline: arrays, and words that say what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt
from safetensors.numpy import save_file


class Stored:
    """A model of arrays and words.

    Attributes:
        file: name of its file.
    """

    file: ClassVar[str]

    @property
    def identity(self) -> str:
        """Hash of all numbers and words."""
        digest = hashlib.blake2b(self._words().encode(), digest_size=16)
        for _, array in sorted(self._arrays().items()):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the file into a folder."""
        save_file(self._arrays(), folder / self.file, {"words": self._words()})

    def _words(self) -> str:
        """What the arrays are, as JSON."""
        raise NotImplementedError

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

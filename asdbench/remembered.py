"""Arrays that are kept in memory for when they are asked for again, those used last, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)


class Remembered:
    """A memory of computed arrays, which may be used from several threads.

    Args:
        most_bytes: of all arrays together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._arrays: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], npt.NDArray[T]]) -> npt.NDArray[T]:
        """Return the array of a key, which is computed where it is not remembered; a copy, which may be changed."""
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
        if found is not None:
            return found.copy()
        made = compute()
        if made.nbytes <= self._most:
            self._keep(key, made.copy())
        return made

    def _keep(self, key: Hashable, array: npt.NDArray[Any]) -> None:
        with self._lock:
            if key in self._arrays:  # another thread was as quick
                return
            self._arrays[key] = array
            self._bytes += array.nbytes
            while self._bytes > self._most:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes

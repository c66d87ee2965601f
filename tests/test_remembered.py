from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from asdbench.remembered import Remembered


def array(value: float, size: int = 25) -> np.ndarray:
    return np.full(size, value, dtype=np.float32)  # 100 bytes


def forgotten() -> np.ndarray:
    raise AssertionError("computed again")


def test_what_was_computed_is_not_computed_again() -> None:
    memory = Remembered(1000)
    assert memory.get("a", lambda: array(1)).tolist() == array(1).tolist()
    assert memory.get("a", forgotten).tolist() == array(1).tolist()
    assert memory.get("b", lambda: array(2)).tolist() == array(2).tolist()


def test_changing_what_was_returned_changes_nothing() -> None:
    memory = Remembered(1000)
    for compute in (lambda: array(1), forgotten):
        memory.get("a", compute)[:] = 5
    assert memory.get("a", forgotten).tolist() == array(1).tolist()


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    memory = Remembered(250)
    memory.get("a", lambda: array(1))
    memory.get("b", lambda: array(2))
    memory.get("a", forgotten)
    memory.get("c", lambda: array(3))
    memory.get("a", forgotten)
    memory.get("c", forgotten)
    with pytest.raises(AssertionError, match="computed again"):
        memory.get("b", forgotten)


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    memory = Remembered(250)
    memory.get("a", lambda: array(1))
    assert len(memory.get("large", lambda: array(2, 1000))) == 1000
    memory.get("a", forgotten)
    with pytest.raises(AssertionError, match="computed again"):
        memory.get("large", forgotten)


def test_several_threads() -> None:
    memory = Remembered(500)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: memory.get(n % 10, lambda: array(n % 10))[0], range(2000)))
    assert found == [n % 10 for n in range(2000)]
    assert memory._bytes == sum(kept.nbytes for kept in memory._arrays.values()) <= 500

"""Results that a training keeps: computed once, and anew where a file is damaged or something else is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asdbench.generators.shared.kept import kept


def test_a_result_is_computed_once_for_what_it_depends_on(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute(value: int) -> dict[str, np.ndarray]:
        calls.append(value)
        return {"value": np.full((2, 3), value / 3), "none": np.zeros(0, np.int64)}

    first = kept(tmp_path / "new", "x", ["a", 1], lambda: compute(1))
    again = kept(tmp_path / "new", "x", ["a", 1], lambda: compute(2))
    assert calls == [1]
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype
    kept(tmp_path / "new", "x", ["a", 2], lambda: compute(3))
    kept(tmp_path / "new", "y", ["a", 1], lambda: compute(4))
    assert calls == [1, 3, 4]
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_damaged_files_are_computed_anew(tmp_path: Path) -> None:
    def result() -> float:
        return float(kept(tmp_path, "x", 1, lambda: {"value": np.array([7.0])})["value"][0])

    assert result() == 7
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:-3], whole[:-2] + b"\0\1"):
        path.write_bytes(damaged)
        assert result() == 7
        assert path.read_bytes() == whole

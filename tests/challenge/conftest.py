"""Folders of score files as people hand them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Rows = list[tuple[str, float]]
WriteSystem = Callable[..., dict[str, Rows]]


def clips_of(machine: str, section: str = "00", clips: int = 6, seed: int = 0) -> Rows:
    """``clips`` scored clips of each domain and condition, with the names of 2022 on."""
    rng = np.random.default_rng([seed, *map(ord, machine + section)])
    return [
        (f"section_{section}_{domain}_test_{condition}_{index:04d}_vel_{index}.wav", float(rng.normal() + shift))
        for domain in ("source", "target")
        for condition, shift in (("normal", 0.0), ("anomaly", 1.0))
        for index in range(clips)
    ]


def write_rows(path: Path, rows: list[tuple[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name},{value}\n" for name, value in rows))


@pytest.fixture
def write_system() -> WriteSystem:
    """Write the scores, and decisions above 0.5, of machines with one section; return the rows by machine."""

    def write(
        folder: Path, machines: tuple[str, ...] = ("fan", "valve"), seed: int = 0, decisions: bool = True
    ) -> dict[str, Rows]:
        written = {machine: clips_of(machine, seed=seed) for machine in machines}
        for machine, rows in written.items():
            write_rows(folder / f"anomaly_score_{machine}_section_00_test.csv", list(rows))
            if decisions:
                decided = [(name, int(score > 0.5)) for name, score in rows]
                write_rows(folder / f"decision_result_{machine}_section_00_test.csv", decided)
        return written

    return write

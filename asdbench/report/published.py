"""Published figures that tables show beside measured ones where a spec asks for them, always marked as published.

Each set of figures is a file ``published/NAME.yaml`` beside the benchmarks that ship with asdbench.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from asdbench.errors import UserError, did_you_mean

PAPER_OF_THE_TASK = "mimii_gen"
"""The figures that are judged by themselves where there is no run to put them beside."""


@dataclass(frozen=True)
class Published:
    """Figures of one paper; without `name` there are none.

    Attributes:
        name: of the paper's generator.
        paper: its authors and title.
        gaps: AUC by machine type, on original and on generated anomalous clips; ``gaps_table`` is its place in the
            paper, ``gaps_note`` what is to be known of it.
        clips: normal and anomalous clips of a test set.
        counts: clips by machine type that the generator was trained on, normal and anomalous, and validated on.
        quality: audio quality by generator and figure.
        other_names: names of machine types in data sets, and those of the paper.
    """

    name: str = ""
    paper: str = ""
    gaps_table: str = ""
    gaps_note: str = ""
    clips: int = 1
    gaps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    counts_table: str = ""
    counts: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    quality_table: str = ""
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How a column or row of these figures is called."""
        return f"published ({self.name}, {self.gaps_table})"

    @property
    def citation(self) -> str:
        """Where the AUCs are from."""
        return f"{self.paper}, {self.gaps_table}; {self.gaps_note}"

    def aucs_of(self, machine: str) -> tuple[float, float] | None:
        """Published AUC on original and on generated clips of a machine type; None where the paper has none.

        Args:
            machine: name in the paper or in a data set ("slider" is the paper's "slide rail"), in any case.
        """
        return self.gaps.get(self._name(machine))

    def counts_of(self, machine: str) -> tuple[int, int, int, int] | None:
        """Published numbers of clips of a machine type, see `counts`; names as in `aucs_of`."""
        return self.counts.get(self._name(machine))

    def _name(self, machine: str) -> str:
        name = machine.lower().replace("_", " ").strip()
        return self.other_names.get(name, name)


def names() -> list[str]:
    """The figures that ship with asdbench, by the name that a spec gives them."""
    return sorted(_files())


@functools.cache
def figures(name: str | None) -> Published:
    """The figures that a spec asks for; without rows where it asks for none.

    Raises:
        UserError: there are none of this name.
    """
    if name is None:
        return Published()
    files = _files()
    if name not in files:
        raise UserError(
            f"there are no published figures '{name}'{did_you_mean(name, files)} (there are: {', '.join(files)})"
        )
    data = yaml.safe_load(files[name].read_text(encoding="utf-8"))
    for table in ("gaps", "counts"):
        data[table] = {machine: tuple(values) for machine, values in data.get(table, {}).items()}
    return Published(**data)


def _files() -> dict[str, Path]:
    package = importlib.import_module("asdbench.benchmarks")
    paths = [path for folder in package.__path__ for path in sorted((Path(folder) / "published").glob("*.yaml"))]
    return {path.stem: path for path in paths}

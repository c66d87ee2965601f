"""What stands side by side: a generator of a run with its figures; and which runs may be put together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asdbench.compare.controls import ARTEFACT
from asdbench.compare.testsets import REAL
from asdbench.errors import UserError
from asdbench.frames import records
from asdbench.metrics.audio.quality import POOLED
from asdbench.metrics.official import ALL
from asdbench.report.clip_tables import cost_of

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.results import Results

_CLIP = ("content_hash", "section", "domain", "condition")
_GIVEN = ("exposure", "generated_clips", "holdout")
"""Fields of a spec that say what generators are given."""


@dataclass(frozen=True)
class Sound:
    """The first figure of audio quality that a run has of a generator's anomalies, over all machines.

    Attributes:
        label: figure and embedding, "" where there is none.
        model: the embedding with a hash of its settings and weights; figures of different models are different things.
        value, floor: means over seeds.
    """

    label: str = ""
    model: str = ""
    value: float = math.nan
    floor: float = math.nan


@dataclass(frozen=True)
class Entry:
    """A generator of a run.

    Attributes:
        results: the run.
        generator, test_set: which of its generators, in which test set.
        by_detector: row of the run's summary by detector.
    """

    results: Results
    generator: str
    test_set: str
    by_detector: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The id of the run."""
        return self.results.folder.name

    @property
    def use(self) -> str:
        """The generator plugin."""
        return str(self.results.spec["generators"][self.generator]["use"])

    @property
    def settings(self) -> dict[str, Any]:
        """What the generator was told and given: also what the benchmark says of exposure, clips and hold-out."""
        own = {name: value for name, value in self.results.spec["generators"][self.generator].items() if name != "use"}
        return own | {name: self.results.spec.get(name) for name in _GIVEN}

    @property
    def content(self) -> tuple[str, ...]:
        """What the generator gave: hashes of its clips; equal clips are the same entry."""
        made = self.results.generated
        return tuple(sorted(made.loc[made["generator"] == self.generator, "content_hash"]))

    @property
    def is_whole(self) -> bool:
        """Whether every detector has every machine: means over the machines that happen to be there are no means."""
        return all(row["n_machines"] == row["n_machines_expected"] for row in self.by_detector.values())

    @property
    def missing(self) -> str:
        """What is missing, in words."""
        return next((str(row["reason"]) for row in self.by_detector.values() if row["reason"]), "")

    def mean(self, name: str) -> float:
        """Mean over detectors of a figure of the summary; NaN where one is missing."""
        values = [float(row[name]) for row in self.by_detector.values()]
        return sum(values) / len(values) if values and self.is_whole else math.nan

    def artefact(self, detector: str | None = None) -> float:
        """Mean over machines (and detectors) of the AUC of generated normal clips; NaN where one is missing."""
        controls = self.results.comparison.controls
        own = controls[(controls["generator"] == self.generator) & (controls["control"] == ARTEFACT)]
        own = own if detector is None else own[own["detector"] == detector]
        whole = len(own) > 0 and not own["reason"].any() and bool(own["auc"].notna().all())
        return float(own["auc"].mean()) if whole else math.nan

    def agreement(self, measure: str) -> float:
        """A measure of agreement over detectors, such as "selection regret"."""
        table = self.results.comparison.agreement
        found = table[
            (table["detector"] == ALL)
            & (table["generator"] == self.generator)
            & (table["test_set"] == self.test_set)
            & (table["measure"] == measure)
        ]
        return float(found["value"].iloc[0]) if len(found) else math.nan

    def sound(self) -> Sound:
        """FAD of the anomalies by the run's first embedding."""
        table = self.results.heard.quality
        several = len(self.results.comparison.machines) > 1
        own = table[(table["generator"] == self.generator) & (table["condition"] == "anomaly")]
        own = own[(own["metric"] == "fad") & (own["machine"] == POOLED if several else True)]
        if own.empty:
            return Sound()
        name = own["embedding_name"].iloc[0]
        own = own[own["embedding_name"] == name]
        if own["value"].isna().any():
            return Sound(f"FAD ({name})", "")
        floor = float(own["floor"].mean())
        return Sound(f"FAD ({name})", str(own["embedding"].iloc[0]), float(own["value"].mean()), floor)

    def copies(self) -> tuple[int, int]:
        """On how many machines the generator gives training clips back, and on how many that is known."""
        table = self.results.comparison.memorisation
        known = table.loc[(table["generator"] == self.generator) & table["copies"].notna(), "copies"]
        return int(known.astype(bool).sum()), len(known)

    def cost(self) -> dict[str, float]:
        """Seconds a clip and of training, and parameters; see `asdbench.report.clip_tables.cost_of`."""
        costs = self.results.heard.costs
        return cost_of(costs[costs["generator"] == self.generator])


def entries(runs: Sequence[Results]) -> list[Entry]:
    """The generators of runs; one that gave the very same clips in two runs stands there once, with the first."""
    found: dict[tuple[Any, ...], Entry] = {}
    for results in runs:
        for entry in _of_run(results):
            found.setdefault((entry.generator, entry.test_set, entry.content), entry)
    return list(found.values())


def _of_run(results: Results) -> Iterator[Entry]:
    groups: dict[tuple[str, str], Entry] = {}
    for row in records(results.summary):
        key = str(row["generator"]), str(row["test_set"])
        entry = groups.setdefault(key, Entry(results, *key))
        entry.by_detector[str(row["detector"])] = row
    yield from groups.values()


def refuse_differences(runs: Sequence[Results]) -> None:
    """Check that runs may be put side by side.

    Raises:
        UserError: two were tested on different machines, clips or detectors, or their seeds or statistics differ.
    """
    for other in runs[1:]:
        why = difference(runs[0], other)
        if why:
            raise UserError(f"{runs[0].folder} and {other.folder} cannot be compared: {why}; expected the same")


def difference(first: Results, other: Results) -> str:
    """Why two runs cannot be put side by side, in words; "" where they can."""
    machines = [sorted(results.comparison.machines) for results in (first, other)]
    if machines[0] != machines[1]:
        return f"they test on the machines {', '.join(machines[0])} and {', '.join(machines[1])}"
    heard = [_real_clips(results.scores) for results in (first, other)]
    for machine in machines[0]:
        for doing, split in (("test {} on", "test"), ("train the detectors of {} on", "train")):
            clips = [found.get((machine, split), frozenset()) for found in heard]
            if clips[0] != clips[1]:
                return f"they {doing.format(machine)} different real clips ({len(clips[0])} and {len(clips[1])})"
    for name in ("sample_rate", "channel"):
        if first.spec["dataset"].get(name) != other.spec["dataset"].get(name):
            return f"they read clips with another {name}"
    for name in ("detectors", "statistics", "seeds"):
        if first.spec[name] != other.spec[name]:
            return f"their {name} differ"
    return ""


def _real_clips(scores: pd.DataFrame) -> dict[tuple[str, str], frozenset[tuple[str, ...]]]:
    """Content hashes and labels of the real clips of each machine and split."""
    real = scores[scores["source"] == REAL]
    return {
        (str(machine), str(split)): frozenset(clips[list(_CLIP)].astype(str).itertuples(index=False, name=None))
        for (machine, split), clips in real.groupby(["machine", "split"])
    }

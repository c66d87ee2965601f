"""The score table, indexed: pools of scored clips, the test sets made of them, and why one cannot be made.

A *pool* is what one detector (with one seed) scored of one machine's test clips from one source: the real ones, or
those that a generator made with one generation seed. A test set pairs the normal clips of one pool with the anomalous
clips of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from asdbench.errors import UserError
from asdbench.metrics.detection import Domains, Labels, Scores

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "seed",
    "generation_seed",
    "machine",
    "section",
    "domain",
    "detector",
    "source",
    "split",
    "condition",
    "clip_id",
    "content_hash",
    "score",
)
"""Columns of the score table."""
GROUP = "group"
"""Column that a score table may have: what a clip was cut from, such as a recording; ``clip_id`` or "" for none."""

REAL = "real"
NOT_GENERATED = -1
"""Generation seed of real clips."""
KINDS = {"normal": "normal", "anomaly": "anomalous"}


class Replicate(NamedTuple):
    """One repetition of the experiment: the detector's seed and the generator's."""

    seed: int
    generation_seed: int = NOT_GENERATED

    def __str__(self) -> str:
        if self.generation_seed in (NOT_GENERATED, self.seed):
            return f"seed {self.seed}"
        return f"seed {self.seed}, generation seed {self.generation_seed}"


@dataclass(frozen=True)
class TestSetSpec:
    """Where the two halves of a test set come from.

    Attributes:
        name: name in the spec.
        normal: source of the normal clips: "real" or the name of a generator.
        anomaly: source of the anomalous clips.
        source: "real" where both are, else the name of the generator.
    """

    name: str
    normal: str
    anomaly: str
    source: str


def expand(test_sets: Mapping[str, Mapping[str, str]], generators: Sequence[str]) -> list[TestSetSpec]:
    """List the test sets, with each generator in turn where the spec says "generated".

    Raises:
        UserError: a side is missing, a source is unknown, or a test set pairs two generators.
    """
    specs = []
    for name, sides in test_sets.items():
        if set(sides) != set(KINDS):
            raise UserError(f"test set '{name}' has the sides {sorted(sides)}; expected 'normal' and 'anomaly'")
        for side, source in sides.items():
            if source not in (REAL, "generated", *generators):
                known = ", ".join(["real", "generated", *generators])
                raise UserError(f"test set '{name}': the source of '{side}' is '{source}'; expected one of: {known}")
        for generator in generators if "generated" in sides.values() else [""]:
            normal, anomaly = (generator if sides[side] == "generated" else sides[side] for side in KINDS)
            named = list(dict.fromkeys(source for source in (normal, anomaly) if source != REAL))
            if len(named) > 1:
                raise UserError(f"test set '{name}' pairs two generators, '{named[0]}' and '{named[1]}'; expected one")
            specs.append(TestSetSpec(name, normal, anomaly, named[0] if named else REAL))
    return specs


@dataclass(frozen=True)
class Half:
    """The normal or the anomalous half of a test set, in the order of clip names.

    Attributes:
        reason: why the half cannot be used, or "".
        group: of each clip, "" for a clip that is alone in its group; None where no clip shares one.
    """

    section: Domains
    domain: Domains
    score: Scores
    reason: str = ""
    group: Domains | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def groups(self) -> int:
        """How many groups the clips are of."""
        return len(self) if self.group is None else count_groups(self.group)


@dataclass(frozen=True)
class TestSet:
    """One test set of one machine, scored by one detector with one seed.

    Attributes:
        reason: why it cannot be scored, or "".
    """

    normal: Half
    anomaly: Half

    @property
    def reason(self) -> str:
        """Why it cannot be scored: what is wrong with its halves, or ""."""
        return "; ".join(dict.fromkeys(half.reason for half in (self.normal, self.anomaly) if half.reason))

    @property
    def is_anomaly(self) -> Labels:
        """Shape (clips,)."""
        return np.repeat([False, True], [len(self.normal), len(self.anomaly)])

    @property
    def score(self) -> Scores:
        """Shape (clips,)."""
        return np.concatenate([self.normal.score, self.anomaly.score])

    @property
    def domain(self) -> Domains:
        """Shape (clips,)."""
        return np.concatenate([self.normal.domain, self.anomaly.domain])

    @property
    def section(self) -> Domains:
        """Shape (clips,)."""
        return np.concatenate([self.normal.section, self.anomaly.section])

    @property
    def group(self) -> Domains:
        """Group of each clip, "" for a clip that is alone in its group: shape (clips,)."""
        halves = (self.normal, self.anomaly)
        return np.concatenate([np.full(len(h), "", dtype=object) if h.group is None else h.group for h in halves])


def count_groups(group: Domains) -> int:
    """How many groups there are; "" names a clip that is alone in its group."""
    alone = int((group == "").sum())
    return alone + len(set(group)) - (alone > 0)


class Members(NamedTuple):
    """Clips of a pool, in the order of their names.

    Attributes:
        clip: their names.
        content: their content hashes.
        group: their groups, "" for a clip that is alone in its group.
    """

    clip: list[str]
    content: list[str]
    group: list[str]


_NO_CLIPS = np.array([], dtype=object)


@dataclass(frozen=True)
class Problem:
    """Why some units have no result; None stands for any.

    Attributes:
        seed: seed of the unit that failed: the detector's where ``detector`` is given, else the generator's.
    """

    machine: str | None
    detector: str | None
    source: str | None
    seed: int | None
    reason: str

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Problem:
        """Read a problem; absent keys, None, NaN and "" mean any."""

        def given(name: str) -> Any:
            value = fields.get(name)
            return None if value is None or value == "" or value != value else value

        machine, detector, source = (
            None if given(name) is None else str(given(name)) for name in ("machine", "detector", "source")
        )
        seed = None if given("seed") is None else int(given("seed"))
        return cls(machine, detector, source, seed, str(fields["reason"]))

    def concerns(self, machine: str, detector: str, source: str, replicate: Replicate) -> bool:
        """Whether this is why these clips have no scores."""
        own = [(self.machine, machine), (self.detector, detector), (self.source, source)]
        if any(wanted is not None and wanted != value for wanted, value in own):
            return False
        by_detector = self.detector is not None or replicate.generation_seed == NOT_GENERATED
        return self.seed in (None, replicate.seed if by_detector else replicate.generation_seed)


class ScoreTable:
    """The score table and what is known of the scores that are not in it.

    Attributes:
        machines: machine types, in the order of the report.
        detectors: detectors, likewise.
        generators: generators, likewise.
        seeds: detector seeds, sorted.
        problems: reasons for scores that are missing.
        frame: the table, in an order that does not depend on the one it came in.
    """

    def __init__(
        self,
        scores: pd.DataFrame,
        machines: Sequence[str],
        problems: Iterable[Mapping[str, Any]] = (),
        detectors: Sequence[str] | None = None,
        generators: Sequence[str] | None = None,
    ) -> None:
        """Check and index a score table.

        Args:
            scores: one row a scored clip, with `COLUMNS`.
            machines: all machine types that were to be scored.
            problems: mappings with machine, detector, source, seed and reason; see `Problem`.
            detectors: all detectors that were to be used; without it those in ``scores`` and ``problems``.
            generators: all generators that were to be used, likewise.

        Raises:
            UserError: columns are missing, a clip is scored twice, or a name is not in these lists.
        """
        missing = [name for name in COLUMNS if name not in scores.columns]
        if missing:
            raise UserError(f"the score table lacks the columns {missing}; expected {', '.join(COLUMNS)}")
        self.problems = sorted(
            {Problem.of(problem) for problem in problems}, key=lambda p: [str(x) for x in vars(p).values()]
        )
        self.machines = list(machines)
        self.detectors = list(
            detectors if detectors is not None else _names(scores["detector"], (p.detector for p in self.problems))
        )
        self.generators = list(
            generators if generators is not None else _names(scores["source"], (p.source for p in self.problems))
        )
        for column, known in (
            ("machine", self.machines),
            ("detector", self.detectors),
            ("source", [REAL, *self.generators, *self._variants(scores["source"])]),
            ("split", ["train", "test"]),
            ("condition", ["normal", "anomaly", "unknown"]),
        ):
            strange = sorted(set(scores[column]) - set(known), key=str)
            if strange:
                raise UserError(f"the score table has the {column} {strange[0]!r}; expected one of: {', '.join(known)}")
        key = ["machine", "detector", "source", "seed", "generation_seed", "split", "clip_id"]
        named = scores[GROUP] if GROUP in scores.columns else scores["clip_id"]
        given = scores[list(COLUMNS)].assign(**{GROUP: named.fillna("").astype(str)})
        self.frame = given.sort_values(key, kind="stable", ignore_index=True)
        twice = self.frame[self.frame.duplicated(key)]
        if len(twice):
            row = twice.iloc[0]
            raise UserError(
                f"the score table scores {row['clip_id']!r} of {row['machine']} twice with detector "
                f"'{row['detector']}' and seed {row['seed']}; expected one score a clip"
            )
        self._index()

    def is_controlled(self, generator: str) -> bool:
        """Whether there are scores of the controls of a generator: normal clips, or variants such as its codec."""
        own = self.frame["source"] == generator
        normals = bool((own & (self.frame["condition"] == "normal")).any())
        return normals or f"{generator}.codec" in set(self.frame["source"])

    def _variants(self, sources: Iterable[str]) -> list[str]:
        """Sources that are controls of a generator, such as ``mimii_gen.codec``."""
        return sorted({source for source in sources if str(source).partition(".")[0] in self.generators})

    def replicates(self, source: str) -> list[Replicate]:
        """All repetitions of the experiment with clips of ``source``, whether or not they gave scores.

        A repetition that failed everywhere is in no score and is filled in: where detector seed and generation seed are
        the same number, for every seed; where they are crossed, as the full grid.
        """
        if source == REAL:
            return [Replicate(seed) for seed in self.seeds]
        seen = {Replicate(key[3], key[4]) for key in self._pools if key[2] == source}
        failed = {p.seed for p in self.problems if p.source == source and p.detector is None and p.seed is not None}
        if all(replicate.seed == replicate.generation_seed for replicate in seen):
            return [Replicate(seed, seed) for seed in sorted({*self.seeds, *failed})]
        generation_seeds = {replicate.generation_seed for replicate in seen}
        one_to_one = 1 < len(seen) == len(generation_seeds) == len({replicate.seed for replicate in seen})
        if not one_to_one:
            seen |= {Replicate(seed, generated) for seed in self.seeds for generated in (generation_seeds | failed)}
        return sorted(seen)

    def test_set(self, spec: TestSetSpec, machine: str, detector: str, replicate: Replicate) -> TestSet:
        """Put one test set together; what is wrong with it is in its ``reason``."""
        return TestSet(
            *(
                self.half(kind, source, machine, detector, replicate)
                for kind, source in zip(KINDS, (spec.normal, spec.anomaly), strict=True)
            )
        )

    def sources(self, machine: str) -> list[tuple[str, str]]:
        """Kind ("normal" or "anomaly") and source of all pools of test clips of a machine, sorted."""
        found = set()
        for key, rows in self._pools.items():
            if key[0] == machine:
                found |= {(kind, key[2]) for kind in KINDS if (self._condition[rows] == kind).any()}
        return sorted(found)

    def members(
        self, machine: str, kind: str, source: str, section: str | None = None, domain: str | None = None
    ) -> dict[int, Members]:
        """Test clips by generation seed, in the order of their names.

        Args:
            machine: machine type.
            kind: "normal" or "anomaly".
            source: "real" or the name of a generator.
            section: only clips of this section; None for all.
            domain: only clips of this domain; None for all.
        """
        found: dict[int, Any] = {}
        for key, rows in self._pools.items():
            if (key[0], key[2]) == (machine, source):
                mine = rows[self._condition[rows] == kind]
                mine = mine if section is None else mine[self._section[mine] == section]
                mine = mine if domain is None else mine[self._domain[mine] == domain]
                # A detector that did not score all clips has no test set to ask about.
                if len(mine) > len(found.get(key[4], [])):
                    found[key[4]] = mine
        columns = self._clip, self._content, self._group
        return {
            seed: Members(*([str(value) for value in column[rows]] for column in columns))
            for seed, rows in found.items()
        }

    def training_scores(self, machine: str, detector: str, seed: int) -> Scores:
        """Scores that a detector gave its own training clips: shape (clips,)."""
        rows = self._training.get((machine, detector, REAL, seed, NOT_GENERATED))
        return np.empty(0) if rows is None else self._score[rows]

    def why_missing(self, machine: str, detector: str, source: str, replicate: Replicate) -> str:
        """The known reason for scores that are missing, or ""."""
        found = [p.reason for p in self.problems if p.concerns(machine, detector, source, replicate)]
        return "; ".join(dict.fromkeys(found))

    def half(self, kind: str, source: str, machine: str, detector: str, replicate: Replicate) -> Half:
        """The test clips of one condition ("normal" or "anomaly") from one source."""
        own = replicate if source != REAL else Replicate(replicate.seed)
        rows = self._pools.get((machine, detector, source, *own))
        known = self.why_missing(machine, detector, source, own)
        if rows is None:
            return Half(_NO_CLIPS, _NO_CLIPS, np.empty(0), known or f"no scores of {source} clips")
        scored, expected = len(rows), len(self._clips[machine, source, own.generation_seed])
        mine = rows[self._condition[rows] == kind]
        score = self._score[mine]
        reason = ""
        if not np.isfinite(self._score[rows]).all():
            bad = int((~np.isfinite(self._score[rows])).sum())
            reason = f"{bad} of {scored} scores of {source} clips are not finite"
        elif scored < expected:
            reason = f"only {scored} of {expected} {source} clips were scored"
        elif not len(mine):
            unknown = int((self._condition[rows] == "unknown").sum())
            hint = f" ({unknown} clips have an unknown condition)" if unknown else ""
            reason = known or f"no {KINDS[kind]} test clip{'' if source == REAL else f' of {source}'}{hint}"
        group = self._group[mine]
        return Half(self._section[mine], self._domain[mine], score, reason, group if (group != "").any() else None)

    def _index(self) -> None:
        frame = self.frame
        named = ("section", "domain", "condition", "content_hash", "clip_id")
        self._group = _shared_groups(frame)
        columns = {name: frame[name].to_numpy(dtype=object) for name in named}
        self._section, self._domain, self._condition = columns["section"], columns["domain"], columns["condition"]
        self._content, self._clip = columns["content_hash"], columns["clip_id"]
        self._score = frame["score"].to_numpy(dtype=np.float64)
        self._pools: dict[tuple[str, str, str, int, int], Any] = {}
        self._training: dict[tuple[str, str, str, int, int], Any] = {}
        self._clips: dict[tuple[str, str, int], set[str]] = {}
        by = ["split", "machine", "detector", "source", "seed", "generation_seed"]
        for group, rows in frame.groupby(by).indices.items():
            split, machine, detector, source, seed, generation_seed = cast("tuple[Any, ...]", group)
            key = (str(machine), str(detector), str(source), int(seed), int(generation_seed))
            if split == "train":
                self._training[key] = rows
            else:
                self._pools[key] = rows
                self._clips.setdefault((key[0], key[2], key[4]), set()).update(columns["clip_id"][rows])
        seeds = {key[3] for key in self._pools}
        seeds |= {p.seed for p in self.problems if p.seed is not None and (p.detector is not None or p.source == REAL)}
        self.seeds = sorted(seeds)


def _shared_groups(frame: pd.DataFrame) -> Domains:
    """Group of each row, "" where the machine has no other test clip of the group."""
    group = frame[GROUP].where(frame[GROUP] != frame["clip_id"].astype(str), "")
    test = frame.assign(**{GROUP: group})[(frame["split"] == "test") & (group != "")]
    clips = test.drop_duplicates(["machine", GROUP, "source", "generation_seed", "clip_id"])
    sizes = clips.groupby(["machine", GROUP]).size()
    shared = set(sizes.index[sizes > 1])
    keys = zip(frame["machine"], group, strict=True)
    return np.array([name if (machine, name) in shared else "" for machine, name in keys], dtype=object)


def _names(column: Iterable[Any], named: Iterable[str | None]) -> list[str]:
    # A variant of a generator, such as mimii_gen.codec, is none of its own.
    return sorted({str(name).partition(".")[0] for name in (*set(column), *named) if name is not None} - {REAL})

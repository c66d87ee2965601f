"""Which clips are no new evidence: those that come again with another seed, and those of one group.

Most generators make new clips with each generation seed, and each seed's clips are a pool of their own. One that hands
out recordings (the real hold-out) may give the same ones with every seed, in part or in whole, and three seeds are then
no more than one. Wherever recordings of a source come more than once, by content hash, the pool is that of its
different recordings: each has the sum of the influences of its copies, and its copies are resampled together.

Clips of one *group*, such as the cuts of a recording, are alike for reasons that have nothing to do with their labels.
Where clips have groups, the units of a pool are its groups: each has the sum of its clips' influences, so that
variances are those of DeLong for clustered data (Obuchowski 1997, Biometrics 53:567-578), and whole groups are
resampled. A group may have clips in several pools, normal and anomalous ones or real and generated ones; its units then
have one name in all of them, and their covariance counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asdbench.compare.bootstrap import Resampler, Weights
from asdbench.compare.estimates import Estimate, Pool
from asdbench.compare.testsets import Members, ScoreTable
from asdbench.metrics.detection import Domains, Scores

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Draw:
    """What is resampled in one go.

    Attributes:
        name: of the random stream.
        size: how many units there are.
        positions: of a pool's units among them, shape (units of the pool,).
    """

    name: Pool
    size: int
    positions: Positions


@dataclass(frozen=True)
class Place:
    """Where the clips of a half of a test set are in their pool.

    Attributes:
        pool: name of the pool.
        size: units in the pool: clips, different recordings, or groups.
        positions: of each clip, shape (clips,); None where the clips are the pool.
        units: names of the units where they are groups, which are the same in other pools; else none.
        draw: how groups are resampled; None where they are no groups.
    """

    pool: Pool
    size: int
    positions: Positions | None = None
    units: tuple[str, ...] = ()
    draw: Draw | None = None

    @property
    def is_grouped(self) -> bool:
        """Whether the units are groups."""
        return bool(self.units)

    def weights(self, resampler: Resampler, machine: str, size: int | None = None) -> Weights:
        """Bootstrap weights of the clips, shape (resamples, clips), for ``size`` (else all) units a resample."""
        if self.draw is not None:
            drawn = resampler.weights(machine, *self.draw.name, clips=self.draw.size)
            weights = drawn[:, self.draw.positions]
        else:
            weights = resampler.weights(machine, *self.pool, clips=self.size, size=size)
        return weights if self.positions is None else weights[:, self.positions]

    def influence(self, of_clips: Scores) -> Scores:
        """Influences of the units, shape (size,), from those of the clips."""
        return of_clips if self.positions is None else _summed(of_clips, self.positions, self.size)


class Recordings:
    """Knows the recordings and groups of a score table."""

    def __init__(self, table: ScoreTable) -> None:
        """Prepare to look up the clips of ``table``."""
        self._table = table
        self._known: dict[tuple[str | None, ...], tuple[dict[int, Members], dict[str, int] | None, Draw | None]] = {}
        self._draws: dict[str, dict[tuple[str, str], tuple[Pool, dict[str, int]]]] = {}

    def place(
        self,
        machine: str,
        kind: str,
        source: str,
        generation_seed: int,
        clips: int,
        section: str | None = None,
        domain: str | None = None,
    ) -> Place:
        """Place the clips of one kind and generation seed, or those of a section and domain, in their pool."""
        part = tuple(name for name in (section, domain) if name is not None)
        key = (machine, kind, source, section, domain)
        if key not in self._known:
            self._known[key] = self._look_up(machine, kind, source, section, domain)
        members, order, draw = self._known[key]
        if order is None:
            return Place((kind, source, generation_seed, *part), clips)
        own = members[generation_seed]
        if draw is None:
            positions = np.array([order[content] for content in own.content], dtype=np.intp)
            return Place((kind, source, "recordings", *part), len(order), positions)
        positions = np.array([order[name] for name in _units(own, kind, source, generation_seed)], dtype=np.intp)
        units = tuple(f"{machine}/{name}" for name in order)
        return Place((kind, source, "groups", *part), len(order), positions, units, draw)

    def _look_up(
        self, machine: str, kind: str, source: str, section: str | None, domain: str | None
    ) -> tuple[dict[int, Members], dict[str, int] | None, Draw | None]:
        """Clips by generation seed, places of the units (None: each clip is one), and how groups are resampled."""
        members = self._table.members(machine, kind, source, section, domain)
        if any(name for own in members.values() for name in own.group):
            order = _ordered(members, kind, source)
            name, places = self._draws_of(machine)[kind, source]
            return members, order, Draw(name, len(places), np.array([places[unit] for unit in order], dtype=np.intp))
        counts = Counter(content for own in members.values() for content in own.content)
        repeated = "" not in counts and len(counts) < sum(counts.values())
        return members, {content: place for place, content in enumerate(sorted(counts))} if repeated else None, None

    def _draws_of(self, machine: str) -> dict[tuple[str, str], tuple[Pool, dict[str, int]]]:
        """For each pool of a machine what is resampled with it: all pools that groups connect are one draw."""
        if machine not in self._draws:
            units = {
                (kind, source): set(_ordered(self._table.members(machine, kind, source), kind, source))
                for kind, source in self._table.sources(machine)
            }
            connected: list[tuple[set[tuple[str, str]], set[str]]] = []
            for pool, names in units.items():
                joined = [one for one in connected if one[1] & names]
                connected = [one for one in connected if not one[1] & names]
                connected.append(({pool}.union(*(one[0] for one in joined)), names.union(*(one[1] for one in joined))))
            self._draws[machine] = {
                pool: ((*min(pools), "groups"), {name: place for place, name in enumerate(sorted(names))})
                for pools, names in connected
                for pool in pools
            }
        return self._draws[machine]


def grouped(value: float, of_clips: Sequence[tuple[Place, Scores, Pool]], scores: Sequence[Scores]) -> Estimate:
    """An estimate from the influences of clips.

    Args:
        value: of the estimate.
        of_clips: for each half of the test set its place, the influences of its clips, shape (clips,), and a name of
            the clips of this generation seed.
        scores: of the clips of each half, shape (clips,).
    """
    influence = {place.pool: place.influence(values) for place, values, _ in of_clips}
    units = {place.pool: place.units for place, _, _ in of_clips if place.is_grouped}
    by_clip = Estimate(value, {pool: values for _, values, pool in of_clips}) if units else None
    alike: dict[str, float] = {}
    for (place, _, _), own in zip(of_clips, scores, strict=True):
        if place.positions is not None and place.is_grouped:
            kind = str(place.pool[0])
            alike[kind] = max(_design_of_scores(own, place.positions), alike.get(kind, 1.0))
    return Estimate(value, influence, units=units, by_clip=by_clip, alike=alike)


def by_group(estimate: Estimate, groups: Mapping[Pool, Domains | None], scores: Mapping[Pool, Scores]) -> Estimate:
    """Turn an estimate with one influence a clip into one with one a group.

    Args:
        estimate: has influences of clips.
        groups: for a pool the group of each clip, shape (clips,), "" for a clip that is alone in its group; None where
            no clip shares one.
        scores: of the clips of the same pools, shape (clips,).
    """
    alike: dict[str, float] = {}
    influence = dict(estimate.influence)
    units: dict[Pool, tuple[str, ...]] = {}
    for pool, group in groups.items():
        if group is None:
            continue
        names = [str(name) or f"{' '.join(map(str, pool))} clip {place}" for place, name in enumerate(group)]
        order = {name: place for place, name in enumerate(sorted(set(names)))}
        positions = np.array([order[name] for name in names], dtype=np.intp)
        influence[pool] = _summed(np.asarray(estimate.influence[pool]), positions, len(order))
        units[pool] = tuple(order)
        kind = str(pool[0])
        alike[kind] = max(_design_of_scores(scores[pool], positions), alike.get(kind, 1.0))
    if not units:
        return estimate
    return replace(estimate, influence=influence, units=units, by_clip=estimate, alike=alike)


def _design_of_scores(scores: Scores, positions: Positions) -> float:
    """Design effect of the mean of the scores' normal ranks; not below 1."""
    from scipy import special, stats

    groups = np.unique(positions, return_inverse=True)[1]
    size, clips = int(groups.max()) + 1, len(scores)
    if size < 2:
        return float(clips)
    ranks = special.ndtri((stats.rankdata(scores) - 0.5) / clips)
    plain = ranks.var(ddof=1) / clips
    return max(float(_summed(ranks, groups, size).var(ddof=1) / size / plain), 1.0) if plain > 0 else 1.0


def _summed(of_clips: Scores, positions: Positions, size: int) -> Scores:
    mean = of_clips.mean()
    of_units = np.zeros(size)
    np.add.at(of_units, positions, (of_clips - mean) * (size / len(of_clips)))
    of_units += mean
    return of_units


def _units(members: Members, kind: str, source: str, seed: int) -> list[str]:
    """Names of the units of clips: of their groups, or of a clip that is alone in its own."""
    alone = (content or f"{seed} {clip}" for clip, content in zip(members.clip, members.content, strict=True))
    return [group or f"{kind} {source} {own}" for group, own in zip(members.group, alone, strict=True)]


def _ordered(members: Mapping[int, Members], kind: str, source: str) -> dict[str, int]:
    names = {name for seed, own in members.items() for name in _units(own, kind, source, seed)}
    return {name: place for place, name in enumerate(sorted(names))}

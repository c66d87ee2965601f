"""Test sets with their scores reduced to what the statistics need: estimate, placements, resampled AUCs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from asdbench.compare.bootstrap import Resampler, weighted_aucs
from asdbench.compare.estimates import Estimate, Pool, placements
from asdbench.compare.perfect import Placed, Side
from asdbench.compare.sharing import Place, Recordings, grouped
from asdbench.compare.testsets import KINDS, NOT_GENERATED, REAL, Half, Replicate, ScoreTable, TestSetSpec
from asdbench.metrics.detection import Scores, mann_whitney_auc


@dataclass(frozen=True)
class Part:
    """A part of each test set, such as one section and domain.

    Attributes:
        section: only its clips; None for all.
        domain: only normal clips of this domain (anomalous ones of both, as the challenge does from 2022 on); None for
            all.
    """

    section: str | None = None
    domain: str | None = None

    def of(self, half: Half, kind: str) -> Scores:
        """Scores of the clips of a half that are in the part."""
        mask = np.ones(len(half), dtype=bool)
        if self.section is not None:
            mask &= half.section == self.section
        if self.domain is not None and kind == "normal":
            mask &= half.domain == self.domain
        return np.asarray(half.score[mask])


WHOLE = Part()


@dataclass(frozen=True)
class Scored:
    """One test set, or a part of it, in one repetition.

    Attributes:
        machine: machine type.
        replicate: seeds.
        normal: scores of the normal clips; ``anomaly`` of the anomalous ones.
        places: where the two are in their pools of clips.
        placements: of the normal and of the anomalous clips.
        estimate: AUC with its influences.
        resampled: AUC in each resample; None where a class has one clip.
    """

    machine: str
    replicate: Replicate
    normal: Scores
    anomaly: Scores
    places: tuple[Place, Place]
    placements: tuple[Scores, Scores]
    estimate: Estimate
    resampled: Scores | None

    def draws(self) -> Scores:
        """Resampled AUC where there is known to be one."""
        assert self.resampled is not None
        return self.resampled


class Scorer:
    """Scores the test sets of a table.

    What is asked for again on the same machine, the original set of each generator's comparison, is kept.
    """

    def __init__(self, table: ScoreTable, resampler: Resampler) -> None:
        """Prepare to score the test sets of ``table``, resampled by ``resampler``."""
        self.table = table
        self.resampler = resampler
        self.recordings = Recordings(table)
        self._machine = ""
        self._kept: dict[tuple[Any, ...], Any] = {}

    def score(
        self, machine: str, detector: str, spec: TestSetSpec, part: Part = WHOLE
    ) -> tuple[dict[Replicate, Scored], dict[Replicate, str]]:
        """Score a test set in every repetition; return what could be scored and why the rest could not."""
        scored: dict[Replicate, Scored] = {}
        problems: dict[Replicate, str] = {}
        for replicate in self.table.replicates(spec.source):
            found = self._keep(
                (machine, detector, spec, part, replicate),
                partial(self._score, machine, detector, spec, part, replicate),
            )
            if isinstance(found, str):
                problems[replicate] = found
            else:
                scored[replicate] = found
        return scored, problems

    def perfect_draws(self, detector: str, part: Part, original: Scored, made: Scored) -> Scores:
        """Resampled AUC of a perfect generator in place of ``made``: the clips of ``original``, drawn anew.

        What the two share stays shared; of the rest as many clips are drawn as were generated, or as many groups where
        those came in groups.
        """
        places: list[tuple[Place, int]] = []
        for index, (mine, theirs) in enumerate(
            zip((original.normal, original.anomaly), (made.normal, made.anomaly), strict=True)
        ):
            place, size = original.places[index], 0
            if place.pool != made.places[index].pool:
                # Recordings that come with every seed are one draw for all of them.
                own = made.places[index]
                name = (*place.pool, "perfect", own.pool[2])
                if place.is_grouped and own.is_grouped:
                    place, size = Place(name, place.size, place.positions), own.size
                else:
                    place, size = Place(name, len(mine)), len(theirs)
            places.append((place, size))

        def draw() -> Scores:
            weights = [place.weights(self.resampler, original.machine, size or None) for place, size in places]
            return weighted_aucs(original.normal, original.anomaly, weights[0], weights[1])

        key = (original.machine, detector, part, original.replicate, *((place.pool, size) for place, size in places))
        drawn: Scores = self._keep(key, draw)
        return drawn

    def _keep(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key[0] != self._machine:
            self._machine = key[0]
            self._kept.clear()
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _score(self, machine: str, detector: str, spec: TestSetSpec, part: Part, replicate: Replicate) -> Scored | str:
        """The test set, or why it cannot be scored."""
        test_set = self.table.test_set(spec, machine, detector, replicate)
        if test_set.reason:
            return test_set.reason
        normal, anomaly = part.of(test_set.normal, "normal"), part.of(test_set.anomaly, "anomaly")
        if not len(normal) or not len(anomaly):
            return f"no {'anomalous' if len(normal) else 'normal'} test clip in this part"
        places = self._places(machine, spec, replicate, part, len(normal), len(anomaly))
        shares = placements(normal, anomaly)
        of_clips = [
            (place, own, (kind, source, "clips", generation_seed(source, replicate)))
            for kind, source, place, own in zip(KINDS, (spec.normal, spec.anomaly), places, shares, strict=True)
        ]
        estimate = grouped(mann_whitney_auc(normal, anomaly), of_clips, (normal, anomaly))
        resampled = None
        if min(len(normal), len(anomaly)) > 1 and estimate.has_variance:
            weights = [place.weights(self.resampler, machine) for place in places]
            resampled = weighted_aucs(normal, anomaly, weights[0], weights[1])
        return Scored(machine, replicate, normal, anomaly, places, shares, estimate, resampled)

    def _places(
        self, machine: str, spec: TestSetSpec, replicate: Replicate, part: Part, normal: int, anomaly: int
    ) -> tuple[Place, Place]:
        def place(kind: str, source: str, clips: int) -> Place:
            domain = part.domain if kind == "normal" else None
            seed = generation_seed(source, replicate)
            return self.recordings.place(machine, kind, source, seed, clips, part.section, domain)

        return place("normal", spec.normal, normal), place("anomaly", spec.anomaly, anomaly)


def generation_seed(source: str, replicate: Replicate) -> int:
    """Generation seed of the clips of a source in a repetition."""
    return NOT_GENERATED if source == REAL else replicate.generation_seed


def resampled_mean(scored: Sequence[Scored]) -> Scores | None:
    """Mean over repetitions in each resample; None where one of them has none."""
    draws = [one.resampled for one in scored if one.resampled is not None]
    return np.asarray(np.mean(draws, axis=0)) if len(draws) == len(scored) else None


def sides_of(first: Sequence[Scored], second: Sequence[Scored]) -> list[Side]:
    """What original and generated test sets, paired by detector seed, do not share."""
    sides = []
    for index in (0, 1):
        if first[0].places[index].pool == second[0].places[index].pool:
            continue
        made: dict[Pool, dict[Replicate, Placed]] = {}
        for one in second:
            made.setdefault(one.places[index].pool, {})[one.replicate] = _placed(one, index)
        real = {one.replicate.seed: _placed(one, index) for one in first}
        sides.append(Side(real, made, len(first[0].placements[1 - index])))
    return sides


def _placed(one: Scored, index: int) -> Placed:
    place = one.places[index]
    return Placed(one.placements[index], one.estimate.influence[place.pool], place.is_grouped)

"""The bounds: real clips that were kept back, given out as if generated.

Other real anomalies are the ceiling: what a perfect generator would give, sampling noise included. Other real normals
are the floor: the AUC should be 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from asdbench import GeneratedClip, Generator, NotApplicableError, Request, UserError

if TYPE_CHECKING:
    from .shared.matching import Pool


class _Holdout(Generator):
    """Gives out clips of the pool, each once.

    Rows and clips are paired as a whole, so what one row gets depends on which rows are asked for: first all pairs that
    agree in section, domain and attributes, then of the rest those that agree in section and domain, then section, then
    machine; within a level at random. Each level lies within the next, so this gives the most pairs at every level.

    Provenance: ``host`` (the clip given out), ``host_content_hash``, ``match`` (the level), ``seed``.
    """

    independent_rows: ClassVar[bool] = False
    is_control: ClassVar[bool] = True

    def condition(self, asked: str) -> str:
        """Condition of the clip that is given for a row that asks for a condition."""
        raise NotImplementedError

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        """Yield one clip of the pool for each row; see the class.

        Raises:
            NotApplicableError: the pool has none.
            UserError: the pool has fewer clips of a machine than rows ask for.
        """
        pairs = self._pairs(request)
        self._refuse_unmet(request, pairs)
        for place in range(len(request.rows)):
            pool, position, level = pairs[place]
            provenance = {**pool.host(position), "match": level, "seed": self.seed}
            attributes = pool.attributes(position, request.rows.iloc[place])
            yield GeneratedClip(pool.clips.waveform(position), provenance, attributes)

    def met_rows(self, request: Request) -> list[int]:
        """The rows that get a clip: as many as the pool has."""
        return sorted(self._pairs(request))

    def _pairs(self, request: Request) -> dict[int, tuple[Pool, int, str]]:
        """The clip of each row that gets one: the pool that it is in, its position there, and the level."""
        from .shared.matching import Pool

        wanted = [self.condition(asked) for asked in request.rows["condition"]]
        pools = {condition: Pool(request, condition) for condition in sorted(set(wanted))}
        pairs: dict[int, tuple[Pool, int, str]] = {}
        for condition, pool in pools.items():
            places = [place for place, one in enumerate(wanted) if one == condition]
            for place, (position, level) in self._pair(request, places, pool, condition).items():
                pairs[place] = pool, position, level
        return pairs

    def _refuse_unmet(self, request: Request, pairs: dict[int, tuple[Pool, int, str]]) -> None:
        needed = [(str(row.machine), self.condition(str(row.condition))) for row in request.rows.itertuples()]
        for asked in sorted(set(needed)):
            count, found = needed.count(asked), sum(needed[place] == asked for place in pairs)
            if found < count:
                machine, condition = asked
                raise UserError(
                    f"{count} {condition} clips of machine '{machine}' are needed, but {found} kept for generators; "
                    f"{_hint(condition)}"
                )

    def _pair(self, request: Request, places: list[int], pool: Pool, condition: str) -> dict[int, tuple[int, str]]:
        """Pair rows, by their place in the request, with (position in the pool, level)."""
        from .shared.matching import LEVELS

        rows = request.rows
        needed = rows.iloc[places]["machine"].value_counts()
        kept = pool.clips.frame["machine"].value_counts()
        for machine in sorted(needed.index):
            if not kept.get(machine, 0):
                raise NotApplicableError(
                    f"no {condition} clip of machine '{machine}' is kept for generators; {_hint(condition)}"
                )
        # Sorted by name and shuffled: neither the order of the request nor that of the pool matters.
        by_name = sorted(places, key=lambda place: rows["clip_id"].iloc[place])
        order = [by_name[i] for i in self.rng("rows", condition).permutation(len(by_name))]
        rank = self.rng("pool", condition).permutation(len(pool.clips))
        pairs: dict[int, tuple[int, str]] = {}
        used: set[int] = set()
        for level in LEVELS:
            for place in order:
                if place in pairs:
                    continue
                free = [position for position in pool.at(level, rows.iloc[place]) if position not in used]
                if free:
                    chosen = min(free, key=lambda position: rank[position])
                    pairs[place] = chosen, level
                    used.add(chosen)
        return pairs


def _hint(condition: str) -> str:
    return f"'holdout: {{{condition}: …}}' in the spec sets how many are kept for generators"


class RealHoldout(_Holdout):
    """Other real anomalies, each once: the ceiling that a perfect generator would reach.

    A row that asks for a normal clip gets a real normal one.
    """

    def condition(self, asked: str) -> str:
        """The condition that is asked for."""
        return asked


class NormalHoldout(_Holdout):
    """Other real normal clips, whatever is asked for: the floor, where the AUC should be 0.5."""

    def condition(self, asked: str) -> str:
        """Always normal."""
        return "normal"

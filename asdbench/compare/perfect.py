"""The perfect generator: what gap it would show, and how surprising a measured gap would be if the generator were one.

A perfect generator draws fresh clips from the true distribution. Given the normal clips and the fitted detectors, its
gap is the difference of two means of placements (see `asdbench.compare.estimates`): over the clips of the real set and
over as many as were generated, all from one distribution. From this follow the *noise floor*, taken from real clips
only, and the *p-value* of a measured gap, where both sets estimate the common spread (so that it holds its level where
few clips of the one set are misplaced).

**Split halves and the factor sqrt(2).** Let S^2 be the variance of the placements of m real clips. The mean of a random
half differs from the mean of all by a deviation of variance S^2 (m - h) / (h m), h = m // 2, which is S^2 / m for
halves: exactly that of the mean of m fresh clips about its expectation. So a half's deviation stands for a fresh set of
the size of the *whole* set, and times sqrt(m / n) for one of n clips; the gap of a perfect generator is the difference
of two such deviations, of variance S^2 (1 / m + 1 / n). The plain difference of the two halves is twice a deviation, of
variance 4 S^2 / m: it is the gap at m / 2 clips and overstates the one at m = n clips by sqrt(2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asdbench.compare.estimates import Pool
from asdbench.compare.power import placement_variance
from asdbench.compare.testsets import Replicate
from asdbench.metrics.detection import Scores

MIN_SPLIT = 20
"""Fewest real clips that are split in halves; with fewer the floor is that of the binormal model."""
DRAWS = 4000


@dataclass(frozen=True)
class Placed:
    """Clips of one pool as one detector places them.

    Attributes:
        placements: of the clips, shape (clips,).
        influence: of the recordings of the pool, shape (recordings,); the placements themselves where each recording is
            one clip. See `asdbench.compare.sharing`.
        is_grouped: whether the recordings are groups of clips.
    """

    placements: Scores
    influence: Scores
    is_grouped: bool = False

    @property
    def units(self) -> int:
        """How many clips, or groups of clips, were drawn apart from each other."""
        return len(self.influence) if self.is_grouped else len(self.placements)

    @property
    def values(self) -> Scores:
        """What the units add to the mean, shape (units,)."""
        return self.influence if self.is_grouped else self.placements

    @property
    def likeness(self) -> float:
        """Intra-group correlation of the placements: 0 where clips are alone, NaN where placements do not vary.

        It follows from the design effect, which is 1 plus the likeness times the mean number of further clips in a
        group (Kish 1965), and is not below 0.
        """
        further = len(self) / self.units - 1
        if not self.is_grouped or self.units < 2 or further <= 0:
            return 0.0
        plain = float(self.placements.var(ddof=1)) / len(self)
        if plain <= 0:
            return float("nan")
        effect = float(self.influence.var(ddof=1)) / self.units / plain
        return max(effect - 1, 0.0) / further

    def design_effect(self, likeness: float) -> float:
        """Variance of the mean placement as a multiple of what it were without groups."""
        return 1 + (len(self) / self.units - 1) * likeness if self.is_grouped else 1.0

    def __len__(self) -> int:
        return len(self.placements)


@dataclass(frozen=True)
class Side:
    """The clips of one kind (nearly always the anomalous ones) that original and generated test set do not share.

    Attributes:
        real: the real clips in the original test set, by detector seed.
        made: the generated clips by pool (mostly one a generation seed), then by repetition, whose first part is the
            detector seed.
        other: number of clips of the other kind, among which these are placed.
    """

    real: Mapping[int, Placed]
    made: Mapping[Pool, Mapping[Replicate, Placed]]
    other: int

    @property
    def repetitions(self) -> int:
        """Pairs of detector and generation seed."""
        return sum(len(group) for group in self.made.values())

    @property
    def members(self) -> list[Placed]:
        """All sets of clips."""
        return [*self.real.values(), *(one for group in self.made.values() for one in group.values())]

    @property
    def likeness(self) -> float:
        """The largest of any set: a perfect generator's clips are as alike as the real ones, and few groups hide it."""
        known = [one.likeness for one in self.members if not math.isnan(one.likeness)]
        return max(known, default=0.0)

    @property
    def real_weights(self) -> dict[int, float]:
        """Share of each detector seed in the mean over repetitions."""
        counts = Counter(replicate.seed for group in self.made.values() for replicate in group)
        return {seed: counts[seed] / self.repetitions for seed in self.real}


def perfect_p(gap: float, sides: Sequence[Side]) -> float:
    """Two-sided p-value of a gap if the generator is perfect; NaN with fewer than three clips to compare.

    With one seed this is the two-sample test of placements with their total variance about the common mean: the
    permutation test's variance, with Student's t for its shape. With more seeds the spread of each detector's
    placements is estimated likewise, and the correlations between detectors from the clips that they share. Where clips
    come in groups, the variance of a set's mean is multiplied by its design effect, and the degrees of freedom are
    those of Welch and Satterthwaite with the numbers of groups.
    """
    from scipy import special

    variance, freedom = 0.0, 0.0
    parts: list[tuple[float, int]] = []
    for side in sides:
        spread = {}
        for seed, own in side.real.items():
            same = [one.placements for group in side.made.values() for r, one in group.items() if r.seed == seed]
            spread[seed] = float(np.concatenate([own.placements, *same]).std(ddof=1))
        weights, likeness = side.real_weights, side.likeness
        groups = [[(own, weights[seed] * spread[seed]) for seed, own in side.real.items()]]
        for group in side.made.values():
            groups.append([(one, spread[r.seed] / side.repetitions) for r, one in group.items()])
        for members in groups:
            effects = [one.design_effect(likeness) for one, _ in members]
            scales = np.array(
                [scale * math.sqrt(e / len(one)) for e, (one, scale) in zip(effects, members, strict=True)]
            )
            part = float(scales @ _correlations([one.influence for one, _ in members]) @ scales)
            variance += part
            parts.append((part, max(len(one.influence) for one, _ in members)))
            freedom += parts[-1][1] - 1
    everything = [one for side in sides for one in side.members]
    if any(one.is_grouped for one in everything) and variance > 0:
        if min(size for _, size in parts) < 2:
            return float("nan")
        freedom = variance**2 / sum(part**2 / (size - 1) for part, size in parts)
    if freedom < 1:
        return float("nan")
    if variance <= 0:
        return 1.0 if gap == 0 else 0.0
    return float(2 * special.stdtr(freedom, -abs(gap) / math.sqrt(variance)))


def floor_draws(sides: Sequence[Side], auc: float, rng: np.random.Generator, draws: int = DRAWS) -> tuple[Scores, str]:
    """Draw gaps of a perfect generator.

    Args:
        sides: what the two test sets do not share.
        auc: on the original set, for the binormal model.
        rng: random stream.
        draws: how many.

    Returns:
        The gaps, shape (draws,), and the method: "split halves", "binormal" or both, joined by " and ".
    """
    total = np.zeros(draws)
    methods = []
    for side in sides:
        weights = side.real_weights
        real = np.sum([weights[seed] * own.values for seed, own in side.real.items()], axis=0)
        made = []
        for group in side.made.values():
            # Clips that were generated one by one are fresh clips, those in groups fresh groups.
            in_groups = all(one.is_grouped for one in group.values())
            known = [side.real[r.seed].values if in_groups else side.real[r.seed].placements for r in group]
            made.append((np.sum(known, axis=0) / side.repetitions, min(one.units for one in group.values())))
        clips = min(own.units for own in side.real.values())
        if clips >= MIN_SPLIT and np.ptp(real) > 0:
            methods.append("split halves")
            total -= _half_deviations(real, draws, rng)
            for own, size in made:
                total += _half_deviations(own, draws, rng) * math.sqrt(len(own) / size)
        else:
            methods.append("binormal")
            shares = [len(group) / side.repetitions for group in side.made.values()]
            effects = [max(one.design_effect(side.likeness) for one in group.values()) for group in side.made.values()]
            sizes = [min(len(one) for one in group.values()) for group in side.made.values()]
            fresh = max(own.design_effect(side.likeness) / len(own) for own in side.real.values())
            fresh += sum(share**2 * effect / size for share, effect, size in zip(shares, effects, sizes, strict=True))
            number = min([len(own) for own in side.real.values()] + [side.other])
            total += math.sqrt(placement_variance(inside(auc, number), side.other) * fresh) * (
                _normal_scores(draws, rng)
            )
    return total, " and ".join(dict.fromkeys(methods))


def design_of(sides: Sequence[Side]) -> tuple[float, float]:
    """How much groups matter for what the test sets do not share.

    Returns:
        Mean design effect of real and generated clips, and clips in a group of real ones; 1 and 1 where there are none.
    """
    effects, sizes = [1.0], [1.0]
    for side in sides:
        made = [one for group in side.made.values() for one in group.values()]
        both = [
            np.mean([one.design_effect(side.likeness) for one in members])
            for members in (list(side.real.values()), made)
        ]
        effects.append(float(np.mean(both)))
        sizes += [len(own) / own.units for own in side.real.values()]
    return max(effects), max(sizes)


def inside(auc: float, clips: int) -> float:
    """An AUC that is not 0 or 1: where it is, half a clip of ``clips`` is taken to be misplaced."""
    return auc if 0 < auc < 1 else (auc * clips + 0.5) / (clips + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979, Scand. J. Stat. 6:65-70); NaN stays and does not count."""
    adjusted = [float("nan")] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min((len(order) - rank) * p_values[index], 1.0))
        adjusted[index] = largest
    return adjusted


def _half_deviations(values: Scores, draws: int, rng: np.random.Generator) -> Scores:
    """Mean of a random half minus the mean of all, with the variance of the mean of as many fresh values."""
    clips, half = len(values), len(values) // 2
    centred = values - values.mean()
    deviations = np.empty(draws)
    step = max(1, 2**20 // clips)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        chosen = np.argpartition(rng.random((rows, clips)), half, axis=1)[:, :half]
        deviations[start : start + rows] = centred[chosen].mean(axis=1)
    return deviations * math.sqrt(half / (clips - half))


def _normal_scores(draws: int, rng: np.random.Generator) -> Scores:
    """Standard normal quantiles in random order: a sample without sampling error."""
    from scipy import special

    return rng.permutation(special.ndtri((np.arange(draws) + 0.5) / draws))


def _correlations(influences: Sequence[Scores]) -> Scores:
    """Between detectors over the recordings; 1, the cautious value, where a detector places all clips alike."""
    rows = np.array([own - own.mean() for own in influences])
    lengths = np.sqrt((rows**2).sum(axis=1))
    products = np.outer(lengths, lengths)
    correlations = np.where(products > 0, rows @ rows.T / np.where(products > 0, products, 1), 1.0)
    np.fill_diagonal(correlations, 1.0)
    return np.asarray(correlations)

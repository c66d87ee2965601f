"""Estimates that know how they depend on each clip, and the intervals that follow.

AUC, partial AUC, their means and the official scores are smooth functions of the score distributions of a few *pools*
of clips. To first order each is its value plus, for every pool, the mean of one number a clip (its *influence*); the
variance is the sum over pools of the influences' variance divided by the number of clips. For the AUC the influences
are DeLong's placements (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837-845), for the partial AUC He and
Escobar's (2008, Stat. Med. 27:5291-5308); sums, means over seeds and differences follow by adding influences pool by
pool, which is what pairs test sets that share clips.

Which interval is the default was settled by simulation (`docs/coverage/README.md`):

- one score: symmetric on the logit scale with Student's t (Welch-Satterthwaite degrees of freedom). On the plain scale
  the coverage at AUC 0.95 and 25 clips is 82 to 87 %;
- a score of exactly 0 or 1, where all these variances vanish: Newcombe's score interval, which is Wilson's carried over
  to the AUC (2006, Stat. Med. 25:559-573, method 5);
- a difference: `gap_interval`, which adds the squared distances to the limits of its parts (MOVER; Zou & Donner 2008,
  Stat. Med. 27:1693-1702).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from asdbench.metrics.detection import MAX_FPR, Scores, mann_whitney_auc, standardised_partial_auc
from asdbench.seeding import derive_rng

Pool = tuple[str | int, ...]
"""Names a set of clips that were drawn together; the first part is "normal" or "anomaly"."""

_KINDS = ("normal", "anomaly")

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))

EQUIVALENCE_DRAWS = 4000
_CHUNK = 2**20
"""Most random numbers that are held at once."""


@dataclass(frozen=True)
class Estimate:
    """A score between 0 and 1.

    Attributes:
        value: the estimate.
        influence: for each pool, one number a unit (a clip, or a group of clips such as a recording); the variance of
            the estimate is the sum of their variances, each divided by its number of units.
        reach: the least and the largest influence that a unit can have, by pool; 0 and 1, those of a placement, where
            it is left out.
        units: names of the units of a pool, where those are groups; one that is in two pools makes them covary.
        by_clip: the same estimate as if there were no groups; None where there are none.
        alike: for "normal" and "anomaly" the design effect of the mean of the scores' normal ranks, where the clips of
            the kind come in groups; unlike that of placements it is known where nearly all clips are placed right.
    """

    value: float
    influence: Mapping[Pool, Scores]
    reach: Mapping[Pool, Interval] = field(default_factory=dict)
    units: Mapping[Pool, tuple[str, ...]] = field(default_factory=dict)
    by_clip: Estimate | None = None
    alike: Mapping[str, float] = field(default_factory=dict)

    def range_of(self, pool: Pool) -> Interval:
        """The least and the largest influence that a unit of a pool can have."""
        return self.reach.get(pool, (0.0, 1.0))

    @property
    def has_variance(self) -> bool:
        """Whether every pool has the two units that a variance takes."""
        return all(len(values) > 1 for values in self.influence.values())

    @property
    def variance(self) -> float:
        """Variance of the value; NaN where a pool has one unit."""
        return sum(variance for variance, _ in self.parts) if self.has_variance else float("nan")

    @property
    def parts(self) -> list[tuple[float, int]]:
        """Variance and number of units of each pool; pools that have units in common are one part."""
        if not self.units:
            return [(_variance(values), len(values)) for values in self.influence.values()]
        parts: dict[tuple[Pool, ...], tuple[float, int]] = {}
        for pools in _connected(self.units, self.influence):
            names = set().union(*(self.units.get(pool, ()) for pool in pools))
            own = sum(_variance(self.influence[pool]) for pool in pools)
            count = len(names) if len(pools) > 1 else len(self.influence[pools[0]])
            parts[pools] = own + _between_pools(self, self, pools), count
        return list(parts.values())

    @property
    def design_effect(self) -> float:
        """Variance as a multiple of what it would be if there were no groups; 1 where there are none."""
        if self.by_clip is None or not self.has_variance:
            return 1.0
        plain, own = self.by_clip.variance, self.variance
        return own / plain if plain > 0 and own > 0 else 1.0

    def clips(self, kind: str) -> int:
        """Number of units in the pools of a kind, "normal" or "anomaly"."""
        return sum(len(values) for pool, values in self.influence.items() if pool[0] == kind)


def placements(normal: Scores, anomaly: Scores) -> tuple[Scores, Scores]:
    """Share of the other class on the right side of each clip, ties half: their means are the AUC.

    Returns:
        For each normal clip the share of anomalous clips above it, shape (n_normal,), and for each anomalous clip the
        share of normal clips below it, shape (n_anomaly,).
    """
    below, not_above = _ranks_among(normal, anomaly)
    of_anomaly = (below + not_above) / (2.0 * len(normal))
    below, not_above = _ranks_among(anomaly, normal)
    of_normal = 1 - (below + not_above) / (2.0 * len(anomaly))
    return of_normal, of_anomaly


def auc_estimate(normal: Scores, anomaly: Scores, normal_pool: Pool, anomaly_pool: Pool) -> Estimate:
    """AUC with DeLong's influences."""
    of_normal, of_anomaly = placements(normal, anomaly)
    return Estimate(mann_whitney_auc(normal, anomaly), {normal_pool: of_normal, anomaly_pool: of_anomaly})


def partial_auc_estimate(
    normal: Scores, anomaly: Scores, normal_pool: Pool, anomaly_pool: Pool, max_fpr: float = MAX_FPR
) -> Estimate:
    """Standardised partial AUC with its influences.

    The area up to a false-positive rate f is the mean over anomalous clips of (f - s)+, where s is the share of normal
    clips above the clip; so a normal clip counts by how many of the anomalous clips with s < f it is above.
    """
    below, not_above = _ranks_among(normal, anomaly)
    least, most = 1 - not_above / len(normal), 1 - below / len(normal)
    gain = 0.5 / (max_fpr - max_fpr**2 / 2)
    counted = np.sort(anomaly[(least + most) / 2 < max_fpr])
    loss = (np.searchsorted(counted, normal, "left") + np.searchsorted(counted, normal, "right")) / (2.0 * len(anomaly))
    influence = {normal_pool: -gain * loss, anomaly_pool: gain * ramp_area(least, most, max_fpr)}
    return Estimate(standardised_partial_auc(normal, anomaly, max_fpr), influence)


def ramp_area(least: npt.NDArray[np.float64], most: npt.NDArray[np.float64], max_fpr: float) -> Scores:
    """Mean of (max_fpr - s)+ over s from ``least`` to ``most``: what an anomalous clip adds, a tie being a slope."""
    area = (np.maximum(max_fpr - least, 0) ** 2 - np.maximum(max_fpr - most, 0) ** 2) / 2
    width = most - least
    flat = np.maximum(max_fpr - least, 0)
    return np.asarray(np.where(width > 0, area / np.where(width > 0, width, 1), flat))


def in_strata(estimate: Estimate, strata: Mapping[Pool, npt.NDArray[np.object_]]) -> Estimate:
    """Split pools into strata whose sizes are fixed, such as the domains of a test set.

    Args:
        estimate: whose pools to split.
        strata: for a pool, the name of each clip's stratum, shape (clips,).
    """
    influence: dict[Pool, Scores] = {}
    for pool, values in estimate.influence.items():
        for name in sorted(set(strata[pool])):
            inside = strata[pool] == name
            influence[(*pool, str(name))] = values[inside] * inside.mean()
    return Estimate(estimate.value, influence)


def combine(value: float, estimates: Sequence[Estimate], factors: Iterable[float]) -> Estimate:
    """An estimate that changes with the given ones by ``factors`` (its derivatives), with its ``value``."""
    factors = list(factors)
    influence: dict[Pool, Scores] = {}
    reach: dict[Pool, Interval] = {}
    units: dict[Pool, tuple[str, ...]] = {}
    for estimate, factor in zip(estimates, factors, strict=True):
        units.update(estimate.units)
        for pool, values in estimate.influence.items():
            influence[pool] = influence.get(pool, 0.0) + factor * values
            low, high = sorted(factor * end for end in estimate.range_of(pool))
            before = reach.get(pool, (0.0, 0.0))
            reach[pool] = before[0] + low, before[1] + high
    by_clip = None
    alike: dict[str, float] = {}
    for estimate in estimates:
        alike |= {kind: max(effect, alike.get(kind, 1.0)) for kind, effect in estimate.alike.items()}
    if units:
        by_clip = combine(value, [estimate.by_clip or estimate for estimate in estimates], factors)
    return Estimate(value, influence, reach, units, by_clip, alike)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Arithmetic mean; clips that several estimates share count once."""
    weights = [1 / len(estimates)] * len(estimates)
    return combine(float(np.mean([estimate.value for estimate in estimates])), estimates, weights)


def harmonic_mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Harmonic mean, as `asdbench.metrics.official.harmonic_mean`."""
    from asdbench.metrics.official import EPSILON, harmonic_mean

    values = np.maximum([estimate.value for estimate in estimates], EPSILON)
    mean = harmonic_mean(values)
    return combine(mean, estimates, mean**2 / values**2 / len(values))


def score_interval(estimate: Estimate, confidence: float, student: bool = True) -> Interval:
    """Interval of one score: logit scale with Student's t, Newcombe's interval where the variance vanishes.

    Args:
        estimate: of the score.
        confidence: such as 0.95.
        student: whether to use Student's t; the normal distribution otherwise.

    Returns:
        The limits; NaN where a pool has one clip.
    """
    if not estimate.has_variance:
        return NO_INTERVAL
    if _is_degenerate(estimate):
        return _newcombe_of(estimate, confidence)
    quantile = _student(estimate.parts if student else [], confidence)
    low, high = _logit_limits(estimate.value, math.sqrt(estimate.variance), quantile)
    if estimate.by_clip is not None:
        normal, anomaly = (_effective(estimate, kind) for kind in _KINDS)
        below, above = newcombe_interval(estimate.value, normal, anomaly, confidence)
        low, high = min(low, below), max(high, above)
    return low, high


def gap_interval(first: Estimate, second: Estimate, confidence: float) -> Interval:
    """Interval of ``second - first``, paired where they share pools.

    What is drawn for one of the two only is added as in MOVER: for the lower limit, the squared distances from the
    first score up to its upper limit and from the second down to its lower limit. Shared clips move both scores
    together, so with r the correlation of their influences a share r of their part is the difference of two moves in
    *the same* direction on the logit scale, and a share 1 - r of opposite moves. On a linear scale all that is the
    ordinary variance of a paired difference; the logit limits keep it right near 1.
    """
    if not (first.has_variance and second.has_variance):
        return NO_INTERVAL
    if first.units or second.units:
        return _gap_interval_by_groups(first, second, confidence)
    shared = [pool for pool in second.influence if pool in first.influence]
    differences = [second.influence[pool] - first.influence[pool] for pool in shared]
    own = [
        {pool: values for pool, values in estimate.influence.items() if pool not in shared}
        for estimate in (first, second)
    ]
    parts = [(_variance(values), len(values)) for values in (*differences, *own[0].values(), *own[1].values())]
    quantile = _student(parts, confidence)
    by_own = [
        _own_limits(estimate, mine, quantile, confidence) for estimate, mine in zip((first, second), own, strict=True)
    ]
    variances = [sum(_variance(estimate.influence[pool]) for pool in shared) for estimate in (first, second)]
    covariance = sum(_covariance(first.influence[pool], second.influence[pool]) for pool in shared)
    by_shared = [
        (estimate.value, estimate.value)
        if _is_degenerate(estimate)
        else _logit_limits(estimate.value, math.sqrt(variance), quantile)
        for estimate, variance in zip((first, second), variances, strict=True)
    ]
    product = math.sqrt(variances[0] * variances[1])
    correlation = min(max(covariance / product, 0.0), 1.0) if product > 0 else 0.0
    (a_low, a_high), (b_low, b_high) = by_own
    own_down, own_up = _opposite(first.value, a_low, a_high, second.value, b_low, b_high)
    (a_low, a_high), (b_low, b_high) = by_shared
    apart_down, apart_up = _opposite(first.value, a_low, a_high, second.value, b_low, b_high)
    moves = [
        (b_low - second.value) - (a_low - first.value),
        (b_high - second.value) - (a_high - first.value),
        0.0,
    ]
    down = own_down + correlation * min(moves) ** 2 + (1 - correlation) * apart_down
    up = own_up + correlation * max(moves) ** 2 + (1 - correlation) * apart_up
    gap = second.value - first.value
    return max(gap - math.sqrt(down), -1.0), min(gap + math.sqrt(up), 1.0)


def covariance(first: Estimate, second: Estimate) -> float:
    """Covariance of two scores that share pools, or groups of clips."""
    shared = [pool for pool in second.influence if pool in first.influence]
    within = sum(_covariance(first.influence[pool], second.influence[pool]) for pool in shared)
    return within + _between_pools(first, second)


def _gap_interval_by_groups(first: Estimate, second: Estimate, confidence: float) -> Interval:
    """MOVER of the two scores' intervals: groups may make all pools covary, so that these cannot be taken apart."""
    product = math.sqrt(max(first.variance * second.variance, 0.0))
    correlation = min(max(covariance(first, second) / product, -1.0), 1.0) if product > 0 else 0.0
    limits = [score_interval(estimate, confidence) for estimate in (first, second)]
    return mover(first.value, limits[0], second.value, limits[1], correlation)


def mean_interval(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of the mean of independent values from the interval of each (MOVER)."""
    array, limits = np.asarray(values), np.asarray(intervals)
    if not len(array) or np.isnan(limits).any():
        return NO_INTERVAL
    down, up = np.sqrt(((limits - array[:, None]) ** 2).sum(axis=0)) / len(array)
    return float(array.mean() - down), float(array.mean() + up)


def mover(first: float, of_first: Interval, second: float, of_second: Interval, correlation: float) -> Interval:
    """Interval of ``second - first`` from the interval of each and their correlation (Zou & Donner 2008, eq. 7)."""
    down, up = second - of_second[0], of_first[1] - first
    low = second - first - math.sqrt(max(down**2 + up**2 - 2 * correlation * down * up, 0.0))
    up, down = of_second[1] - second, first - of_first[0]
    high = second - first + math.sqrt(max(down**2 + up**2 - 2 * correlation * down * up, 0.0))
    return low, high


def equivalence_p(first: Estimate, second: Estimate, margin: float) -> float:
    """P-value of two one-sided tests that ``second - first`` is within ``margin``, whatever the scores' distribution.

    An interval that is made of variances knows nothing of what was not seen: where all anomalies fall between two
    clusters of normal clips their placements do not vary at all, and yet one generated clip in twenty may sound another
    way. So each pool of clips gets random weights (of a Dirichlet distribution with ones), one pool an unseen clip at
    the far end of its range in addition. For a single mean of numbers in a range this is Gaffke's upper limit (2005,
    Math. Methods Stat. 14:451-467), which is Clopper and Pearson's where the numbers are 0 and 1. The p-value is the
    share of draws whose gap is outside the margin, for the pool and the side where it is largest, and not below
    exp(-margin n), the chance that n clips miss a share ``margin`` of a side (`asdbench.compare.verdict`).

    Args:
        first: mean AUC of the original set over repetitions.
        second: likewise of the generated set.
        margin: largest gap that does not matter.

    Returns:
        The p-value: NaN where a pool has one clip; 1 where the gap itself is not inside.
    """
    if not (first.has_variance and second.has_variance):
        return float("nan")
    gap = combine(second.value - first.value, [first, second], [-1, 1])
    if abs(gap.value) >= margin:
        return 1.0
    fewest = min(one.clips(kind) for one in (first, second) for kind in _KINDS)
    outside = {(pool, side): 0 for pool in gap.influence for side in (-1, 1)}
    for seen, unseen in _drawn(gap):
        total = gap.value + sum(seen.values())
        for pool, (low, high) in unseen.items():
            outside[pool, -1] += int((total - seen[pool] + low <= -margin).sum())
            outside[pool, 1] += int((total - seen[pool] + high >= margin).sum())
    return max(math.exp(-margin * fewest), max(outside.values()) / EQUIVALENCE_DRAWS)


def newcombe_interval(auc: float, n_normal: float, n_anomaly: float, confidence: float) -> Interval:
    """Newcombe's method 5: all AUCs whose Hanley-McNeil variance makes the observed one unsurprising.

    It has width where the classes are separated; with 50 and 50 clips an AUC of 1 gives 0.960 to 1 at 95 %.
    """
    from scipy import optimize, special

    z = float(special.ndtri((1 + confidence) / 2))
    pairs, size = n_normal * n_anomaly, (n_normal + n_anomaly) / 2 - 1

    def excess(value: float) -> float:
        spread = 1 + size * ((1 - value) / (2 - value) + value / (1 + value))
        return abs(auc - value) - z * math.sqrt(value * (1 - value) / pairs * spread)

    def limit(end: float) -> float:
        inner = auc + (end - auc) * 1e-9
        return float(optimize.brentq(excess, inner, end)) if excess(inner) < 0 < excess(end) else end

    return (0.0 if auc == 0 else limit(0.0)), (1.0 if auc == 1 else limit(1.0))


def _own_limits(estimate: Estimate, own: Mapping[Pool, Scores], quantile: float, confidence: float) -> Interval:
    """Limits of a score when only its own pools vary."""
    if not own:
        return estimate.value, estimate.value
    variance = sum(_variance(values) for values in own.values())
    if _is_degenerate(estimate) or variance == 0:
        return _newcombe_of(estimate, confidence)
    return _logit_limits(estimate.value, math.sqrt(variance), quantile)


def _effective(estimate: Estimate, kind: str) -> float:
    """For how many clips those of a kind count in Newcombe's interval, which does not need the estimate's variance.

    Near 0 and 1 a few groups make the noise, and the variance is small by chance as often as not. There the estimate's
    design effect is taken to be at least the square root of that of the scores. Towards the middle the exponent falls
    to 0, since the scores' design effect is too large where groups have clips of both kinds, whose common moves cancel.
    The exponent was settled by simulation (`docs/coverage/README.md`).
    """
    assert estimate.by_clip is not None
    of_scores: float = estimate.alike.get(kind, 1.0) ** (0.5 * (2 * estimate.value - 1) ** 2)
    return max(estimate.by_clip.clips(kind) / max(estimate.design_effect, of_scores), 2.0)


def _newcombe_of(estimate: Estimate, confidence: float) -> Interval:
    value = min(max(estimate.value, 0.0), 1.0)
    return newcombe_interval(value, max(estimate.clips("normal"), 2), max(estimate.clips("anomaly"), 2), confidence)


def _opposite(
    first: float, first_low: float, first_high: float, second: float, second_low: float, second_high: float
) -> tuple[float, float]:
    down = (second - second_low) ** 2 + (first_high - first) ** 2
    return down, (second_high - second) ** 2 + (first - first_low) ** 2


def _is_degenerate(estimate: Estimate) -> bool:
    return not 0 < estimate.value < 1 or estimate.variance <= 0


def _logit_limits(value: float, deviation: float, quantile: float) -> Interval:
    """Limits of a value in (0, 1) that are symmetric on the logit scale."""
    centre = math.log(value / (1 - value))
    half = quantile * deviation / (value * (1 - value))
    return _expit(centre - half), _expit(centre + half)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _student(parts: Sequence[tuple[float, int]], confidence: float) -> float:
    """Quantile of Student's t with Welch and Satterthwaite's degrees of freedom; parts are (variance, clips)."""
    from scipy import special

    below = sum(variance**2 / (clips - 1) for variance, clips in parts)
    total = sum(variance for variance, _ in parts)
    level = (1 + confidence) / 2
    return float(special.stdtrit(total**2 / below, level) if below > 0 else special.ndtri(level))


def _variance(influence: Scores) -> float:
    return float(influence.var(ddof=1)) / len(influence)


def _covariance(first: Scores, second: Scores) -> float:
    return float((first - first.mean()) @ (second - second.mean())) / (len(first) - 1) / len(first)


def _between_pools(first: Estimate, second: Estimate, pools: Sequence[Pool] | None = None) -> float:
    """Covariance by units that are in different pools of the two (Obuchowski 1997), of all pools or of some."""
    total = 0.0
    for one, of_one in first.units.items():
        for other, of_other in second.units.items():
            counts = one != other and (pools is None or (one in pools and other in pools))
            common = set(of_one) & set(of_other) if counts else ()
            if common:
                moves = [
                    dict(zip(names, (values - values.mean()) / len(values), strict=True))
                    for names, values in ((of_one, first.influence[one]), (of_other, second.influence[other]))
                ]
                count = len(set(of_one) | set(of_other))
                total += count / (count - 1) * sum(moves[0][name] * moves[1][name] for name in sorted(common))
    return total


def _connected(units: Mapping[Pool, tuple[str, ...]], pools: Iterable[Pool]) -> list[tuple[Pool, ...]]:
    """Pools that have units in common, directly or by others, together."""
    found: list[tuple[tuple[Pool, ...], set[str]]] = []
    for pool in pools:
        names = set(units.get(pool, ()))
        joined = [one for one in found if one[1] & names]
        found = [one for one in found if not one[1] & names]
        members = (*(member for one in joined for member in one[0]), pool)
        found.append((members, names.union(*(one[1] for one in joined))))
    return [members for members, _ in found]


def _ranks_among(ordered_by: Scores, scores: Scores) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    ordered = np.sort(ordered_by)
    return np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")


def _drawn(gap: Estimate) -> Iterator[tuple[Mapping[Pool, Scores], Mapping[Pool, tuple[Scores, Scores]]]]:
    """Deviations of each pool's mean in chunks of draws: of the clips that were seen, and with one at either end."""
    rng = derive_rng("equivalence", [len(values) for values in gap.influence.values()])
    labels = sorted({name for names in gap.units.values() for name in names})
    places = {name: place for place, name in enumerate(labels)}
    inside = {pool: np.array([places[name] for name in names]) for pool, names in gap.units.items()}
    size = max(len(labels), sum(len(values) + 1 for values in gap.influence.values()))
    for start in range(0, EQUIVALENCE_DRAWS, max(1, _CHUNK // size)):
        count = min(max(1, _CHUNK // size), EQUIVALENCE_DRAWS - start)
        shared = rng.standard_exponential((count, len(labels)), dtype=np.float32)
        seen: dict[Pool, Scores] = {}
        unseen: dict[Pool, tuple[Scores, Scores]] = {}
        for pool, values in gap.influence.items():
            weights = (
                shared[:, inside[pool]]
                if pool in inside
                else rng.standard_exponential((count, len(values)), dtype=np.float32)
            )
            one_more = rng.standard_exponential(count)
            mean, total = values.mean(), weights.sum(axis=1, dtype=np.float64)
            moved = weights @ (values - mean)
            seen[pool] = moved / total
            low, high = ((moved + one_more * (end - mean)) / (total + one_more) for end in gap.range_of(pool))
            unseen[pool] = low, high
        yield seen, unseen

"""How many clips a comparison takes, and how large a gap it can find: the binormal model in closed form.

Normal scores are N(0, 1), anomalous ones N(mu, 1) with mu = sqrt(2) z(AUC). The gap of two anomaly sets against the
same normal clips has, to first order in the numbers of clips, the variance

    v(real) / n_real + v(generated) / n_generated + c / n_normal,

where v is the variance of the placement of an anomalous clip among all normal ones and c the variance over normal clips
of the *difference* of the shares of the two sets above them: shared normals all but cancel, unlike in the comparison of
independent test sets. Both follow from bivariate normal probabilities.
"""

from __future__ import annotations

import math

POWER, ALPHA = 0.8, 0.05


def placement_variance(auc: float, n_normal: int | None = None) -> float:
    """Variance of the share of normal clips below an anomalous clip, given the normal clips.

    Args:
        auc: of the equal-variance binormal model, in (0, 1).
        n_normal: number of normal clips among which it is placed (the exact mean over normal samples); None stands for
            all there could be.
    """
    _check_auc(auc)
    both = _both_below(auc, auc, 0.5)
    if n_normal is None:
        return both - auc**2
    return auc / n_normal + (1 - 1 / n_normal) * both - auc**2 - (both - auc**2) / n_normal


def gap_variance(
    auc: float, gap: float, n_normal: float, n_real: float, n_generated: float, correlation: float = 0.0
) -> float:
    """Variance of the measured gap of a generator whose true gap is ``gap``, first order in the numbers of clips.

    Args:
        auc: true AUC on the real set.
        gap: true AUC on the generated set minus ``auc``.
        n_normal: normal clips, shared by the two sets.
        n_real: real anomalous clips.
        n_generated: generated ones.
        correlation: of the scores of a real clip and the generated clip conditioned on it, where there is one generated
            clip for each real one; 0 for sets that were drawn apart.
    """
    _check_auc(auc)
    made = auc + gap
    _check_auc(made)
    common = _both_below(auc, made, correlation / 2) - auc * made if correlation else 0.0
    anomalies = placement_variance(auc) / n_real + placement_variance(made) / n_generated
    anomalies -= 2 * common / math.sqrt(n_real * n_generated)
    shared = 0.0
    if gap:
        shared = _both_below(auc, auc, 0.5) + _both_below(made, made, 0.5) - 2 * _both_below(auc, made, 0.5) - gap**2
    return anomalies + max(shared, 0.0) / n_normal


def clips_needed(auc: float, gap: float, power: float = POWER, alpha: float = ALPHA, correlation: float = 0.0) -> int:
    """Clips of each kind (normal, real anomalous, generated anomalous) that show a gap with probability ``power``.

    The test is two-sided at level ``alpha``. Of a generator that is too easy and one that is too hard by ``gap`` the
    one that needs more clips counts (an AUC cannot leave (0, 1), so near 1 only the harder one exists).

    Args:
        auc: AUC on the real set, in (0, 1).
        gap: size of the gap as a fraction (0.05 is 5 points); its sign does not matter.
        power: in (0, 1).
        alpha: in (0, 1).
        correlation: see `gap_variance`.

    Raises:
        ValueError: an argument is out of range, or no AUC in (0, 1) is that far from ``auc``.
    """
    gap = abs(gap)
    if not gap > 0:
        raise ValueError("gap is 0; expected the size of the gap to find, such as 0.05")
    _check_rates(power, alpha)
    _check_auc(auc)
    signed = [sign * gap for sign in (-1, 1) if 0 < auc + sign * gap < 1]
    if not signed:
        raise ValueError(f"gap is {gap:g} at AUC {auc:g}; expected an AUC between 0 and 1 on the generated set")
    return max(math.ceil((_noise(auc, each, power, alpha, correlation) / gap) ** 2 - 1e-9) for each in signed)


def detectable_gap(auc: float, n: int, power: float = POWER, alpha: float = ALPHA, correlation: float = 0.0) -> float:
    """Size of the gap that ``n`` clips of each kind show with probability ``power``: the inverse of `clips_needed`.

    It is measured towards the side where there is more room, so that it exists: downwards from an AUC of 0.5 and more,
    as by a generator whose anomalies are too hard. NaN where even an AUC at the end of the scale would not be found.

    Raises:
        ValueError: an argument is out of range.
    """
    from scipy import optimize

    _check_rates(power, alpha)
    _check_auc(auc)
    if n < 2:
        raise ValueError(f"n is {n}; expected at least 2 clips")
    sign = -1 if auc >= 0.5 else 1
    room = (auc if sign < 0 else 1 - auc) * (1 - 1e-6)

    def short(gap: float) -> float:
        return gap - _noise(auc, sign * gap, power, alpha, correlation) / math.sqrt(n)

    return float(optimize.brentq(short, 1e-9, room)) if short(room) > 0 else float("nan")


def design_effect(size: float, correlation: float) -> float:
    """How many times as many clips it takes where they come in groups (Kish 1965, Survey Sampling, ch. 5).

    Args:
        size: clips of a group, at least 1.
        correlation: intra-class correlation of the scores, the share of their variance that is between groups: from 0
            to 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if not size >= 1:
        raise ValueError(f"a group has {size:g} clips; expected at least 1")
    if not 0 <= correlation <= 1:
        raise ValueError(f"the correlation within groups is {correlation:g}; expected a number from 0 to 1")
    return 1 + (size - 1) * correlation


def perfect_gap(auc: float, n_normal: int, n_real: int, n_generated: int) -> float:
    """Standard deviation of the gap of a perfect generator: fresh clips from the real distribution, shared normals."""
    return math.sqrt(placement_variance(auc, n_normal) * (1 / n_real + 1 / n_generated))


def _noise(auc: float, gap: float, power: float, alpha: float, correlation: float) -> float:
    """The gap that one clip of each kind would need; it falls with the square root of their number."""
    from scipy import stats

    under_null = math.sqrt(gap_variance(auc, 0.0, 1, 1, 1, correlation))
    under_gap = math.sqrt(gap_variance(auc, gap, 1, 1, 1, correlation))
    return float(stats.norm.isf(alpha / 2)) * under_null + float(stats.norm.ppf(power)) * under_gap


def _both_below(first: float, second: float, correlation: float) -> float:
    """P(two standard normals of this correlation are below the quantiles of ``first`` and ``second``).

    In closed form by Owen's T function.
    Source: D. B. Owen, "Tables for computing bivariate normal probabilities", Ann. Math. Statist. 27 (1956), eq. 2.1.

    Args:
        first, second: in (0, 1).
        correlation: in (-1, 1).
    """
    from scipy import special

    h, k = float(special.ndtri(first)), float(special.ndtri(second))
    if h == 0 and k == 0:
        return 0.25 + math.asin(correlation) / (2 * math.pi)
    scale = math.sqrt(1 - correlation**2)
    total = (first + second) / 2 - (0.5 if h * k < 0 or (h * k == 0 and h + k < 0) else 0.0)
    for own, other in ((h, k), (k, h)):
        slope = (other - correlation * own) / (own * scale) if own else math.copysign(math.inf, other)
        total -= math.copysign(0.25, slope) if own == 0 else float(special.owens_t(own, slope))
    return total


def _check_auc(auc: float) -> None:
    if not 0 < auc < 1:
        raise ValueError(f"the AUC is {auc:g}; expected a number between 0 and 1")


def _check_rates(power: float, alpha: float) -> None:
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value:g}; expected a number between 0 and 1")

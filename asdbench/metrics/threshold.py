"""Decisions: a threshold from the scores of normal training clips, and precision, recall and F1 of what it decides.

The threshold is a quantile of a gamma distribution fitted to the scores of the detector's own training *clips*, as in
DCASE Task 2 since 2020 (Koizumi et al., arXiv 2006.05822, Sec. 4). The challenge's gamma has a free location. Its
likelihood has no maximum then: for shapes below 1 it grows without bound as the location nears the smallest score. The
fit here keeps the location free, so scores may be negative and a detector that adds a constant to all of them decides
the same, but asks for a shape of at least 1. That bounds the likelihood and excludes only densities that are infinite
at the smallest score. Data with no or negative skew have their best fit at an ever lower location, where the gamma
becomes a normal distribution; the search ends `FARTHEST` standard deviations below, where the two are alike.

The alternative is the quantile of the training scores themselves (`METHODS`), which assumes no distribution: the share
of training clips above it is what was asked for, whatever their scores look like. With few clips it is coarse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from asdbench.metrics.detection import Labels, Scores

QUANTILE = 0.9
"""Quantile of the fitted distribution that DCASE Task 2 uses: one training clip in ten lies above."""

Method = Literal["gamma", "empirical"]
METHODS: tuple[Method, ...] = get_args(Method)
"""What the threshold is a quantile of: a gamma distribution fitted to the training scores, or these scores."""

NEAREST, FARTHEST = 1e-6, 1e3
"""Distances of the location below the smallest score, in standard deviations, between which it is sought."""


@dataclass(frozen=True)
class Gamma:
    """A gamma distribution: density proportional to (x - loc)^(shape - 1) exp(-(x - loc) / scale) for x > loc."""

    shape: float
    loc: float
    scale: float

    def quantile(self, q: float) -> float:
        """The score below which a share ``q`` of the distribution lies."""
        from scipy.special import gammaincinv

        return float(self.loc + self.scale * gammaincinv(self.shape, q))

    def log_likelihood(self, scores: Scores) -> float:
        """Mean log density over ``scores``."""
        from scipy.special import gammaln

        z = (np.asarray(scores, dtype=np.float64) - self.loc) / self.scale
        if (z < 0).any():
            return float("-inf")
        with np.errstate(divide="ignore", invalid="ignore"):
            log_power = np.where(self.shape == 1, 0.0, (self.shape - 1) * np.log(z))
        return float(np.mean(log_power - z) - gammaln(self.shape) - np.log(self.scale))


def fit_gamma(scores: npt.ArrayLike) -> Gamma:
    """Fit a gamma distribution with shape >= 1 and free location by maximum likelihood.

    The likelihood is maximised in closed form (up to one scalar equation) for a given location, and over locations by a
    grid followed by a bounded search.

    Args:
        scores: shape (clips,), finite, at least two different values.

    Raises:
        ValueError: there are fewer than two different scores, or one is not finite.
    """
    from scipy.optimize import minimize_scalar

    values = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} training scores are not finite")
    if len(values) < 2 or values[0] == values[-1]:
        raise ValueError(
            f"a gamma distribution needs two different training scores; found {len(values)} scores, "
            f"{len(np.unique(values))} different"
        )
    # By a power of two, which rounds nothing: the squares of very large or very small scores are out of range.
    exponent = int(np.frexp(np.abs(values).max())[1])
    values = np.ldexp(values, -exponent)
    spread = float(values.std())
    if spread == 0:
        raise ValueError("a gamma distribution needs two different training scores; those found differ by rounding")
    standard = (values - values[0]) / spread

    def loss(log_distance: float) -> float:
        fitted = _fit_at(standard + np.exp(log_distance))
        return -fitted.log_likelihood(standard + np.exp(log_distance))

    grid = np.linspace(np.log(NEAREST), np.log(FARTHEST), 43)
    best = int(np.argmin([loss(point) for point in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    log_distance = float(found.x) if found.fun < loss(grid[best]) else float(grid[best])
    fitted = _fit_at(standard + np.exp(log_distance))
    location, scale = values[0] - np.exp(log_distance) * spread, fitted.scale * spread
    return Gamma(fitted.shape, float(np.ldexp(location, exponent)), float(np.ldexp(scale, exponent)))


def threshold(training_scores: npt.ArrayLike, quantile: float = QUANTILE, method: str = METHODS[0]) -> float:
    """Return the score above which a clip is called anomalous.

    Args:
        training_scores: shape (clips,), finite: scores of the detector's own normal training clips.
        quantile: which quantile; 0.9 lets one training clip in ten lie above.
        method: one of `METHODS`. "empirical" interpolates linearly between two scores, as `numpy.quantile` does.

    Raises:
        ValueError: ``quantile`` or ``method`` is not allowed, a score is not finite, or there are too few: "gamma"
            needs two different ones (see `fit_gamma`), "empirical" one.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile is {quantile}; expected a number between 0 and 1")
    if method == "gamma":
        return fit_gamma(training_scores).quantile(quantile)
    if method != "empirical":
        raise ValueError(f"method is '{method}'; expected one of {', '.join(METHODS)}")
    values = np.asarray(training_scores, dtype=np.float64).ravel()
    if not len(values) or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"{bad} of {len(values)} training scores are not finite" if bad else "no training scores")
    return float(np.quantile(values, quantile))


def precision_recall_f1(is_anomaly: Labels, decision: Labels) -> tuple[float, float, float]:
    """Precision, recall and F1 of decisions.

    Where no clip is called anomalous precision is 0, not undefined, so that a detector gains nothing by silence; where
    no clip *is* anomalous all three are NaN.

    Args:
        is_anomaly: shape (clips,), the truth.
        decision: shape (clips,), True where the detector calls the clip anomalous.
    """
    is_anomaly, decision = np.asarray(is_anomaly, dtype=bool), np.asarray(decision, dtype=bool)
    if is_anomaly.shape != decision.shape:
        raise ValueError(f"is_anomaly and decision have the shapes {is_anomaly.shape} and {decision.shape}")
    hits, called, anomalies = int((is_anomaly & decision).sum()), int(decision.sum()), int(is_anomaly.sum())
    if not anomalies:
        return float("nan"), float("nan"), float("nan")
    return hits / called if called else 0.0, hits / anomalies, 2 * hits / (called + anomalies)


def _fit_at(values: npt.NDArray[np.float64]) -> Gamma:
    """Maximum-likelihood gamma with location 0 and shape >= 1 for positive values."""
    from scipy.special import digamma, polygamma

    mean = float(values.mean())
    gap = -float(
        np.mean(np.log1p((values - mean) / mean))
    )  # log of the mean less mean of the log, without cancellation
    shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)  # Minka 2002, Eq. 10: within 1.5 %
    for _ in range(4):  # Newton on 1/shape converges to rounding error from there (Minka 2002, Eq. 11)
        step = (np.log(shape) - digamma(shape) - gap) / (shape**2 * (1 / shape - polygamma(1, shape)))
        shape = 1 / (1 / shape + step)
    shape = max(float(shape), 1.0)
    return Gamma(shape, 0.0, mean / shape)

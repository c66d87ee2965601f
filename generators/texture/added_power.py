"""What anomalies add to the sound of a normal machine, by caption: power, and how much of it.

The strikes of a damaged bearing add to its rolling noise: in few narrow bands, which are others at each speed, and more
so the severer the damage is. Seen as a change of the mean level in nepers that drowns in the variation of all other
bands from clip to clip. So the power of an anomaly relative to that of a normal clip of the same attributes is

    1 + s (c + x B),

with s the scale of the severity that the caption names, and x features of the caption. Given s it is linear in c and B,
and given these in s; both are fitted in turn by (ridge) least squares. A clip that c and B were fitted to would say
that they are right as they are, so s is fitted to what is predicted of each clip from the others.

Power is a fair account of weak faults only: of strong ones a few loud clips would decide all, and nothing can be
taken away that way. So it is limited in the fit, and what it leaves of the levels in nepers is for the caller to
explain, by a regression on all words.

The level of normal clips is taken to be normally distributed, so that their power is log-normal, and the expectation
of what is left of it under the limit is known (the partial expectation of N. L. Johnson, S. Kotz and N. Balakrishnan,
"Continuous Univariate Distributions", vol. 1, 1994, chapter 14). Only what exceeds that was added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_FREE", "AddedPower", "from_others"]

Array = npt.NDArray[np.float64]

_MOST = 3.0
"""Added power that counts, relative to the normal clip, in the fit: a few loud clips decide nothing (6 dB)."""
_LEAST_LEFT = 0.2
"""Least share of the normal power that an anomaly leaves (-7 dB)."""
_SCALES = (0.1, 10.0)
_ROUNDS = 6
"""Of fitting in turn; they change nothing after three or four."""
LEAST_FREE = 0.1
"""Least share of a clip that a fit leaves free; a clip whose words nobody shares has hardly any."""
_UNPENALISED = 1e-6


@dataclass(frozen=True)
class AddedPower:
    """Power that is added to a normal clip, relative to that.

    Attributes:
        scaling: phrases, each as its words, that say how much is added, of which a caption has one at most.
        scale: factor of each, shape (scaling,); 1 where a caption has none.
        constant: added power where all features are 0, shape (dim,).
        slopes: change of the added power with each feature, shape (features, dim).
        offset: mean in nepers of what this explains of no clip's level, shape (dim,).
    """

    scaling: tuple[tuple[str, ...], ...]
    scale: Array
    constant: Array
    slopes: Array
    offset: Array

    def check(self, features: int, dim: int) -> None:
        """Check arrays that were read.

        Raises:
            ValueError: their shapes do not go together, or a number is not finite.
        """
        arrays = (self.scale, self.constant, self.slopes, self.offset)
        found = [array.shape for array in arrays]
        if found != [(len(self.scaling),), (dim,), (features, dim), (dim,)]:
            raise ValueError(f"arrays of the shapes {found}")
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("numbers that are not finite")

    def level(self, features: Array, words: frozenset[str]) -> Array:
        """Level above that of a normal clip in nepers, shape (dim,).

        Args:
            features: of the caption, shape (features,).
            words: of the caption.
        """
        added = _factor(self.scaling, self.scale, words) * (self.constant + features @ self.slopes)
        return self.offset + _level_of(added)

    @classmethod
    def fit(
        cls,
        above: Array,
        variance: Array,
        features: Array,
        penalty: Array,
        captions: Sequence[frozenset[str]],
        scaling: Sequence[tuple[str, ...]],
    ) -> tuple[AddedPower, Array, Array, Array]:
        """Fit to the anomalies of a machine.

        Args:
            above: level in nepers of each clip above that which a normal clip of its attributes has, shape (n, dim).
            variance: of the level of normal clips that captions do not explain, shape (dim,).
            features: of each caption, shape (n, features).
            penalty: of the slope of each feature, in clips, shape (features,).
            captions: words of each.
            scaling: see the attribute.

        Returns:
            The added power; what is left of the levels, shape (n, dim), which has a mean of 0; and two matrices of the
            shapes (n, 1 + features) and (1 + features, n) whose product makes what was fitted of what was given.
        """
        excess = np.minimum(np.exp(2 * (above - variance)), 1 + _MOST) - _limited_mean(variance)
        has = np.array([[caption.issuperset(phrase) for caption in captions] for phrase in scaling], dtype=bool)
        has = has.reshape(len(scaling), len(captions))
        design = np.column_stack([np.ones(len(features)), features])
        ridge = np.diag(np.r_[_UNPENALISED, penalty])
        scale, factors = np.ones(len(scaling)), np.ones(len(features))
        for _ in range(_ROUNDS):
            scaled = factors[:, None] * design
            solved = np.linalg.solve(scaled.T @ scaled + ridge, scaled.T)
            slopes, leverage = solved @ excess, (scaled * solved.T).sum(axis=1)
            predicted = from_others(excess, scaled @ slopes, leverage) / factors[:, None]
            scale = _scales(excess, predicted, has)
            factors = np.array([_factor(scaling, scale, caption) for caption in captions])
        left = above - _level_of(factors[:, None] * (design @ slopes))
        offset = left.mean(axis=0)
        return cls(tuple(scaling), scale, slopes[0], slopes[1:], offset), left - offset, scaled, solved


def from_others(given: Array, fitted: Array, leverage: Array) -> Array:
    """What a linear fit to all other clips says of each, shape (n, dim).

    Args:
        given: what was fitted to, shape (n, dim).
        fitted: what was made of it, shape (n, dim).
        leverage: of each clip, shape (n,).
    """
    pull = np.minimum(leverage, 1 - LEAST_FREE)[:, None]
    return np.asarray((fitted - pull * given) / (1 - pull))


def _limited_mean(variance: Array) -> Array:
    """Mean of the power of normal clips relative to its own mean where no more than ``1 + _MOST`` of it counts.

    The logarithm of that power has the deviation ``spread`` and, as its mean is 1, the mean ``-spread**2 / 2``. Under
    the limit the mean is less than 1: the more a band varies, the more.
    """
    from scipy.special import ndtr

    spread = 2 * np.sqrt(np.maximum(variance, 1e-12))
    limit = np.log(1 + _MOST)
    return np.asarray(ndtr(limit / spread - spread / 2) + (1 + _MOST) * ndtr(-limit / spread - spread / 2))


def _level_of(power: Array) -> Array:
    return np.asarray(0.5 * np.log(np.maximum(1 + power, _LEAST_LEFT)))


def _scales(excess: Array, predicted: Array, has: npt.NDArray[np.bool_]) -> Array:
    """Least-squares factor of the clips of each phrase, relative to the mean; 1 where nothing is predicted."""
    along, size = (excess * predicted).sum(axis=1), np.square(predicted).sum(axis=1)
    factors = [along[clips].sum() / size[clips].sum() if size[clips].sum() > 0 else 1.0 for clips in has]
    scale = np.clip(np.array(factors), *_SCALES)
    counts = has.sum(axis=1)
    return np.asarray(scale / np.exp((counts * np.log(scale)).sum() / max(1, counts.sum())))


def _factor(scaling: Sequence[tuple[str, ...]], scale: Array, words: frozenset[str]) -> float:
    """Scale of what a clip whose caption has some words adds."""
    return next((float(factor) for phrase, factor in zip(scaling, scale, strict=True) if words.issuperset(phrase)), 1.0)

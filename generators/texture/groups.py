"""The level of the clips of one machine and condition: a linear model of the words of the caption.

The level of a band of a clip is the log of its RMS over the clip. A recording has one such vector, which depends on
machine, operating condition and fault and varies a little from recording to recording: nearly all of that is linear in
the words of the caption, with a remainder of few large directions. The regression is ridge regression (A. E. Hoerl and
R. W. Kennard, Technometrics 12, 1970), the remainder factor analysis in its simplest form (principal directions and a
variance of each band; M. E. Tipping and C. M. Bishop, "Probabilistic principal component analysis", J. R. Stat. Soc. B
61, 1999). What is drawn of the remainder resembles that of the training clips that share most words with the caption.

Anomalies are described by what they add to the power of normal clips with the same attributes (`added_power`), and the
regression explains what that leaves of their level. How much of it holds for other clips is measured in each band, so
that strong faults have the level they should, and weak ones do not drown in what was fitted to noise: shrinkage by
cross-validation (J. B. Copas, "Regression, prediction and shrinkage", J. R. Stat. Soc. B 45, 1983), here by the closed
form of leaving out one clip.

With hundreds of words and pairs the remainders of the clips that were fitted to are too small; they are divided by the
root of one minus their leverage, which makes their variance about that of new clips (J. G. MacKinnon and H. White, J.
Econometrics 29, 1985, estimator HC2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from .added_power import LEAST_FREE, AddedPower, from_others
from .tones import tonal_part

__all__ = ["GROUP_ARRAYS", "Group"]

Array = npt.NDArray[np.float64]

GROUP_ARRAYS = ("centre", "mean", "slopes", "presence", "scores", "directions", "rest", "tonal")
"""Attributes of a group that are kept in a file."""
_DIRECTIONS = 32
"""Most principal directions of the remainder."""
_WORD_PENALTY, _PAIR_PENALTY, _PAIR_SUPPORT = 2.0, 4.0, 6
"""Of the ridge regression: penalties in clips, and the clips that a pair of words needs to be a feature."""
_ALIKE = 8
"""Clips at least whose remainders one is drawn like."""


@dataclass(frozen=True)
class Group:
    """The level of the clips of one machine and condition.

    Attributes:
        names: the words that captions of these clips have in common.
        words: words that are features.
        pairs: pairs of words that are features where both occur.
        centre: mean of the features, shape (features,).
        mean: mean level, shape (dim,).
        slopes: change of the level with each feature, shape (features, dim).
        presence: which of the words the caption of each clip has, 0 or 1, shape (n, words).
        scores: of the remainder of each clip along the directions, shape (n, r).
        directions: principal directions of the remainder, scaled by their deviation, shape (r, dim).
        rest: deviation of each band beside, shape (dim,).
        tonal: how far bands that stand out from those around are tones and not noise, see `tonal_part`, shape (1,).
        above: of anomalies, the group of the normal clips of the machine and what is added to their power, if these are
            known; slopes are of the level that this leaves.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    centre: Array
    mean: Array
    slopes: Array
    presence: Array
    scores: Array
    directions: Array
    rest: Array
    tonal: Array
    _: KW_ONLY
    above: tuple[Group, AddedPower] | None = None

    def check(self, dim: int) -> None:
        """Check arrays that were read.

        Args:
            dim: length of a level.

        Raises:
            ValueError: their shapes do not go together, or a number is not finite.
        """
        features, (clips, directions) = len(self.words) + len(self.pairs), self.scores.shape
        wanted = {
            "centre": (features,),
            "mean": (dim,),
            "slopes": (features, dim),
            "presence": (clips, len(self.words)),
            "scores": (clips, directions),
            "directions": (directions, dim),
            "rest": (dim,),
            "tonal": (1,),
        }
        found = {name: getattr(self, name).shape for name in GROUP_ARRAYS}
        if not clips or found != wanted:
            raise ValueError(f"arrays of the shapes {found}")
        if not all(np.isfinite(getattr(self, name)).all() for name in GROUP_ARRAYS):
            raise ValueError("numbers that are not finite")
        if self.above is not None:
            self.above[1].check(features, dim)

    def features(self, words: frozenset[str]) -> Array:
        """The features of a caption, 0 or 1, shape (features,)."""
        return _features(self.words, self.pairs, words)

    @classmethod
    def fit(
        cls,
        names: tuple[str, ...],
        levels: Array,
        captions: Sequence[frozenset[str]],
        vocabulary: Iterable[str],
        shares: Sequence[Array],
        *,
        pair_support: int = _PAIR_SUPPORT,
        estimated: bool = False,
        base: Group | None = None,
        scaling: Sequence[tuple[str, ...]] = (),
    ) -> Group:
        """Fit in closed form.

        Args:
            names: words that the group's captions have in common.
            levels: of its clips, shape (n, dim).
            captions: words of each.
            vocabulary: words that may be features.
            shares: how steady what stands out in each clip is, see `tonal_shares`.
            pair_support: clips that a pair of words needs to be a feature.
            estimated: whether levels are estimates of what noise was multiplied by, and not measurements: then their
                errors make the remainder larger, about as much as the fit makes it smaller, and it is left as it is.
            base: normal clips of the same machine, whose power is added to.
            scaling: phrases, each as its words, one a caption at most, that say how much of it is added.
        """
        counts = {word: sum(word in caption for caption in captions) for word in sorted({*vocabulary})}
        words = tuple(word for word, count in counts.items() if 2 <= count < len(captions))
        has = np.array([[word in caption for word in words] for caption in captions], dtype=bool)
        pairs = tuple(
            (words[i], words[j])
            for i in range(len(words))
            for j in range(i + 1, len(words))
            if (has[:, i] & has[:, j]).sum() >= pair_support
        )
        features = np.array([_features(words, pairs, caption) for caption in captions])
        centre, mean = features.mean(axis=0), levels.mean(axis=0)
        centred = features - centre
        penalty = np.r_[np.full(len(words), _WORD_PENALTY), np.full(len(pairs), _PAIR_PENALTY)]
        solved = np.linalg.solve(centred.T @ centred + np.diag(penalty), centred.T)
        pull, kept = (centred * solved.T).sum(axis=1), np.ones(levels.shape[1])
        above, left, others, both = None, levels - mean, 1 / len(levels), 0.0
        if base is not None:
            normal = np.array([base.expected(caption) for caption in captions])
            # Power is scaled by severity, whose words are features of what is left only.
            severity = {word for phrase in scaling for word in phrase}
            unscaled = np.array([severity.isdisjoint(feature) for feature in [*zip(words), *pairs]], dtype=bool)
            added, left, fitting, fitted = AddedPower.fit(
                levels - normal, base.variance, centred * unscaled, penalty, captions, scaling
            )
            above, kept = (base, added), _kept(left, centred @ solved @ left, pull)
            # Of fits in turn, I - (I - K H)(I - P) has the diagonal of P + K (H - H P); P leaves a mean of 0.
            others = others + ((fitting - fitting.mean(axis=0)) * fitted.T).sum(axis=1, keepdims=True)
            both = ((centred @ (solved @ fitting)) * fitted.T).sum(axis=1)
        slopes = kept * (solved @ left)
        left = left - centred @ slopes
        leverage = others + kept * (pull - both)[:, None]
        remainder = left
        if not estimated:
            # A clip pulls the fit towards itself by its leverage, and what is left of it is too small by as much.
            remainder = left / np.sqrt(np.maximum(1 - leverage, LEAST_FREE))
        scores, directions, rest = _principal(remainder)
        tonal = np.array([tonal_part(shares)])
        presence = has.astype(np.float64).reshape(len(captions), len(words))
        return cls(names, words, pairs, centre, mean, slopes, presence, scores, directions, rest, tonal, above=above)

    def expected(self, words: frozenset[str]) -> Array:
        """Expected level of clips whose caption has these words, shape (dim,)."""
        features = self.features(words) - self.centre
        change = features @ self.slopes
        if self.above is None:
            return np.asarray(self.mean + change)
        base, added = self.above
        return base.expected(words) + added.level(features, words) + change

    @property
    def variance(self) -> Array:
        """Variance of the level that is not explained by words, shape (dim,).

        Of what lies along the directions it is that of a normal distribution with the same median absolute deviation
        (0.6745 deviations): one silent clip among hundreds is many nepers away, and would make up most of a mean
        square. Such a clip is a direction of its own, and no part of the rest.
        """
        drawn = self.scores @ self.directions
        deviation = np.median(np.abs(drawn - np.median(drawn, axis=0)), axis=0) / 0.6745
        return np.asarray(np.square(deviation) + np.square(self.rest))

    def draw(self, words: frozenset[str], random: np.random.Generator) -> Array:
        """Draw the level of a clip whose caption has these words, shape (dim,)."""
        level = self.expected(words) + self._remainder(words, random) @ self.directions
        return np.asarray(level + random.standard_normal(len(self.mean)) * self.rest)

    def _remainder(self, words: frozenset[str], random: np.random.Generator) -> Array:
        """Draw scores along the directions, shape (r,).

        They have mean and covariance of those of the clips that share most words with the caption; two of these are
        mixed, so that they are hardly ever a clip's own.
        """
        shared = self.presence @ np.array([word in words for word in self.words], dtype=np.float64)
        alike = self.scores[shared >= np.sort(shared)[-min(_ALIKE, len(shared))]]
        mean, (one, other) = alike.mean(axis=0), random.integers(len(alike), size=2)
        angle = random.uniform(0, np.pi / 2)
        away = np.cos(angle) * (alike[one] - mean) + np.sin(angle) * (alike[other] - mean)
        return np.asarray(mean + away * np.sqrt(len(alike) / max(1, len(alike) - 1)))


def _features(words: Sequence[str], pairs: Sequence[tuple[str, str]], caption: frozenset[str]) -> Array:
    found = [word in caption for word in words] + [a in caption and b in caption for a, b in pairs]
    return np.array(found, dtype=np.float64)


def _principal(remainder: Array) -> tuple[Array, Array, Array]:
    """Scores of each clip, directions and the deviation beside them of remainders, shape (n, dim)."""
    scores, sizes, axes = np.linalg.svd(remainder, full_matrices=False)
    count = min(_DIRECTIONS, max(0, len(remainder) - 1))
    directions = sizes[:count, None] * axes[:count] / np.sqrt(len(remainder))
    rest = np.sqrt(np.maximum(np.square(remainder).mean(axis=0) - np.square(directions).sum(axis=0), 1e-8))
    return scores[:, :count] * np.sqrt(len(remainder)), directions, rest


def _kept(given: Array, fitted: Array, leverage: Array) -> Array:
    """Share of a fit that is kept in each band, shape (dim,): the one that is best for clips that were left out of it.

    See `from_others` for what is given.
    """
    predicted = from_others(given, fitted, leverage)
    along, size = (given * predicted).sum(axis=0), np.square(predicted).sum(axis=0)
    return np.asarray(np.clip(along / np.maximum(size, 1e-12), 0, 1))

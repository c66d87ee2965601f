"""FAD∞: the Fréchet distance that infinitely many clips would have, from its trend over the number of clips.

The bias of a Fréchet distance falls as 1/n (Chong & Forsyth 2020, arXiv 1911.07023; for audio Gui et al. 2024, arXiv
2311.01616). A line through distances of subsets over 1/n meets 1/n = 0 at FAD∞. Unlike fadtk, subsets are drawn from
clips and not from vectors, without replacement (a repeated clip lowers the rank as a smaller set does), from both sets
in the same proportion (both are biased) and from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asdbench.errors import UserError
from asdbench.metrics.audio.resampling import FrechetOfClips, TwoSets, Values, Weights
from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors, join
from asdbench.seeding import derive_rng

FEWEST = 10
"""Clips that each set needs."""
LARGEST_INVERSE = 3.0
"""The smallest subsets hold a third of the clips."""
_STEPS, _DRAWS = 6, 4


@dataclass(frozen=True)
class FadInfinity:
    """An extrapolated Fréchet distance.

    Attributes:
        value: where the line meets 1/n = 0; may be slightly negative for equal distributions, as it is unbiased there.
        slope: of the line over the inverse share of clips: the bias at all clips.
        r2: share of the variance that the line explains.
        low, high: bootstrap interval over clips, NaN without resamples.
        points: inverse share of clips and distance, of each subset.
    """

    value: float
    slope: float
    r2: float
    low: float
    high: float
    points: tuple[tuple[float, float], ...]


def fad_infinity(
    reference: EmbeddedClips,
    generated: EmbeddedClips,
    *,
    seed: int = 0,
    resamples: int = 100,
    confidence: float = 0.95,
) -> FadInfinity:
    """Extrapolate the Fréchet distance of two sets of clips to infinitely many.

    Args:
        reference: ten clips or more.
        generated: ten clips or more.
        seed: of subsets and resamples.
        resamples: for the interval; 0 for none.
        confidence: of the interval.

    Raises:
        UserError: a set has fewer than ten clips, or they come from different models.
    """
    fewest = min(len(reference), len(generated))
    if fewest < FEWEST:
        raise UserError(f"FAD-infinity needs at least {FEWEST} clips in each set, found {fewest}")
    figure = FrechetOfClips(join(reference, generated))
    return extrapolate(figure, len(reference), len(generated), seed=seed, resamples=resamples, confidence=confidence)


def extrapolate(
    figure: TwoSets, reference: int, generated: int, *, seed: int, resamples: int, confidence: float
) -> FadInfinity:
    """`fad_infinity` of a figure over the clips of both sets, the reference first."""
    first, second = everything(reference, generated)
    points = _points(figure, [_with_subsets(first[0], second[0], derive_rng("fad infinity", seed), _DRAWS)])[0]
    slope, value = _line(points)
    residual = points[:, 1] - slope * points[:, 0] - value
    spread = np.square(points[:, 1] - points[:, 1].mean()).sum()
    r2 = 1 - np.square(residual).sum() / spread if spread > 0 else 1.0
    low = high = float("nan")
    if resamples:
        # In the world of the bootstrap the truth is the distance between the sets as they are.
        truth, rng = points[0, 1], derive_rng("fad infinity bootstrap", seed)
        drawn = []
        for _ in range(resamples):
            (of_real,), (of_made,) = everything(reference, generated)
            of_real[:reference] = rng.multinomial(reference, np.full(reference, 1 / reference))
            of_made[reference:] = rng.multinomial(generated, np.full(generated, 1 / generated))
            drawn.append(_with_subsets(of_real, of_made, rng))
        tail = (1 - confidence) / 2
        upper, lower = np.quantile(_at_infinity(figure, drawn) - truth, [tail, 1 - tail])
        low, high = float(value - lower), float(value - upper)
    return FadInfinity(float(value), float(slope), float(r2), low, high, tuple(map(tuple, points.tolist())))


def extrapolated(figure: TwoSets, seed: int) -> TwoSets:
    """A figure's value at infinitely many clips as a figure itself, from one draw a step."""

    def at_infinity(first: Weights, second: Weights) -> Values:
        # Chance is the same for each draw, so that its value does not depend on the others.
        drawn = [
            _with_subsets(*pair, derive_rng("fad infinity floor", seed)) for pair in zip(first, second, strict=True)
        ]
        return _at_infinity(figure, drawn)

    return at_infinity


def everything(reference: int, generated: int) -> tuple[Weights, Weights]:
    """Weights of all clips of the reference set, and of all of the other, shape (1, clips) each."""
    first, second = np.zeros((2, 1, reference + generated))
    first[:, :reference] = 1
    second[:, reference:] = 1
    return first, second


def _with_subsets(first: Vectors, second: Vectors, rng: np.random.Generator, draws: int = 1) -> Vectors:
    """Two sets, and subsets of both in steps that are even in the inverse share.

    Args:
        first: how often each clip is in the one set, shape (clips,).
        second: in the other.
        rng: draws the subsets.
        draws: how many of each size.

    Returns:
        Weights of shape (2, points, clips), the sets themselves first.
    """
    inverses = np.repeat(np.linspace(1, LARGEST_INVERSE, _STEPS)[1:], draws)
    points = [(first, second)]
    points += [(_subset(first, inverse, rng), _subset(second, inverse, rng)) for inverse in inverses]
    return np.swapaxes(points, 0, 1)


def _points(figure: TwoSets, drawn: Sequence[Vectors]) -> npt.NDArray[np.float64]:
    """Inverse share of clips and distance of all points of each `_with_subsets`, shape (len(drawn), points, 2)."""
    first, second = np.stack(drawn, axis=1)
    inverses = [part.sum(axis=2)[:, :1] / part.sum(axis=2) for part in (first, second)]
    distances = figure(first.reshape(-1, first.shape[2]), second.reshape(-1, second.shape[2]))
    return np.stack([np.mean(inverses, axis=0), distances.reshape(first.shape[:2])], axis=2)


def _at_infinity(figure: TwoSets, drawn: Sequence[Vectors]) -> Values:
    """Where the line through the points of each `_with_subsets` meets infinitely many clips, shape (len(drawn),)."""
    return np.array([_line(points)[1] for points in _points(figure, drawn)])


def _line(points: npt.NDArray[np.float64]) -> tuple[float, float]:
    slope, value = np.polyfit(points[:, 0], points[:, 1], 1)
    return float(slope), float(value)


def _subset(weights: Vectors, inverse: float, rng: np.random.Generator) -> Vectors:
    """Part of the clips of a set, drawn without replacement; a clip that is in it twice can be drawn twice."""
    clips = np.repeat(np.arange(len(weights)), weights.astype(int))
    drawn = rng.permutation(clips)[: max(2, round(len(clips) / inverse))]
    return np.bincount(drawn, minlength=len(weights)).astype(np.float64)

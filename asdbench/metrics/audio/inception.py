"""Inception score of class logits: for parity with papers only.

exp(mean KL(p(class | clip) || p(class))) (Salimans et al. 2016, arXiv 1606.03498, sec. 4). It cannot exceed the number
of clips in a split, so it says nothing without the number of splits and clips; and on a few machine types it measures
the variety of machines, not of anomalies.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special

from asdbench.errors import UserError, did_you_mean
from asdbench.metrics.audio.vectors import Vectors, checked

PRESETS = {"exact": (1, None), "audioldm": (10, 2020)}
"""Splits and seed of the shuffle before it, by name; "audioldm" depends on the order of clips, as its origin does."""


@dataclass(frozen=True)
class InceptionScore:
    """An inception score with what it depends on.

    Attributes:
        mean, std: over the splits.
        splits: number of parts.
        clips: number of clips in all parts together.
    """

    mean: float
    std: float
    splits: int
    clips: int


def inception_score(logits: npt.ArrayLike, splits: int | None = None, preset: str = "exact") -> InceptionScore:
    """Inception score of a set of clips.

    Args:
        logits: shape (clips, classes).
        splits: number of parts; None for the preset's.
        preset: "exact" (all clips in one part) or "audioldm" (ten parts after a fixed shuffle).

    Raises:
        UserError: there are fewer clips than splits, values are not finite, or there is no such preset.
    """
    values = checked(logits, "logits")
    if preset not in PRESETS:
        raise UserError(f"there is no inception score '{preset}'{did_you_mean(preset, PRESETS)}")
    preset_splits, seed = PRESETS[preset]
    parts, clips = splits or preset_splits, len(values)
    if parts < 1 or parts > clips:
        raise UserError(f"the inception score of {clips} clips in {parts} splits is not defined")
    if seed is not None:
        values = values[np.random.RandomState(seed).permutation(clips)]  # the preset names this generator
    bounds = [index * clips // parts for index in range(parts + 1)]
    scores = [weighted_score(values[a:b]) for a, b in itertools.pairwise(bounds)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), parts, clips)


def weighted_score(logits: Vectors, weights: npt.NDArray[np.number] | None = None) -> float:
    """The score of one part whose clips count ``weights`` times, shape (clips,)."""
    logs = scipy.special.log_softmax(logits, axis=1)
    probability = np.exp(logs)
    share = np.full(len(logs), 1 / len(logs)) if weights is None else weights / weights.sum()
    marginal = share @ probability
    with np.errstate(divide="ignore"):
        log_marginal = np.where(marginal > 0, np.log(marginal), 0.0)
    return float(np.exp(share @ (probability * (logs - log_marginal)).sum(axis=1)))

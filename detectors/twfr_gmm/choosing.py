"""Choosing the ratio of the pooling for a machine without anomalies: which one hears sounds added to held-out clips.

The paper chooses the ratio with anomalies of the development set. Zhang et al. 2024 (arXiv 2310.14173) choose it with
generated anomalies instead, and so is it done here, with the plainest ones: a sound of random band, level and duration
is added to the spectrogram of a normal clip. Nothing about the machine's faults goes in. What counts is how well, by
AUC, mixtures that were fitted without a clip tell the clips from those with such a sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..shared.grouping import Groups, folds

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

RATIOS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0)
"""The ratios that are tried: the loudest 1, 2, 5, 10, 20, 33, 50, 100, 200 or 500 frames count most, or all alike."""
_FOLDS = 5
_WIDTH = (1.0, 8.0)  # of a sound, in bands (standard deviation of a bell)
_LEVEL_DB = (-10.0, 10.0)  # over the mean power of the band: hardly to be heard, and not to be missed


def disturbed(mel: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A log-mel spectrogram in dB, shape (frames, bands), with a sound added.

    The sound is a bell over the bands, at any band; its level and the logarithm of its duration, from one frame to the
    whole clip, are uniform.
    """
    frames, bands = mel.shape
    power = 10 ** (np.asarray(mel, dtype=np.float64) / 10)
    bell = np.exp(-0.5 * ((np.arange(bands) - rng.uniform(0, bands)) / rng.uniform(*_WIDTH)) ** 2)
    length = max(1, round(frames ** rng.uniform(0, 1)))
    start = rng.integers(frames - length + 1)
    power[start : start + length] += 10 ** (rng.uniform(*_LEVEL_DB) / 10) * power.mean(axis=0) * bell
    result: npt.NDArray[np.float64] = 10 * np.log10(power)
    return result


def auc_by_ratio(
    normal: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    fit: Callable[[npt.NDArray[np.float64], npt.NDArray[np.int64]], GaussianMixture],
    rng: np.random.Generator,
    groups: Groups | None = None,
    least: int = 1,
) -> npt.NDArray[np.float64]:
    """How well normal clips and disturbed ones are told apart by models that know neither.

    Args:
        normal: pooled clips, shape (clips, ratios, bands).
        other: the same clips disturbed, shape (clips, times, ratios, bands).
        fit: fits a mixture to vectors, those of the clips at the given positions.
        rng: draws the folds.
        groups: of the clips; those of a group are in one fold.
        least: clips that ``fit`` needs.

    Returns:
        The AUC for each ratio.
    """
    from sklearn.metrics import roc_auc_score

    count, ratios, bands = normal.shape
    fold = folds(count, _FOLDS, groups, least, rng)
    truth = np.repeat([0, 1], [count, count * other.shape[1]])
    result = np.empty(ratios)
    for index in range(ratios):
        scores = np.empty(count), np.empty(other.shape[:2])
        for held_out in (fold == number for number in range(fold.max() + 1)):
            kept = np.flatnonzero(~held_out)
            mixture = fit(normal[kept, index], kept)
            scores[0][held_out] = -mixture.score_samples(normal[held_out, index])
            flat = -mixture.score_samples(other[held_out, :, index].reshape(-1, bands))
            scores[1][held_out] = flat.reshape(-1, other.shape[1])
        result[index] = roc_auc_score(truth, np.concatenate([scores[0], scores[1].ravel()]))
    return result


def chosen(aucs: npt.NDArray[np.float64], normal: int, other: int) -> int:
    """The position of the ratio that is taken: the last, nearest to the mean, within one standard error of the best.

    The rule of L. Breiman et al., "Classification and regression trees", 1984, section 3.4.3: what is not clearly
    better than the plainest is not preferred to it. The standard error is that of J. A. Hanley and B. J. McNeil (1982).

    Args:
        aucs: for ratios in ascending order.
        normal: number of normal clips behind each AUC.
        other: number of disturbed ones.
    """
    auc = float(aucs.max())
    first, second = auc / (2 - auc) - auc**2, 2 * auc**2 / (1 + auc) - auc**2
    variance = (auc * (1 - auc) + (other - 1) * first + (normal - 1) * second) / (normal * other)
    return int(np.flatnonzero(aucs >= auc - variance**0.5)[-1])

"""Bootstrap of AUCs: resampled clips as weights, many AUCs at once, and DeLong's standard error as a check.

Clips are resampled within normal and within anomalous clips (stratified), so every resample has the classes in the
sizes of the test set. A resample is a row of multinomial weights; test sets, detectors and seeds that share clips share
the weights, which makes the intervals of their differences *paired* (Efron & Tibshirani 1993, ch. 13 and 16).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from asdbench.metrics.detection import Scores, mann_whitney_auc

Weights = npt.NDArray[np.uint32]
"""How often each clip is in each resample: shape (resamples, clips), rows sum to the number of clips."""

CHUNK = 2**21
"""Most elements of one temporary array (16 MiB of float64)."""


def draw_weights(clips: int, resamples: int, rng: np.random.Generator) -> Weights:
    """Draw how often each of ``clips`` clips is in each of ``resamples`` resamples."""
    weights = np.empty((resamples, clips), dtype=np.uint32)
    for rows in _chunks(resamples, clips):
        weights[rows] = rng.multinomial(clips, np.full(clips, 1 / clips), size=rows.stop - rows.start)
    return weights


def weighted_aucs(normal: Scores, anomaly: Scores, normal_weights: Weights, anomaly_weights: Weights) -> Scores:
    """AUC of every resample, ties half: the mean over pairs of clips weighted by how often both were drawn.

    Instead of the matrix of all pairs, normal weights are summed along the sorted scores and looked up at each
    anomalous score: O(resamples x (n_normal + n_anomaly)) in time, `CHUNK` elements in memory. All sums are of
    integers, so the result is exact and does not depend on the order of the clips.

    Args:
        normal: scores of the normal clips, shape (n_normal,).
        anomaly: scores of the anomalous clips, shape (n_anomaly,).
        normal_weights: shape (resamples, n_normal).
        anomaly_weights: shape (resamples, n_anomaly).

    Returns:
        Shape (resamples,).
    """
    order = np.argsort(normal, kind="stable")
    ordered = np.asarray(normal)[order]
    below = np.searchsorted(ordered, anomaly, "left")
    not_above = np.searchsorted(ordered, anomaly, "right")
    resamples, pairs = len(normal_weights), len(normal) * len(anomaly)
    aucs = np.empty(resamples)
    for rows in _chunks(resamples, 3 * (len(normal) + len(anomaly))):
        sums = np.zeros((rows.stop - rows.start, len(normal) + 1))
        np.cumsum(normal_weights[rows][:, order], axis=1, dtype=np.float64, out=sums[:, 1:])
        wins = sums[:, below] + sums[:, not_above]
        aucs[rows] = np.einsum("bi,bi->b", anomaly_weights[rows].astype(np.float64), wins) / (2.0 * pairs)
    return aucs


def percentile_interval(resampled: Scores, confidence: float) -> tuple[float, float]:
    """The central part of the resampled values that holds a share ``confidence`` of them."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def delong_se(normal: Scores, anomaly: Scores) -> float:
    """Standard error of one AUC (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837-845), ties half.

    NaN with fewer than two clips in a class.
    """
    if len(normal) < 2 or len(anomaly) < 2:
        return float("nan")
    of_anomaly = np.array([mann_whitney_auc(normal, anomaly[i : i + 1]) for i in range(len(anomaly))])
    of_normal = np.array([mann_whitney_auc(normal[i : i + 1], anomaly) for i in range(len(normal))])
    return float(np.sqrt(of_anomaly.var(ddof=1) / len(anomaly) + of_normal.var(ddof=1) / len(normal)))


def _chunks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, CHUNK // max(columns, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))

"""Detection measures: AUC and partial AUC, over all clips or by domain.

Every measure is a plain function ``measure(is_anomaly, score, domain) -> float`` of three arrays of equal length, NaN
where it is not defined (`why_undefined` says why). Two families of domain measures exist:

- from 2022 on (Dohi et al., arXiv 2206.05876, Sec. 3) normal clips *of one domain* stand against the anomalous clips of
  *both* domains, because a detector must use one threshold for all: `auc_source`, `auc_target`;
- in 2021 (Kawaguchi et al., arXiv 2106.04492, Sec. 3) a domain's normal clips stand against *its own* anomalous clips:
  `auc_source_only`, `auc_target_only`.

The partial AUC of a domain, `pauc_source` and `pauc_target`, is of the second kind in the challenge's result files of
every year, 2023's included (checked against them); it enters the official score of 2021 only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating]
Domains = npt.NDArray[np.object_]

MAX_FPR = 0.1
"""False-positive rate up to which DCASE Task 2 integrates the partial AUC."""


@dataclass(frozen=True)
class Contrast:
    """Which clips a measure compares; None stands for every domain."""

    normal_domain: str | None = None
    anomaly_domain: str | None = None

    def mask(self, is_anomaly: Labels, domain: Domains) -> Labels:
        """The clips that enter: shape (clips,)."""
        mask = np.ones(len(is_anomaly), dtype=bool)
        for wanted, rows in ((self.normal_domain, ~is_anomaly), (self.anomaly_domain, is_anomaly)):
            if wanted is not None:
                mask &= ~rows | (domain == wanted)
        return mask


CONTRASTS = {
    "auc": Contrast(),
    "pauc": Contrast(),
    "auc_source": Contrast("source"),
    "auc_target": Contrast("target"),
    "auc_source_only": Contrast("source", "source"),
    "auc_target_only": Contrast("target", "target"),
    "pauc_source": Contrast("source", "source"),
    "pauc_target": Contrast("target", "target"),
}
"""The clips that each measure of this module compares."""


def auc(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """Area under the ROC curve: the probability that an anomalous clip scores higher than a normal one, ties half.

    The Mann-Whitney statistic from ranks (Mann & Whitney 1947), in O(n log n).

    Args:
        is_anomaly: shape (clips,), True for anomalous clips.
        score: shape (clips,), finite; higher is more anomalous.
        domain: shape (clips,), "source", "target", "none" or "unknown".

    Raises:
        ValueError: lengths differ, labels are not boolean, or a score is not finite.
    """
    return _area("auc", is_anomaly, score, domain)


def pauc(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """Partial AUC for false-positive rates up to `MAX_FPR`, standardised so that chance is 0.5 and perfection is 1.

    The standardisation is McClish's (1989, Med. Decis. Making 9:190-195), as in scikit-learn's
    ``roc_auc_score(max_fpr=0.1)``. Arguments and errors as `auc`.
    """
    return _area("pauc", is_anomaly, score, domain)


def auc_source(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """AUC of source-domain normal clips against the anomalous clips of both domains (2022 on). See `auc`."""
    return _area("auc_source", is_anomaly, score, domain)


def auc_target(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """AUC of target-domain normal clips against the anomalous clips of both domains (2022 on). See `auc`."""
    return _area("auc_target", is_anomaly, score, domain)


def auc_source_only(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """AUC within the source domain, normal and anomalous clips alike (2021). See `auc`."""
    return _area("auc_source_only", is_anomaly, score, domain)


def auc_target_only(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """AUC within the target domain, normal and anomalous clips alike (2021). See `auc`."""
    return _area("auc_target_only", is_anomaly, score, domain)


def pauc_source(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """Partial AUC within the source domain, normal and anomalous clips alike (all years). See `pauc`."""
    return _area("pauc_source", is_anomaly, score, domain)


def pauc_target(is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    """Partial AUC within the target domain, normal and anomalous clips alike (all years). See `pauc`."""
    return _area("pauc_target", is_anomaly, score, domain)


def why_undefined(contrast: Contrast, is_anomaly: Labels, domain: Domains) -> str:
    """Say in words why a measure has no value on these clips; "" where it has one.

    A measure needs one normal and one anomalous clip among those that ``contrast`` (see `CONTRASTS`) picks.
    """
    reasons = []
    for kind, wanted, rows in (
        ("normal", contrast.normal_domain, ~is_anomaly),
        ("anomalous", contrast.anomaly_domain, is_anomaly),
    ):
        if not rows.any():
            reasons.append(f"no {kind} test clip")
        elif wanted is not None and not (rows & (domain == wanted)).any():
            reasons.append(f"no {kind} test clip in the {wanted} domain")
    return ", ".join(reasons)


def contrast_of(measure: Callable[..., float]) -> Contrast | None:
    """The clips that a measure compares, where it is one of this module; None for a measure from elsewhere."""
    name = getattr(measure, "__name__", "")
    return CONTRASTS.get(name) if globals().get(name) is measure else None


def mann_whitney_auc(normal: Scores, anomaly: Scores) -> float:
    """AUC of two samples of scores, ties half; NaN where one is empty."""
    if len(normal) == 0 or len(anomaly) == 0:
        return float("nan")
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, anomaly, "left")
    not_above = np.searchsorted(ordered, anomaly, "right")
    # Sums of integers, so the value does not depend on the order of the clips.
    return float(below.sum() + not_above.sum()) / (2.0 * len(normal) * len(anomaly))


def standardised_partial_auc(normal: Scores, anomaly: Scores, max_fpr: float = MAX_FPR) -> float:
    """McClish-standardised area under the ROC curve for false-positive rates from 0 to ``max_fpr``; NaN where empty.

    The curve is linear between thresholds, so tied normal and anomalous scores make a sloped step.
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr is {max_fpr}; expected a rate in (0, 1]")
    if len(normal) == 0 or len(anomaly) == 0:
        return float("nan")
    if max_fpr == 1:
        return mann_whitney_auc(normal, anomaly)
    thresholds = np.unique(np.concatenate([normal, anomaly]))[::-1]
    # Counts are divided last: 5/50 is the same float as 0.1, 1 - 45/50 is not, and the curve is cut at 0.1.
    fpr = np.append(0, len(normal) - np.searchsorted(np.sort(normal), thresholds, "left")) / len(normal)
    tpr = np.append(0, len(anomaly) - np.searchsorted(np.sort(anomaly), thresholds, "left")) / len(anomaly)
    stop = int(np.searchsorted(fpr, max_fpr, "right"))
    last = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    area = float(np.trapezoid(np.append(tpr[:stop], last), np.append(fpr[:stop], max_fpr)))
    smallest = max_fpr**2 / 2
    return 0.5 * (1 + (area - smallest) / (max_fpr - smallest))


def _area(name: str, is_anomaly: Labels, score: Scores, domain: Domains) -> float:
    is_anomaly, score, domain = _validated(is_anomaly, score, domain)
    mask = CONTRASTS[name].mask(is_anomaly, domain)
    normal, anomaly = score[mask & ~is_anomaly], score[mask & is_anomaly]
    return standardised_partial_auc(normal, anomaly) if name.startswith("pauc") else mann_whitney_auc(normal, anomaly)


def _validated(is_anomaly: Labels, score: Scores, domain: Domains) -> tuple[Labels, Scores, Domains]:
    is_anomaly, score, domain = (
        np.asarray(is_anomaly),
        np.asarray(score, dtype=np.float64),
        np.asarray(domain, dtype=object),
    )
    if is_anomaly.dtype != bool:
        raise ValueError(f"is_anomaly has the type {is_anomaly.dtype}; expected booleans")
    if is_anomaly.ndim != 1 or is_anomaly.shape != score.shape or score.shape != domain.shape:
        raise ValueError(
            f"is_anomaly, score and domain have the shapes {is_anomaly.shape}, {score.shape} and {domain.shape}; "
            "expected one value a clip in each"
        )
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(score)} scores are not finite")
    return is_anomaly, score, domain

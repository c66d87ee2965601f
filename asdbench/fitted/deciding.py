"""The decision threshold of a fitted detector, from its scores of the clips that it has learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench.errors import UserError, warn
from asdbench.fitted.record import Threshold
from asdbench.metrics.threshold import METHODS, QUANTILE, Method, threshold


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is set; see `asdbench.fitted.record.Threshold`."""

    method: Method = METHODS[0]
    quantile: float = QUANTILE

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise UserError(f"the quantile of the threshold is {self.quantile}, expected a number between 0 and 1")


def rule_of(spec: Mapping[str, Any]) -> ThresholdRule:
    """The rule of a resolved spec, as a run stores it; those that say nothing about it have the default."""
    return ThresholdRule(**spec.get("threshold", {}))


def threshold_of(scores: npt.NDArray[np.float64] | None, rule: ThresholdRule, name: str) -> Threshold | None:
    """The threshold that follows from scores of training clips; None, with a warning, where none does.

    Args:
        scores: shape (clips,); None where they are not known.
        rule: how it follows.
        name: of the detector, for the warning.
    """
    if scores is None:
        warn(f"'{name}' has no decision threshold, since its scores of the training clips are not known")
        return None
    try:
        value = threshold(scores, rule.quantile, rule.method)
    except ValueError as error:
        warn(f"'{name}' has no decision threshold: {error}")
        return None
    return Threshold(method=rule.method, quantile=rule.quantile, value=value)

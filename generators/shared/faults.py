"""Which fault an anomaly that is asked for has: one of the training clips of its machine, or what the settings say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from .captions import Description

__all__ = ["with_fault"]


def with_fault(
    description: Description,
    known: Iterable[Description],
    random: np.random.Generator,
    fault: str | None = None,
    severity: float | None = None,
) -> Description:
    """Give an anomaly the fault and severity of a training clip of its machine, drawn at random.

    Args:
        description: what is asked for; a normal clip is returned as it is.
        known: descriptions of training clips.
        random: for the draw.
        fault: to have this fault, with the severity of a training clip that has it too.
        severity: to have this severity.
    """
    if description.condition != "anomaly":
        return description
    candidates = [
        clip
        for clip in known
        if clip.machine == description.machine and clip.fault is not None and fault in (None, clip.fault)
    ]
    if candidates:
        chosen = candidates[int(random.integers(len(candidates)))]
        description = replace(description, fault=chosen.fault, severity=chosen.severity)
    if fault is not None:
        description = replace(description, fault=fault)
    if severity is not None:
        description = replace(description, severity=severity)
    return description

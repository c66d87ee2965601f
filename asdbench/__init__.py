"""asdbench: can generated anomalies be trusted to evaluate an anomalous sound detector, and how far?

The public names are loaded when they are first used, so that ``import asdbench`` and the command line start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asdbench.challenge.score_folder import ScoreFolder
    from asdbench.clips import ClipSet
    from asdbench.errors import NotApplicableError, UserError, did_you_mean, warn
    from asdbench.features import LogmelSettings, logmel
    from asdbench.fingerprinting import Fingerprints, fingerprints
    from asdbench.frames import records
    from asdbench.plugins import (
        Dataset,
        Detector,
        Embedding,
        GeneratedClip,
        Generator,
        Part,
        Request,
        Training,
        dataset,
        detector,
        embedding,
        generator,
        metric,
        part,
        setting,
    )
    from asdbench.results import Results, load
    from asdbench.runner import run

_HOMES = {
    "ClipSet": "clips",
    "Results": "results",
    "load": "results",
    "run": "runner",
    "Fingerprints": "fingerprinting",
    "fingerprints": "fingerprinting",
    "Dataset": "plugins",
    "Detector": "plugins",
    "Embedding": "plugins",
    "GeneratedClip": "plugins",
    "Generator": "plugins",
    "LogmelSettings": "features",
    "NotApplicableError": "errors",
    "Part": "plugins",
    "Request": "plugins",
    "ScoreFolder": "challenge.score_folder",
    "Training": "plugins",
    "UserError": "errors",
    "dataset": "plugins",
    "detector": "plugins",
    "did_you_mean": "errors",
    "embedding": "plugins",
    "generator": "plugins",
    "logmel": "features",
    "metric": "plugins",
    "part": "plugins",
    "records": "frames",
    "setting": "plugins",
    "warn": "errors",
}

__all__ = [
    "ClipSet",
    "Dataset",
    "Detector",
    "Embedding",
    "Fingerprints",
    "GeneratedClip",
    "Generator",
    "LogmelSettings",
    "NotApplicableError",
    "Part",
    "Request",
    "Results",
    "ScoreFolder",
    "Training",
    "UserError",
    "dataset",
    "detector",
    "did_you_mean",
    "embedding",
    "fingerprints",
    "generator",
    "load",
    "logmel",
    "metric",
    "part",
    "records",
    "run",
    "setting",
    "warn",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"asdbench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'asdbench' has no attribute {name!r}")

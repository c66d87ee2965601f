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
    from asdbench.features import LogmelSettings, logmel, mel_filters, mel_power, remembered_logmel
    from asdbench.fingerprinting import Fingerprints, fingerprints
    from asdbench.fitted.deciding import ThresholdRule
    from asdbench.fitted.detector import FittedDetector, load_detector
    from asdbench.fitted.exporting import export_detector
    from asdbench.fitted.fitting import fit
    from asdbench.frames import records
    from asdbench.metrics.audio.embedding import AnyEmbedding, clip_vectors
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
    from asdbench.state import refused_types

_HOMES = {
    "AnyEmbedding": "metrics.audio.embedding",
    "ClipSet": "clips",
    "Results": "results",
    "load": "results",
    "run": "runner",
    "FittedDetector": "fitted.detector",
    "ThresholdRule": "fitted.deciding",
    "export_detector": "fitted.exporting",
    "fit": "fitted.fitting",
    "load_detector": "fitted.detector",
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
    "clip_vectors": "metrics.audio.embedding",
    "dataset": "plugins",
    "detector": "plugins",
    "did_you_mean": "errors",
    "embedding": "plugins",
    "generator": "plugins",
    "logmel": "features",
    "mel_filters": "features",
    "mel_power": "features",
    "metric": "plugins",
    "part": "plugins",
    "records": "frames",
    "refused_types": "state",
    "remembered_logmel": "features",
    "setting": "plugins",
    "warn": "errors",
}

__all__ = [
    "AnyEmbedding",
    "ClipSet",
    "Dataset",
    "Detector",
    "Embedding",
    "Fingerprints",
    "FittedDetector",
    "GeneratedClip",
    "Generator",
    "LogmelSettings",
    "NotApplicableError",
    "Part",
    "Request",
    "Results",
    "ScoreFolder",
    "ThresholdRule",
    "Training",
    "UserError",
    "clip_vectors",
    "dataset",
    "detector",
    "did_you_mean",
    "embedding",
    "export_detector",
    "fingerprints",
    "fit",
    "generator",
    "load",
    "load_detector",
    "logmel",
    "mel_filters",
    "mel_power",
    "metric",
    "part",
    "records",
    "refused_types",
    "remembered_logmel",
    "run",
    "setting",
    "warn",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"asdbench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'asdbench' has no attribute {name!r}")

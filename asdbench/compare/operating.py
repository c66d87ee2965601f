"""Operating points: the rates of false and missed alarms at every threshold, for ROC and DET curves.

The normal clips of a domain stand against the anomalous clips of both, as in the domain AUC from 2022 on: the areas
under these curves are the metrics ``auc``, ``auc_source`` and ``auc_target``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.compare.testsets import ScoreTable, TestSetSpec
from asdbench.metrics.detection import CONTRASTS, Domains, Labels, Scores
from asdbench.metrics.official import ALL

if TYPE_CHECKING:
    import pandas as pd

RATES = ("threshold", "fpr", "tpr", "fnr")
"""Columns of a curve: a clip is called anomalous whose score is at least ``threshold``; false-positive rate,
true-positive rate, miss rate (1 - ``tpr``). The first threshold is infinite: no clip is called anomalous."""

NAMES = ("machine", "domain", "detector", "source", "test_set", "seed", "generation_seed")

_MEASURES = {ALL: "auc", "source": "auc_source", "target": "auc_target"}


def curves_of_table(table: ScoreTable, specs: Sequence[TestSetSpec]) -> pd.DataFrame:
    """The curves of all test sets of a score table, one row a point, with the columns `NAMES` and `RATES`."""

    def parts() -> Iterator[pd.DataFrame]:
        for detector in table.detectors:
            for spec in specs:
                for replicate in table.replicates(spec.source):
                    for machine in table.machines:
                        found = table.test_set(spec, machine, detector, replicate)
                        if not found.reason:
                            own = {"machine": machine, "detector": detector, "source": spec.source}
                            own |= {"test_set": spec.name, **replicate._asdict()}
                            yield curves_of_clips(found.is_anomaly, found.score, found.domain, own)

    return joined(parts())


def curves_of_clips(is_anomaly: Labels, score: Scores, domain: Domains, names: Mapping[str, Any]) -> pd.DataFrame:
    """The curves of one test set: of all clips and, where there are domains, of each.

    Points and the handling of ties are those of ``sklearn.metrics.roc_curve`` with all thresholds kept. A part without
    normal or without anomalous clips has no curve.

    Args:
        is_anomaly: shape (clips,).
        score: shape (clips,).
        domain: shape (clips,).
        names: values of further columns.
    """
    import pandas as pd
    from sklearn.metrics import roc_curve

    parts = []
    for part, measure in _MEASURES.items():
        inside = CONTRASTS[measure].mask(is_anomaly, domain)
        labels = np.asarray(is_anomaly[inside])
        if (part != ALL and not (domain == part).any()) or labels.all() or not labels.any():
            continue
        fpr, tpr, thresholds = roc_curve(labels, score[inside], drop_intermediate=False)
        points = dict(zip(RATES, (thresholds, fpr, tpr, 1 - tpr), strict=True))
        parts.append(pd.DataFrame({**points, "domain": part, **names}))
    return joined(parts)


def joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Curves below each other, with the columns of names that there are and `RATES`."""
    import pandas as pd

    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=[*NAMES, *RATES])
    found: pd.DataFrame = pd.concat(filled, ignore_index=True)
    return found[[*(name for name in found.columns if name not in RATES), *RATES]]

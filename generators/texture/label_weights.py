"""How much each label of a clip counts where clips like those of a caption are sought for when things happen.

A label counts by how much of when things happen it explains, as measured in the training clips of one machine and
condition; the fault counts more than all others together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .spells import StatePath, spells_of

__all__ = ["FAULT", "weighted_words"]

Array = npt.NDArray[np.float64]
Labels = Mapping[str, frozenset[str]]
"""Words of each label, by the label's name."""

FAULT = "fault"
"""The label that always counts most."""


def weighted_words(
    labels: Sequence[Labels], paths: Sequence[StatePath], quiet: npt.NDArray[np.bool_]
) -> list[Mapping[str, int]]:
    """Words of the labels of clips, and how much each counts: what its label explains of when things happen.

    That is the share in per cent of the variance between clips of how often each state occurs, and of number and
    duration of spells, adjusted for the number of a label's values.

    Args:
        labels: of each clip.
        paths: of each clip.
        quiet: of each state whether it is hardly more than the background, shape (states,).
    """
    spells = [spells_of(path, quiet) for path in paths]
    spans = [
        [np.mean([len(states) for still, states in clip if still == value] or [0]) for clip in spells]
        for value in (False, True)
    ]
    shares = [[np.mean(path == state) for path in paths] for state in range(len(quiet))]
    features = np.array([*shares, *np.log1p(spans), np.log1p([len(clip) for clip in spells])]).T
    counts = {}
    for name in sorted({name for label in labels for name in label} - {FAULT}):
        counts[name] = round(100 * _explained(features, [" ".join(sorted(label.get(name, ()))) for label in labels]))
    others = [sum(counts[name] * len(words) for name, words in label.items() if name != FAULT) for label in labels]
    counts[FAULT] = 1 + max(others)
    return [_by_word(label, counts) for label in labels]


def _by_word(label: Labels, counts: Mapping[str, int]) -> dict[str, int]:
    """How much each word of some labels counts; of a word of several labels, most."""
    words = sorted(frozenset[str]().union(*label.values()))
    return {word: max(counts[name] for name, others in label.items() if word in others) for word in words}


def _explained(features: Array, values: Sequence[str]) -> float:
    """Mean over features of the adjusted share of the variance between clips that a label explains, 0 to 1."""
    names, groups = np.unique(np.array(values), return_inverse=True)
    total = np.square(features - features.mean(axis=0)).sum(axis=0)
    varying = total > 1e-12 * len(features)
    if len(names) < 2 or len(names) >= len(features) or not varying.any():
        return 0.0
    means = np.stack([features[groups == group].mean(axis=0) for group in range(len(names))])
    left = np.square(features - means[groups]).sum(axis=0)[varying] / total[varying]
    adjusted = 1 - left * (len(features) - 1) / (len(features) - len(names))
    return float(max(0.0, adjusted.mean()))

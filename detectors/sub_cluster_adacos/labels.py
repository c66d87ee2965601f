"""Classes that the labels of training clips make: section, domain and all attributes together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt


def label_classes(
    sections: Iterable[str], domains: Iterable[str], attributes: Iterable[Mapping[str, str]]
) -> npt.NDArray[np.int64]:
    """Return the class of each clip, shape (clips,), from 0; clips are of one class if all their labels agree."""
    names = [
        json.dumps([section, domain, dict(values)], sort_keys=True)
        for section, domain, values in zip(sections, domains, attributes, strict=True)
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)

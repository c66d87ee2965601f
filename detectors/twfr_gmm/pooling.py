"""Global weighted ranking pooling: the levels of a band in descending order, weighted by powers of a ratio.

Guan et al. 2023, section 2.1; the pooling itself is that of A. Kolesnikov and C. H. Lampert, "Seed, expand and
constrain: three principles for weakly-supervised image segmentation", ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pooled(mel: npt.NDArray[np.floating], ratios: Sequence[float]) -> npt.NDArray[np.float64]:
    """Pool each band of a log-mel spectrogram over time, once for each ratio.

    Args:
        mel: levels, shape (frames, bands).
        ratios: from 0, the loudest frame of a band, to 1, the mean over all frames. The frame of rank i from 0 has the
            weight ratio^i, divided by the sum of all weights.

    Returns:
        Shape (ratios, bands).
    """
    ranked = np.sort(mel, axis=0)[::-1]
    weights = np.asarray(ratios, dtype=np.float64)[:, None] ** np.arange(len(mel))
    weights /= weights.sum(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = weights @ ranked
    return result

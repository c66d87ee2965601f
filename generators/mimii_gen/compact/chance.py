"""How much of what noise does by chance to the mean spectrum of a clip is left for the decoder to draw.

The mean of a band over the clip scatters, since the fine noise is finite. A part of what it did to a clip is coded, as
nobody can tell it from a property of the clip; were it all drawn again by the decoder, mean spectra of decoded clips
would scatter too much, and a detector that compares mean spectra with a covariance recognises this. So the decoder
draws a share, with which decoded clips scatter as real ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["share_to_draw"]

Array = npt.NDArray[np.float64]

_RANGE = (0.25, 1.0)
"""Of the share of the variance: a few clips may give any value."""


def share_to_draw(real: Array, excess: Array, drawn: Array) -> float:
    """Return the factor, 0.5 to 1, of what noise does by chance to the mean of a band.

    With E what the decoder expects, var(real) must be var(E) + factor^2 var(drawn). In differences of adjacent bands,
    the variance between clips, which makes the estimate uncertain, is small and that of noise is not.

    Args:
        real: mean log power of each band of real clips, shape (clips, bands), clips of a machine about their mean.
        excess: by how much it is above E, likewise.
        drawn: by how much the mean log power of decoded clips, with all that chance does, is above E, likewise.
    """
    if real.shape[0] < 2 or real.shape[1] < 3:
        return 1.0
    of_real, left, of_noise = (_rough(values) for values in (real, excess, drawn))
    # var(real) - var(E) is the covariance of real - E with real + E.
    other = 2 * of_real - left
    missing, made = (left * other).mean(axis=0), of_noise.var(axis=0)
    uncertainty = left.var(axis=0) * other.var(axis=0)
    if not (uncertainty > 0).all() or not made.any():
        return 1.0
    share = float((made * missing / uncertainty).sum() / (np.square(made) / uncertainty).sum())
    return float(np.sqrt(np.clip(share, *_RANGE)))


def _rough(values: Array) -> Array:
    """Second differences over the bands, about their mean over the clips."""
    differences = np.diff(values, n=2, axis=1)
    return np.asarray(differences - differences.mean(axis=0))

"""Spectra in narrow bands of a background and of what comes and goes before it, from one clip.

The short frames in which events are distinguished have bands of 60 Hz, and the teeth of a belt or the balls of a guide
stand out in bands of a few. When the events happen and how much power they have in wide bands is known; what is sought
is the background in narrow bands, and by which factor the events' power in each differs from that of its wide band.
That is the non-negative factorisation of a spectrogram with the Itakura-Saito divergence and known activations,
solved by multiplicative updates (C. Fevotte, N. Bertin and J.-L. Durrieu, Neural Computation 21, 2009). Where one
of the two hardly contributes it stays as it was known before, by an inverse-gamma prior.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["fine_spectra", "in_long_frames"]

Array = npt.NDArray[np.float64]

_ROUNDS = 20
_PRIOR = 15.0
"""Weight of what was known before, in frames: with less both spectra vary with the noise of the clip."""
_LEAST = 1e-14
"""Least power: digital silence can be divided by."""


def in_long_frames(power: Array, ratio: int) -> Array:
    """Mean power of short frames in each of some long ones, in narrow bands.

    Args:
        power: in wide bands and short frames, shape (bands, T).
        ratio: of the bands of the long transform to those of the short one, and of the lengths of their frames; 1, or
            an even number.

    Returns:
        Shape (ratio * bands, T / ratio), rounded up.
    """
    if ratio == 1:
        return power
    weights = np.sin(np.pi / (2 * ratio) * (np.arange(2 * ratio) + 0.5)) ** 2  # the window of a long frame
    frames = -(-power.shape[1] // ratio)
    padded = np.pad(power, ((0, 0), (ratio // 2, 2 * ratio)), mode="edge")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * ratio, axis=1)[:, : frames * ratio : ratio]
    return np.repeat(blocks @ (weights / weights.sum()), ratio, axis=0)


def fine_spectra(power: Array, background: Array, added: Array) -> tuple[Array, Array]:
    """Find the two spectra.

    Args:
        power: squared coefficients of a clip, shape (bands, T).
        background: what is known of its power, shape (bands,).
        added: what is known of the power that events add to it, shape (bands, T).

    Returns:
        The background's power, shape (bands,), and the factors of what is added, shape (bands,).
    """
    known, added = background + _LEAST, added + _LEAST
    behind, factor = known.copy(), np.ones(len(power))
    for _ in range(_ROUNDS):
        of_both = behind[:, None] + factor[:, None] * added
        inverse = 1 / of_both
        wanted = power * np.square(inverse)
        behind, factor = (
            behind
            * (wanted.sum(axis=1) + _PRIOR * known / np.square(behind))
            / (inverse.sum(axis=1) + _PRIOR / behind),
            factor
            * ((added * wanted).sum(axis=1) + _PRIOR / np.square(factor))
            / ((added * inverse).sum(axis=1) + _PRIOR / factor),
        )
    return behind, factor

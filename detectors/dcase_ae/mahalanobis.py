"""Selective Mahalanobis distance: a covariance of residuals per domain, the smaller of the distances counts.

A residual vector (x - x_hat of the autoencoder) is cut into its frames; each frame is one row of n_mels values.
Source: N. Harada et al., "First-shot anomaly detection for machine condition monitoring: a domain generalization
baseline", EUSIPCO 2023, section III.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Covariance:
    """Covariance of residual rows, gathered clip by clip in double precision.

    As in the published baseline it is divided by the number of residual vectors, not of rows; that is a constant factor
    and changes no ranking.
    """

    def __init__(self, n_mels: int) -> None:
        self._vectors, self._rows = 0, 0
        self._sum = np.zeros(n_mels)
        self._products = np.zeros((n_mels, n_mels))

    def add(self, residuals: npt.NDArray[np.float32]) -> None:
        """Add residual vectors, shape (num_vectors, stacked * n_mels)."""
        rows = residuals.reshape(-1, len(self._sum)).astype(np.float64)
        self._vectors += len(residuals)
        self._rows += len(rows)
        self._sum += rows.sum(axis=0)
        self._products += rows.T @ rows

    def inverse(self) -> Array:
        """The inverse covariance, shape (n_mels, n_mels).

        Directions in which the training residuals do not vary (1e-10 of the largest variance) are left out, so that few
        or short clips do not make it singular.
        """
        centred = self._products - np.outer(self._sum, self._sum) / self._rows
        covariance = centred / max(1, self._vectors - 1)
        return np.asarray(np.linalg.pinv(covariance, rcond=1e-10, hermitian=True), dtype=np.float64)


def distance(rows: Array, inverses: list[Array]) -> Array:
    """Return for each row the smallest of its Mahalanobis distances from zero, shape (num_rows,)."""
    squares = [np.einsum("ij,ij->i", rows @ inverse, rows) for inverse in inverses]
    return np.sqrt(np.maximum(np.min(squares, axis=0), 0.0))

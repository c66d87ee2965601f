"""Fréchet distance between two sets of vectors, without a matrix square root.

FD² = |μ₁ - μ₂|² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½ between Gaussians fitted to the sets (Dowson & Landau 1982; for audio
Kilgour et al. 2019, arXiv 1812.08466). With factors C₁ = AᵀA and C₂ = BᵀB the last term is the nuclear norm of ABᵀ. Its
singular vectors give the rotation Q that turns B closest to A, and the covariance part is the squared distance that is
left: a sum of squares, which cannot be negative or complex and loses no digits between near sets.

The product C₁C₂ of which others take the square root is not symmetric, and singular with fewer vectors than dimensions;
what they make of it is here by their names, in `DEFINITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg

from asdbench.errors import UserError, did_you_mean
from asdbench.metrics.audio.vectors import Vectors, checked_pair, in_order

Matrix = npt.NDArray[np.float64]
Definition = Literal["exact", "audioldm_eval", "frechet_audio_distance", "fadtk"]

_SYMMETRY = 1e-6
_IMAGINARY = 1e-3  # what all three peers let pass


def frechet_distance(
    reference: npt.ArrayLike, generated: npt.ArrayLike, definition: Definition | str = "exact"
) -> float:
    """Fréchet distance (squared, as everywhere) between two sets of vectors.

    Args:
        reference: shape (n, dim), two vectors or more.
        generated: shape (m, dim), two vectors or more.
        definition: "exact" (the default: never negative, 0 for equal sets in any order), or a peer's computation:
            "audioldm_eval" (scipy's ``sqrtm`` of the product), "frechet_audio_distance" (of the complex product),
            "fadtk" (eigenvectors and their inverse). All agree to 1e-9 at full rank; theirs may be negative below.

    Raises:
        UserError: a set has fewer than two vectors, dimensions differ, values are not finite, there is no such
            definition, or a peer's computation breaks down on these vectors.
    """
    x, y = checked_pair(reference, generated, at_least=2)
    if definition == "exact":
        return _exact(x[in_order(x)], y[in_order(y)])
    if definition not in DEFINITIONS:
        raise UserError(
            f"there is no Fréchet distance '{definition}'{did_you_mean(definition, ['exact', *DEFINITIONS])}"
        )
    gap = x.mean(axis=0) - y.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(part, rowvar=False)) for part in (x, y)]
    return _by_product(gap, covariances[0], covariances[1], definition)


def frechet_from_statistics(
    mean_1: npt.ArrayLike, cov_1: npt.ArrayLike, mean_2: npt.ArrayLike, cov_2: npt.ArrayLike
) -> float:
    """Fréchet distance between Gaussians of which only mean and covariance are known.

    Covariances are factored by their eigenvectors; eigenvalues that are rounding count as 0.

    Args:
        mean_1: shape (dim,).
        cov_1: shape (dim, dim), symmetric.
        mean_2: shape (dim,).
        cov_2: shape (dim, dim), symmetric.

    Raises:
        UserError: shapes do not fit, a value is not finite, or a matrix is no covariance.
    """
    (mu_1, factor_1), (mu_2, factor_2) = _from_stored(mean_1, cov_1, "first"), _from_stored(mean_2, cov_2, "second")
    if mu_1.shape != mu_2.shape:
        raise UserError(f"the statistics have {len(mu_1)} and {len(mu_2)} dimensions, expected those of one model")
    return _between(mu_1, factor_1, mu_2, factor_2)


def too_few_for(vectors: int, dim: int, clips: int | None = None) -> str:
    """What a Fréchet distance suffers from with few vectors or clips; "" where it does not.

    The distance is biased upwards by about a constant over the number of independent vectors, and vectors of one clip
    are alike.

    Args:
        vectors: of the smaller set.
        dim: length of a vector.
        clips: of the smaller set; None where each vector is a clip.
    """
    if vectors <= dim:
        return (
            f"{vectors} vectors in {dim} dimensions: the covariance is singular and FAD is biased upwards; "
            "compare it with the floor only, or read KAD"
        )
    if clips is not None and clips <= dim:
        return f"{clips} clips in {dim} dimensions: FAD is biased upwards; compare it with the floor only, or read KAD"
    return ""


def _exact(x: Vectors, y: Vectors) -> float:
    return _between(x.mean(axis=0), _factor(x), y.mean(axis=0), _factor(y))


def _factor(vectors: Vectors) -> Matrix:
    """A with AᵀA the covariance, and no more rows than columns where there are many vectors."""
    scaled = (vectors - vectors.mean(axis=0)) / np.sqrt(len(vectors) - 1)
    if len(scaled) <= scaled.shape[1]:
        return np.asarray(scaled)
    triangle: Matrix = scipy.linalg.qr(scaled, mode="r", check_finite=False)[0][: scaled.shape[1]]
    return triangle


def _between(mu_1: Matrix, factor_1: Matrix, mu_2: Matrix, factor_2: Matrix) -> float:
    if factor_1.shape == factor_2.shape and np.array_equal(mu_1, mu_2) and np.array_equal(factor_1, factor_2):
        return 0.0
    gap = mu_1 - mu_2
    small, large = sorted((factor_1, factor_2), key=len)
    left, _, right = scipy.linalg.svd(small @ large.T, full_matrices=False, check_finite=False)
    rotation = left @ right  # rows are orthonormal
    turned = rotation @ large
    rest = large - rotation.T @ turned  # of the larger set, what the rank of the smaller one cannot meet
    return float(gap @ gap + np.square(small - turned).sum() + np.square(rest).sum())


def _from_stored(mean: npt.ArrayLike, covariance: npt.ArrayLike, which: str) -> tuple[Matrix, Matrix]:
    mu, cov = np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_2d(np.asarray(covariance, np.float64))
    if mu.ndim != 1 or cov.shape != (len(mu), len(mu)):
        raise UserError(
            f"{which} statistics: expected a mean of shape (dim,) and a covariance of shape (dim, dim), "
            f"found {mu.shape} and {cov.shape}"
        )
    if not (np.isfinite(mu).all() and np.isfinite(cov).all()):
        raise UserError(f"{which} statistics: they hold NaN or infinite values")
    scale = max(float(np.abs(cov).max()), np.finfo(float).tiny)
    if np.abs(cov - cov.T).max() > _SYMMETRY * scale:
        raise UserError(f"{which} statistics: the covariance is not symmetric")
    values, vectors = scipy.linalg.eigh((cov + cov.T) / 2, check_finite=False)
    if values[0] < -_SYMMETRY * scale:
        raise UserError(f"{which} statistics: the covariance has a negative eigenvalue ({values[0]:.3g})")
    values[values < len(mu) * np.finfo(float).eps * values[-1]] = 0.0  # rounding; its root would be 1e-8, and count
    return mu, np.sqrt(values)[:, None] * vectors.T


def _by_product(gap: Matrix, cov_1: Matrix, cov_2: Matrix, definition: str) -> float:
    root = DEFINITIONS[definition]
    with np.errstate(all="ignore"):
        covmean = root(cov_1 @ cov_2)
        if not np.isfinite(covmean).all():
            offset = 1e-6 * np.eye(len(cov_1))
            covmean = root((cov_1 + offset) @ (cov_2 + offset))
    if not np.isfinite(covmean).all():
        raise UserError(f"the definition '{definition}' finds no square root for these vectors; use 'exact'")
    if np.iscomplexobj(covmean):
        if not np.allclose(np.diagonal(covmean).imag, 0, atol=_IMAGINARY):
            largest = np.abs(covmean.imag).max()
            raise UserError(f"the definition '{definition}' gives a complex distance here ({largest:.3g}); use 'exact'")
        covmean = covmean.real
    return float(gap @ gap + np.trace(cov_1) + np.trace(cov_2) - 2 * np.trace(covmean))


def _by_eigenvectors(product: Matrix) -> npt.NDArray[np.complex128]:
    values, vectors = np.linalg.eig(product)
    try:
        return np.asarray((vectors * np.sqrt(values.astype(complex))) @ np.linalg.inv(vectors), dtype=complex)
    except np.linalg.LinAlgError:
        return np.full(product.shape, np.nan, dtype=complex)


DEFINITIONS: dict[str, Callable[[Matrix], npt.NDArray[np.inexact]]] = {
    "audioldm_eval": lambda product: np.asarray(scipy.linalg.sqrtm(product)),
    "frechet_audio_distance": lambda product: np.asarray(scipy.linalg.sqrtm(product.astype(complex))),
    "fadtk": _by_eigenvectors,
}
"""How peers take the square root of C₁C₂ (audioldm_eval and frechet-audio-distance 0.3, fadtk 1.1)."""

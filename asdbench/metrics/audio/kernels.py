"""Maximum mean discrepancy between two sets of vectors: KID and KAD, for few clips.

MMD² (Gretton et al. 2012, JMLR 13:723-773, eq. 3) without the pairs of a vector with itself is unbiased at any number
of clips. It scatters around 0 for equal distributions and so **may be negative**; that is no error.

Vectors of one clip are alike, and pairs of them would bias the estimate as a vector with itself would. With ``owners``
they are left out too: then the unit is the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from asdbench.errors import UserError
from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors, bilinear, checked_pair, in_order

Kernel = Callable[[Vectors, Vectors], Vectors]
Owners = npt.NDArray[np.int64]

KAD_SCALE = 100.0
"""Factor on MMD² in the definition of KAD."""
_BLOCK = 2**22  # elements of a kernel matrix at a time
_MEDIAN_OF = 2000  # vectors: more do not move the median, and pairs grow with the square
_KAD_EPS = 1e-8


def kid(reference: npt.ArrayLike, generated: npt.ArrayLike, *, owners: tuple[Owners, Owners] | None = None) -> float:
    """Kernel distance with the cubic kernel (x·y/dim + 1)³ (Bińkowski et al. 2018, arXiv 1801.01401), over all vectors.

    Others draw subsets and average; over subsets of all vectors that is the same figure. May be negative.

    Args:
        reference: shape (n, dim), two vectors or more.
        generated: shape (m, dim), two vectors or more.
        owners: clip of each vector of both sets, to leave out pairs within a clip; None for one vector a clip.

    Raises:
        UserError: a set has fewer than two clips, dimensions differ, or values are not finite.
    """
    x, y = checked_pair(reference, generated, at_least=2)
    return _mmd(x, y, polynomial_kernel, owners)


def kad(
    reference: npt.ArrayLike,
    generated: npt.ArrayLike,
    *,
    bandwidth: float | None = None,
    bandwidth_of: Literal["reference", "generated"] = "reference",
    owners: tuple[Owners, Owners] | None = None,
) -> float:
    """Kernel audio distance: 100 MMD² with a Gaussian kernel (Chung et al. 2025, arXiv 2502.15602). May be negative.

    Args:
        reference: see `kid`.
        generated: see `kid`.
        bandwidth: of the kernel; None for the median distance between vectors.
        bandwidth_of: which vectors: "reference", so that all generators are measured alike, or "generated", which is
            what the program ``kadtk`` 1.1 does.
        owners: see `kid`.

    Raises:
        UserError: as `kid`, or all vectors of the set are equal, so that there is no bandwidth.
    """
    x, y = checked_pair(reference, generated, at_least=2)
    width = bandwidth or median_distance(x if bandwidth_of == "reference" else y)
    return KAD_SCALE * _mmd(x, y, gaussian_kernel(width), owners)


def polynomial_kernel(x: Vectors, y: Vectors) -> Vectors:
    """(x·y/dim + 1)³, shape (n, m)."""
    return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3)


def gaussian_kernel(bandwidth: float) -> Kernel:
    """exp(-|x - y|² / (2 bandwidth²)), as a function of two sets of vectors."""

    def kernel(x: Vectors, y: Vectors) -> Vectors:
        return np.asarray(np.exp(_squared_distances(x, y) / -(2.0 * bandwidth**2 + _KAD_EPS)))

    return kernel


def median_distance(vectors: Vectors) -> float:
    """Median Euclidean distance between two vectors of a set (of at most 2000, evenly taken).

    Raises:
        UserError: it is 0.
    """
    rows = vectors[in_order(vectors)]
    if len(rows) > _MEDIAN_OF:
        rows = rows[np.linspace(0, len(rows) - 1, _MEDIAN_OF).round().astype(int)]
    squared = _squared_distances(rows, rows)[np.triu_indices(len(rows), k=1)]
    # The lower median, as in torch: always a distance that occurs.
    median = float(np.sqrt(np.partition(squared, (len(squared) - 1) // 2)[(len(squared) - 1) // 2]))
    if median == 0:
        raise UserError("the median distance between vectors is 0: most clips are the same, KAD has no bandwidth")
    return median


class KernelSums:
    """Kernel sums between all clips of a set, from which MMD² of any two weighted subsets follows.

    Pairs within a clip never count.
    """

    def __init__(self, clips: EmbeddedClips, kernel: Kernel, strata: Sequence[str] | None = None) -> None:
        """Sum the kernel over all pairs of clips.

        Args:
            clips: of both sets.
            kernel: of two vectors.
            strata: a label of each clip, such as the machine, where sets were drawn with a fixed number of each. Pairs
                within a stratum then weigh as if a clip could be paired with itself; without this, sets of several
                machines would be too far from themselves, and MMD² below 0 for equal distributions.
        """
        self.sums = _block_sums(clips.stacked, clips.owners, len(clips), kernel)
        np.fill_diagonal(self.sums, 0.0)
        self.counts = clips.counts.astype(np.float64)
        labels = np.zeros(len(clips), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
        self._strata = [labels == label for label in np.unique(labels)]

    def mmd(self, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """MMD² between pairs of sets of clips, given by how often each clip is in them, shape (draws, clips).

        A clip that is drawn twice makes no pair with itself: bootstrap resamples stay unbiased.

        Returns:
            Shape (draws,).
        """
        return self._within(first) + self._within(second) - 2 * self._across(first, second)

    def _within(self, weights: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        n = weights * self.counts
        total, numbers = bilinear(weights, self.sums, weights), n.sum(axis=1) ** 2
        without_strata = total / (numbers - np.square(n).sum(axis=1))
        alone = np.zeros(len(weights), dtype=bool)
        for part in self._strata:
            own = n[:, part].sum(axis=1) ** 2
            pairs = own - np.square(n[:, part]).sum(axis=1)
            alone |= (own > 0) & (pairs == 0)
            inside = bilinear(weights[:, part], self.sums[np.ix_(part, part)], weights[:, part])
            total += inside * (np.divide(own, pairs, out=np.ones_like(own), where=pairs > 0) - 1)
        # A stratum of one clip has no pair of its own: such a draw counts as if it had no strata.
        return np.asarray(np.where(alone, without_strata, total / numbers))

    def _across(self, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return bilinear(first, self.sums, second) / ((first @ self.counts) * (second @ self.counts))


def _mmd(x: Vectors, y: Vectors, kernel: Kernel, owners: tuple[Owners, Owners] | None) -> float:
    order_x, order_y = in_order(x), in_order(y)
    means = []
    for side, (part, order) in enumerate(((x, order_x), (y, order_y))):
        index = np.arange(len(part)) if owners is None else _by_appearance(np.asarray(owners[side])[order])
        clips = int(index.max()) + 1
        if clips < 2:
            raise UserError("a kernel distance needs at least two clips in each set, found one")
        sums = _block_sums(part[order], index, clips, kernel)
        counts = np.bincount(index).astype(np.float64)
        means.append((sums.sum() - np.trace(sums)) / (counts.sum() ** 2 - np.square(counts).sum()))
    total = 0.0
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        total += float(kernel(x[order_x[start : start + step]], y[order_y]).sum())
    return float(means[0] + means[1] - 2 * total / (len(x) * len(y)))


def _by_appearance(owners: Owners) -> Owners:
    """Number clips from 0 as they come, so that sums do not depend on their names."""
    _, first, index = np.unique(owners, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[index])


def _block_sums(vectors: Vectors, owners: Owners, clips: int, kernel: Kernel) -> Vectors:
    """Sums of the kernel over all pairs of vectors of two clips, shape (clips, clips)."""
    sums = np.zeros((clips, clips))
    order = np.argsort(owners, kind="stable")
    rows, owner = vectors[order], owners[order]
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(rows), step):
        # A kernel is symmetric: each pair of blocks is computed once, a block with itself counts half.
        values = kernel(rows[start : start + step], rows[start:])
        values[:, :step] /= 2
        firsts = np.flatnonzero(np.diff(owner[start:], prepend=-1))
        columns = np.add.reduceat(values, firsts, axis=1)
        np.add.at(sums, (owner[start : start + step, None], owner[start:][firsts]), columns)
    return sums + sums.T


def _squared_distances(x: Vectors, y: Vectors) -> Vectors:
    centre = y.mean(axis=0)  # a far origin would cost digits
    a, b = x - centre, y - centre
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(squared, 0.0))

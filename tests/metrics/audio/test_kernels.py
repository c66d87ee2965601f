"""KID and KAD against torchmetrics, the numbers of kadtk, and direct sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asdbench import UserError
from asdbench.metrics.audio import kernels
from asdbench.metrics.audio.kernels import KernelSums, gaussian_kernel, kad, kid, median_distance, polynomial_kernel
from asdbench.metrics.audio.vectors import EmbeddedClips, join


def two_sets() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((30, 6)), 1.2 * rng.standard_normal((40, 6)) + 0.3


def test_kid_equals_torchmetrics() -> None:
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = two_sets()[0], two_sets()[1][:30]

    class Same(torch.nn.Module):
        num_features = 6

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    metric = KernelInceptionDistance(feature=Same(), subsets=1, subset_size=30).set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert kid(x, y) == pytest.approx(float(metric.compute()[0]), rel=1e-6)


def test_kad_equals_kadtk() -> None:
    """The number is that of kadtk 1.1.0 on these vectors, in double precision but for the bandwidth."""
    assert kad(*two_sets(), bandwidth_of="generated") == pytest.approx(4.284609677162954, rel=1e-7)


def test_kad_equals_a_direct_sum() -> None:
    x, y = two_sets()
    width = sorted(np.linalg.norm(x[i] - x[j]) for i in range(30) for j in range(i))[(435 - 1) // 2]
    kernel = lambda a, b: np.exp(-np.square(a - b).sum() / (2 * width**2))  # noqa: E731
    xx = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    assert kad(x, y) == pytest.approx(100 * (xx + yy - 2 * xy), rel=1e-8)


def test_it_is_unbiased_and_may_be_negative() -> None:
    rng = np.random.default_rng(6)
    values = [kad(*rng.standard_normal((2, 10, 4)), bandwidth=2.0) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_vectors_of_a_clip_are_no_independent_pairs(embedded: Callable[..., EmbeddedClips]) -> None:
    """Clips that are alike within would look different from other clips of their own distribution."""
    plain, by_clip = [], []
    for seed in range(60):
        x, y = embedded(6, 5, 4, 2 * seed), embedded(6, 5, 4, 2 * seed + 1)
        plain.append(kad(x.stacked, y.stacked, bandwidth=1.0))
        by_clip.append(kad(x.stacked, y.stacked, bandwidth=1.0, owners=(x.owners, y.owners)))
    error = np.std(by_clip) / np.sqrt(60)
    assert abs(np.mean(by_clip)) < 4 * error
    assert np.mean(plain) > 4 * error


@pytest.mark.parametrize("kernel", [polynomial_kernel, gaussian_kernel(1.5)])
def test_sums_over_clips_are_the_distance_of_those_clips(
    embedded: Callable[..., EmbeddedClips], kernel: object
) -> None:
    x, y = embedded(8, 3, 5, 1), embedded(6, 4, 5, 2)
    sums = KernelSums(join(x, y), kernel)  # type: ignore[arg-type]
    first, second = np.zeros((2, 2, 14))
    first[:, :8:2], second[:, 8:] = [[1], [2]], [[1], [3]]  # a clip drawn twice pairs not with itself
    part = x.select(range(0, 8, 2))
    owners = (part.owners, y.owners)
    direct = (
        kid(part.stacked, y.stacked, owners=owners)
        if kernel is polynomial_kernel
        else kad(part.stacked, y.stacked, bandwidth=1.5, owners=owners) / 100
    )
    assert sums.mmd(first, second) == pytest.approx([direct, direct], rel=1e-9)


@pytest.mark.parametrize("strata", [None, ["fan"] * 5 + ["valve"] * 3 + ["fan"] * 2 + ["valve"] * 4])
def test_draws_together_have_the_distances_of_single_ones(
    embedded: Callable[..., EmbeddedClips], strata: list[str] | None
) -> None:
    clips = join(embedded(8, 3, 5, 1), embedded(6, 4, 5, 2))
    sums, plain = (KernelSums(clips, gaussian_kernel(1.5), labels) for labels in (strata, None))
    first, second = np.random.default_rng(8).integers(0, 3, (2, 20, 14)).astype(float)
    fans = [0, 1, 2, 3, 4, 8, 9]
    first[3, fans], second[4] = 0, 1  # one stratum only, and all clips once
    first[5, fans], first[5, 4] = 0, 2  # a stratum of one clip
    second[5, fans], second[5, 9] = 0, 1
    alone = [sums.mmd(first[[draw]], second[[draw]]).item() for draw in range(20)]
    np.testing.assert_allclose(sums.mmd(first, second), alone, rtol=1e-12, atol=1e-15)
    assert sums.mmd(first, second)[5] == pytest.approx(plain.mmd(first, second)[5], rel=1e-12)


def test_a_kernel_matrix_in_blocks_has_the_same_sums(
    embedded: Callable[..., EmbeddedClips], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = join(embedded(8, 3, 5, 1), embedded(6, 4, 5, 2))
    whole = gaussian_kernel(1.5)(clips.stacked, clips.stacked)
    ends = np.cumsum(clips.counts)
    direct = np.array(
        [
            [whole[a - n : a, b - m : b].sum() for b, m in zip(ends, clips.counts, strict=True)]
            for a, n in zip(ends, clips.counts, strict=True)
        ]
    )
    np.fill_diagonal(direct, 0)
    for vectors in (1, 5, 47, 48):  # of a block; clips lie across the edges of blocks
        monkeypatch.setattr(kernels, "_BLOCK", vectors * 48)
        np.testing.assert_allclose(KernelSums(clips, gaussian_kernel(1.5)).sums, direct, rtol=1e-12)


def test_the_order_of_vectors_does_not_matter() -> None:
    x, y = two_sets()
    order = np.random.default_rng(7).permutation(30)
    assert kad(x[order], y[::-1]) == kad(x, y)
    assert kid(x[order], y[::-1]) == kid(x, y)
    owners = np.arange(30) // 3
    assert kid(x[order], y, owners=(owners[order], np.arange(40))) == kid(x, y, owners=(owners, np.arange(40)))


def test_bad_input_is_refused_in_a_sentence() -> None:
    x, y = two_sets()
    with pytest.raises(UserError, match="found one"):
        kad(x[:1], y)
    with pytest.raises(UserError, match="at least two clips"):
        kid(x, y, owners=(np.zeros(30, dtype=np.int64), np.arange(40)))
    with pytest.raises(UserError, match="no bandwidth"):
        median_distance(np.ones((5, 3)))
    with pytest.raises(UserError, match="NaN"):
        kid(x, np.full_like(y, np.inf))

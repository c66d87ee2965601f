"""Inception score against golden numbers of audioldm_eval, torchmetrics and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench import UserError
from asdbench.metrics.audio.inception import inception_score, weighted_score


def test_golden_numbers_of_audioldm_eval() -> None:
    import torch

    logits = (3 * torch.randn(50, 527, generator=torch.Generator().manual_seed(3))).numpy()
    ten, one = inception_score(logits, preset="audioldm"), inception_score(logits)
    assert ten.mean == pytest.approx(4.04927868, rel=1e-6)
    assert one.mean == pytest.approx(16.31793361, rel=1e-6)
    assert (ten.splits, one.splits, one.clips) == (10, 1, 50)
    assert ten.mean <= 5  # cannot exceed the clips of a split


def test_it_equals_torchmetrics() -> None:
    import torch
    from torchmetrics.image.inception import InceptionScore

    logits = torch.randn(40, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Same(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    metric = InceptionScore(feature=Same(), splits=1).set_dtype(torch.float64)
    metric.update(logits)
    assert inception_score(logits.numpy()).mean == pytest.approx(float(metric.compute()[0]), rel=1e-6)


def test_equal_clips_score_one_and_different_ones_their_number() -> None:
    assert inception_score(np.ones((7, 5))).mean == pytest.approx(1.0, rel=1e-12)
    assert inception_score(1000 * np.eye(7)).mean == pytest.approx(7.0, rel=1e-12)
    assert inception_score(1000 * np.eye(8), splits=2).mean == pytest.approx(4.0, rel=1e-12)


def test_weights_are_repeated_clips() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 4))
    weights = np.array([2, 0, 1, 1, 0, 3])
    assert weighted_score(logits, weights) == pytest.approx(
        weighted_score(np.repeat(logits, weights, axis=0)), rel=1e-12
    )


def test_bad_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="5 clips in 10 splits"):
        inception_score(np.ones((5, 3)), preset="audioldm")
    with pytest.raises(UserError, match="did you mean 'audioldm'"):
        inception_score(np.ones((5, 3)), preset="audio_ldm")
    with pytest.raises(UserError, match="NaN"):
        inception_score(np.full((5, 3), np.nan))

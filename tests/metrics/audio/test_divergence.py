"""KL against golden numbers of audioldm_eval, scipy and hand-made distributions; and who is paired with whom."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from asdbench import UserError
from asdbench.metrics.audio.divergence import kl, kl_matrix, kl_of_pairs, paired_kl, pairings


@pytest.fixture(scope="session")
def golden_logits() -> tuple[np.ndarray, np.ndarray]:
    import torch

    generator = torch.Generator().manual_seed(3)
    first = 3 * torch.randn(50, 527, generator=generator)
    return first.numpy(), (first + torch.randn(50, 527, generator=generator)).numpy()


def test_golden_number_of_audioldm_eval(golden_logits: tuple[np.ndarray, np.ndarray]) -> None:
    made, real = golden_logits
    assert kl(real, made, "audioldm") == pytest.approx(0.42053388, rel=1e-6)
    assert kl(real, made, "audiocraft") == kl(real, made, "audioldm")


def test_it_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9), (2, 6))
    expected = [scipy.stats.entropy(a, b) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(kl_of_pairs(np.log(p) + 5, np.log(q) - 2), expected, rtol=1e-12)
    backwards = np.mean([np.sum(b * np.log(b / (a + 1e-6))) for a, b in zip(p, q, strict=True)])
    assert kl(np.log(p), np.log(q), "sam") == pytest.approx(backwards, rel=1e-12)


def test_equal_distributions_are_zero_but_for_those_who_add_an_epsilon() -> None:
    logits = np.random.default_rng(1).standard_normal((4, 527))
    assert kl(logits, logits) == 0.0
    assert -6e-4 < kl(logits, logits, "audioldm") < -4e-4


def test_certain_classifiers_give_large_and_finite_values() -> None:
    sure = 1000 * np.eye(3)
    assert kl(sure, sure[::-1]) == pytest.approx(2000 / 3 * 1, rel=1e-12)


@pytest.mark.parametrize("definition", ["exact", "audioldm", "sam"])
def test_the_matrix_holds_every_pair(definition: str) -> None:
    real, made = np.random.default_rng(2).standard_normal((2, 5, 7))
    matrix = kl_matrix(real, made[:3], definition)
    for i in range(5):
        for j in range(3):
            assert matrix[i, j] == pytest.approx(kl(real[i : i + 1], made[j : j + 1], definition), rel=1e-9)


def test_pairs_share_their_key_and_use_real_clips_evenly() -> None:
    real, made = ["a", "b", "a", "c", "a"], ["a", "a", "a", "a", "b", "d"]
    rounds = pairings(real, made, rounds=5)
    for of_real, of_made in rounds:
        assert [real[i] for i in of_real] == [made[i] for i in of_made]
        assert sorted(of_made) == [0, 1, 2, 3, 4]  # nothing real is like "d"
        assert set(of_real[:4]) == {0, 2, 4}  # three real clips of "a" for four: each before one comes twice
    assert len({tuple(of_real) for of_real, _ in rounds}) > 1
    again = pairings(real, made, rounds=5)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(rounds, again, strict=True))


def test_many_pairings_come_to_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(3)
    real, made = rng.standard_normal((4, 5)), rng.standard_normal((6, 5))
    value, scatter = paired_kl(real, made, pairings(["x"] * 4, ["x"] * 6, rounds=300))
    assert value == pytest.approx(kl_matrix(real, made).mean(), abs=4 * scatter / np.sqrt(300))
    assert scatter > 0


def test_bad_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="no real and generated clip"):
        pairings(["a"], ["b"])
    with pytest.raises(UserError, match="did you mean 'audioldm'"):
        kl(np.ones((2, 2)), np.ones((2, 2)), "audioldm2")
    with pytest.raises(UserError, match="3 reference and 2 generated"):
        kl(np.ones((3, 2)), np.ones((2, 2)))

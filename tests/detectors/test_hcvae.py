"""The hierarchical conditional autoencoder against torch's distributions, hand-worked conditions, and its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as oracle

from asdbench.detectors.hcvae import HierarchicalCvae
from asdbench.detectors.hcvae.conditions import Conditions, most_frequent
from asdbench.detectors.hcvae.network import HierarchicalAutoencoder, loss_of
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "n_mels": 32, "batch_size": 64}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("unknown", ["blank", "best"])
def test_contract(unknown):
    check_detector(HierarchicalCvae, unknown=unknown, **SMALL)


def test_conditions_are_ones_at_what_is_known():
    known = Conditions.of(["01", "00", "00"], [{"vel": "6", "loc": "A"}, {"vel": "12"}, {}])
    assert known.sections == ["00", "01"]
    assert known.values == [["loc", "A"], ["vel", "12"], ["vel", "6"]]
    assert known.section("01").tolist() == [0, 1]
    assert known.section("07").tolist() == [0, 0]
    assert known.attributes({"vel": "6", "loc": "A"}).tolist() == [1, 0, 1]
    assert known.attributes({"vel": "7", "load": "2"}).tolist() == [0, 0, 0]
    assert known.attributes({}).tolist() == [0, 0, 0]


def test_candidates_are_the_most_frequent_conditions():
    rows = np.array([[0, 1], [1, 0], [1, 0], [0, 0], [0, 1], [1, 0]], dtype=np.float32)
    assert most_frequent(rows, 2).tolist() == [[1, 0], [0, 1]]
    assert most_frequent(rows, 9).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert most_frequent(np.zeros((4, 0), dtype=np.float32), 9).shape == (1, 0)


def test_error_and_divergence_are_those_of_torchs_distributions():
    network = HierarchicalAutoencoder(3, 2, (8,), (2, 3), (2, 4)).eval()
    vectors, upper, lower = random(5, 6), torch.eye(2)[[0, 1, 0, 1, 0]], torch.eye(4)[[0, 1, 2, 3, 0]]

    def normal(layer, *inputs):
        mean, log_variance = layer(torch.cat(inputs, dim=1)).chunk(2, dim=1)
        return Normal(mean, torch.exp(log_variance / 2))

    error, divergence = network(vectors, upper, lower)
    trunk = network.trunk(vectors)
    first = normal(network.posterior_1, trunk, upper)
    second = normal(network.posterior_2, trunk, first.mean, upper, lower)
    above = oracle(first, normal(network.prior_1, upper)).sum(1)
    below = oracle(second, normal(network.prior_2, first.mean, upper, lower)).sum(1)
    rebuilt = network.decoder(torch.cat([first.mean, second.mean, upper, lower], dim=1))
    constant = vectors.shape[1] / 2 * np.log(2 * np.pi)
    assert torch.allclose(divergence, above + below, rtol=1e-5)
    assert torch.allclose(error, -Normal(rebuilt, 1.0).log_prob(vectors).sum(1) - constant, rtol=1e-4)


def test_vectors_have_the_conditions_of_their_clips():
    network = HierarchicalAutoencoder(3, 2, (8,), (2, 3), (2, 4)).eval()
    upper, lower = torch.eye(2), torch.eye(4)[:2]
    clip_of = torch.tensor([0, 0, 0, 1, 1, 1])
    vectors, rows = random(3, 6), torch.tensor([4, 0, 1])
    clips = [1, 0, 0]
    error, divergence = network(vectors, upper[clips], lower[clips])
    found = loss_of(network, upper, lower, clip_of, blank=0.5)(vectors, rows)
    assert found.item() == pytest.approx((error + divergence).mean().item() * 2 / 6, rel=1e-6)


@pytest.mark.parametrize("blank", [0.0, 1.0])
def test_blanked_conditions_are_not_seen_in_training(blank):
    network = HierarchicalAutoencoder(3, 2, (8,), (2, 3), (2, 4)).train()
    conditions = [torch.ones(1, 2, requires_grad=True), torch.ones(1, 4, requires_grad=True)]
    loss_of(network, *conditions, torch.zeros(9, dtype=torch.int64), blank)(random(8, 6), torch.arange(8)).backward()
    for condition in conditions:
        assert bool((condition.grad == 0).all()) is (blank == 1.0)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    detector = HierarchicalCvae(epochs=40, n_mels=32, batch_size=64)
    detector.fit(example_clips(folder, anomaly=0))
    return detector, example_clips(folder, 6, 4, "test")


def as_unknown(detector, unknown):
    other = HierarchicalCvae(**{**detector.settings(late=False), "unknown": unknown})
    other.set_state(detector.get_state())
    return other


def score_under(detector, clips, lowers):
    network, scores = detector._trained(), []
    for vectors, rows in zip(detector._vectors(clips), lowers, strict=True):
        ones = torch.ones(len(vectors), 1)
        with torch.no_grad():
            tried = [sum(network(vectors, ones, ones * torch.tensor(row)[None])).mean().item() for row in rows]
        scores.append(min(tried))
    return scores


def test_the_score_is_the_bound_under_the_conditions_that_are_known_or_tried(fitted):
    detector, clips = fitted
    assert detector.values_ == [["vel", "0"], ["vel", "1"]]
    given = [[[1.0, 0.0] if clip["vel"] == "0" else [0.0, 1.0]] for clip in clips.frame["attributes"]]
    assert detector.score(clips) == pytest.approx(score_under(detector, clips, given), rel=1e-5)
    blanked = clips.without_labels()
    blank, both = [[[0.0, 0.0]]] * len(clips), [[[1.0, 0.0], [0.0, 1.0]]] * len(clips)
    assert as_unknown(detector, "blank").score(blanked) == pytest.approx(score_under(detector, clips, blank), rel=1e-5)
    assert as_unknown(detector, "best").score(blanked) == pytest.approx(score_under(detector, clips, both), rel=1e-5)


def test_a_section_that_was_not_in_training_can_be_scored(fitted):
    detector, clips = fitted
    other = clips.select(np.arange(2))
    other.frame["section"] = "05"
    assert np.isfinite(detector.score(other)).all()
    assert (detector.score(other) != detector.score(clips.select(np.arange(2)))).all()


def test_a_loud_whistle_scores_higher(fitted):
    detector, clips = fitted
    anomalous = (clips.frame["condition"] == "anomaly").to_numpy()
    for unknown in ("blank", "best"):
        scores = as_unknown(detector, unknown).score(clips.without_labels())
        assert scores[anomalous].min() > scores[~anomalous].max()


def test_how_the_unknown_is_met_is_a_matter_of_scoring():
    assert HierarchicalCvae.setting_names(late=True) == ["unknown", "candidates"]

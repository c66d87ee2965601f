"""The deep autoencoding Gaussian mixture against scikit-learn's mixture, closed forms, and its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from asdbench.detectors.dagmm import DeepGaussianMixture
from asdbench.detectors.dagmm.network import DeepMixture, loss_of, mixture_of
from asdbench.detectors.dagmm.sizes import clusters_by_gap, principal_components
from asdbench.detectors.shared.mixture import Mixture
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "n_mels": 32, "batch_size": 64}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scikit_learn_mixture(mixture):
    """scikit-learn's mixture with the same parameters."""
    oracle = GaussianMixture(len(mixture.weights))
    oracle.weights_, oracle.means_ = mixture.weights.numpy(), mixture.means.numpy()
    oracle.covariances_ = mixture.covariances.numpy()
    oracle.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(oracle.covariances_)).transpose(0, 2, 1)
    return oracle


@pytest.mark.parametrize("settings", [{}, {"components": 1, "bottleneck": 1}, {"bottleneck": 0}])
def test_contract(settings):
    check_detector(DeepGaussianMixture, **SMALL, **settings)


def test_the_energy_is_minus_the_log_likelihood_of_scikit_learn():
    points = torch.cat([random(200, 3), 2 * random(100, 3, seed=1) + 5])
    oracle = GaussianMixture(3, random_state=0).fit(points.numpy())
    mixture = Mixture.from_arrays(
        {"weights": oracle.weights_, "means": oracle.means_, "covariances": oracle.covariances_}
    )
    far = torch.cat([points, 100 * random(20, 3, seed=2)])
    assert np.allclose(mixture.energy(far).numpy(), -oracle.score_samples(far.numpy()), rtol=1e-9)


def test_memberships_of_a_converged_mixture_give_it_again():
    points = torch.cat([random(300, 2), random(200, 2, seed=1) + 8]).numpy()
    oracle = GaussianMixture(2, random_state=0, tol=1e-12, max_iter=500, reg_covar=1e-6).fit(points)
    mixture = Mixture.of(torch.tensor(points), torch.tensor(oracle.predict_proba(points)), floor=1e-6)
    assert np.allclose(mixture.weights.numpy(), oracle.weights_, rtol=1e-6)
    assert np.allclose(mixture.means.numpy(), oracle.means_, rtol=1e-6, atol=1e-6)
    assert np.allclose(mixture.covariances.numpy(), oracle.covariances_, rtol=1e-6, atol=1e-6)


def test_a_mixture_of_soft_memberships_has_weighted_moments():
    points, memberships = random(50, 3), torch.softmax(random(50, 4, seed=1), dim=1)
    mixture = Mixture.of(points, memberships, floor=0.25)
    for component in range(4):
        weights = memberships[:, component].numpy()
        covariance = np.cov(points.numpy(), rowvar=False, aweights=weights, bias=True)
        assert mixture.weights[component].item() == pytest.approx(weights.mean())
        assert np.allclose(mixture.means[component], np.average(points.numpy(), axis=0, weights=weights))
        assert np.allclose(mixture.covariances[component], covariance + 0.25 * np.eye(3))


def test_a_component_without_points_and_points_without_spread_leave_the_energy_finite():
    points = torch.ones(10, 2, dtype=torch.float64)
    memberships = torch.zeros(10, 2, dtype=torch.float64)
    memberships[:, 0] = 1
    mixture = Mixture.of(points, memberships, floor=1e-6)
    assert torch.isfinite(mixture.energy(random(5, 2))).all()


def test_the_energy_can_be_differentiated():
    mixture = Mixture.of(random(30, 2), torch.softmax(random(30, 2, seed=1), dim=1), floor=1e-6)
    assert torch.autograd.gradcheck(mixture.energy, random(4, 2, seed=2).requires_grad_())


def test_the_features_are_code_relative_distance_and_cosine():
    network = DeepMixture(3, 2, (8,), 2, 2).eval()
    vectors = random(5, 6).float()
    errors, features, memberships = network(vectors)
    code = network.encoder(vectors)
    x, y = vectors.double(), network.decoder(code).double()
    assert features.shape == (5, 4)
    assert memberships.sum(dim=1).tolist() == pytest.approx([1] * 5)
    assert torch.allclose(features[:, :2], code.double())
    assert torch.allclose(features[:, 2], ((x - y) ** 2).sum(1).sqrt() / (x**2).sum(1).sqrt(), atol=1e-6)
    assert torch.allclose(features[:, 3], (x * y).sum(1) / (x**2).sum(1).sqrt() / (y**2).sum(1).sqrt(), atol=1e-6)
    assert torch.allclose(errors.double(), ((x - y) ** 2).sum(1), atol=1e-5)


def test_the_loss_is_reconstruction_energy_and_inverse_variances():
    network = DeepMixture(3, 2, (8,), 2, 2).eval()
    vectors = random(40, 6).float()
    with torch.no_grad():
        found = loss_of(network, 0.1, 0.005, 1e-6)(vectors, torch.arange(40)).item()
        errors, features, memberships = network(vectors)
        mixture = Mixture.of(features, memberships, 1e-6)
        energy = -scikit_learn_mixture(mixture).score(features.numpy())
    penalty = sum(1 / mixture.covariances[k, d, d].item() for k in range(2) for d in range(4))
    assert found == pytest.approx(errors.mean().item() + 0.1 * energy + 0.005 * penalty, rel=1e-5)


def test_the_mixture_is_that_of_the_given_vectors_in_parts_or_whole(monkeypatch):
    network = DeepMixture(3, 2, (8,), 2, 2).eval()
    vectors, rows = random(100, 6).float(), torch.arange(10, 90)
    with torch.no_grad():
        _, features, memberships = network(vectors[rows])
    whole = Mixture.of(features, memberships, 1e-6)
    for part in (4096, 30):
        monkeypatch.setattr("asdbench.detectors.dagmm.network._PART", part)
        found = mixture_of(network, vectors, rows, torch.device("cpu"), 1e-6)
        for name, array in found.to_arrays().items():
            assert np.allclose(array, whole.to_arrays()[name], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_the_dimensions_are_those_of_scikit_learns_principal_components(share):
    vectors = (random(200, 6) * torch.tensor([5.0, 3, 2, 1, 0.5, 0.1])).numpy() @ np.linalg.qr(random(6, 6).numpy())[0]
    oracle = PCA(6 if share == 1 else share, svd_solver="full").fit_transform(vectors)
    found = principal_components(vectors, share)
    assert found.shape == oracle.shape
    assert np.allclose(np.abs(found), np.abs(oracle))


def test_a_share_of_all_keeps_every_dimension():
    kept = {principal_components(np.random.default_rng(seed).random((200, 64)), 1.0).shape[1] for seed in range(20)}
    assert kept <= {63, 64}  # a share of 1 may be reached, to rounding, one before the last


def test_vectors_that_are_all_the_same_have_one_dimension():
    assert principal_components(np.ones((20, 3)), 0.9).shape == (20, 1)


@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_the_gap_statistic_counts_clusters(clusters):
    rng = np.random.default_rng(0)
    centres = 12 * np.stack([np.arange(clusters), np.arange(clusters) % 2], axis=1)
    points = np.concatenate([centre + rng.standard_normal((40, 2)) for centre in centres])
    assert clusters_by_gap(points, 5, rng) == clusters


def test_one_point_is_one_cluster():
    assert clusters_by_gap(np.zeros((1, 2)), 5, np.random.default_rng(0)) == 1


def test_sizes_of_zero_are_chosen_from_the_vectors(tmp_path):
    detector = DeepGaussianMixture(**SMALL, bottleneck=0, components=0, eigenvalue_share=0.5)
    detector.fit(example_clips(tmp_path, 6, 0))
    dimensions, components = detector.sizes_
    assert 1 <= dimensions <= 16
    assert detector.mixture_["means"].shape == (components, dimensions + 2)
    fixed = DeepGaussianMixture(**SMALL, bottleneck=3, components=2)
    fixed.fit(example_clips(tmp_path, 6, 0))
    assert fixed.sizes_ == [3, 2]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    detector = DeepGaussianMixture(epochs=40, n_mels=32, batch_size=64)
    detector.fit(example_clips(folder, anomaly=0))
    return detector, example_clips(folder, 6, 4, "test")


def test_scores_are_mean_energies_of_scikit_learns_mixture(fitted):
    detector, clips = fitted
    network, oracle = detector._trained(), scikit_learn_mixture(Mixture.from_arrays(detector.mixture_))
    scores = detector.score(clips)
    for index, vectors in enumerate(detector._vectors(clips)):
        with torch.no_grad():
            features = network(vectors)[1].numpy()
        assert scores[index] == pytest.approx(-oracle.score_samples(features).mean(), rel=1e-6)


def test_a_loud_whistle_scores_higher(fitted):
    detector, clips = fitted
    scores, anomalous = detector.score(clips), (clips.frame["condition"] == "anomaly").to_numpy()
    assert scores[anomalous].min() > scores[~anomalous].max()

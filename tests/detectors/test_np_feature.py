"""The Neyman-Pearson feature extractor against hand-worked rates, scikit-learn, truncated normals, and its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture

from asdbench.detectors.np_feature import NeymanPearsonFeature
from asdbench.detectors.np_feature.network import (
    FeatureExtractor,
    NormalModel,
    loss_of,
    neyman_pearson,
    normal_model,
    simulate_anomalies,
)
from asdbench.detectors.shared.frames import Frames
from asdbench.detectors.shared.mixture import Mixture
from asdbench.detectors.shared.networks import seeded
from asdbench.detectors.shared.training import Trainer, Training
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "n_mels": 16, "batch_size": 64}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def identity(size):
    """A feature extractor whose features are its input, and whose decoder gives them back."""
    network = FeatureExtractor(size, 1, (), size)
    with torch.no_grad():
        for layer in (network.encoder[0], network.decoder[0]):
            layer.weight.zero_()
            layer.weight[:size] = torch.eye(size)
            layer.bias.zero_()
    return network


def standard(threshold, size=1):
    """A normal model that is the standard normal distribution."""
    one = torch.ones(1, dtype=torch.float64)
    return NormalModel(Mixture(one, torch.zeros(1, size).double(), torch.eye(size).double()[None]), threshold)


@pytest.mark.parametrize("settings", [{}, {"components": 1, "weight": 0}, {"stacked": 3, "hidden": [8], "warm_up": 1}])
def test_contract(settings):
    check_detector(NeymanPearsonFeature, **SMALL, **settings)


def test_the_objective_is_the_true_less_the_false_positive_rate_where_steps_are_steep():
    normal, anomalous = torch.tensor([0.0, 1, 2, 3, 9]), torch.tensor([1.0, 5, 6, 7])
    assert neyman_pearson(normal, anomalous, 4.0, 1e-3).item() == pytest.approx(3 / 4 - 1 / 5)
    assert neyman_pearson(normal, anomalous, 4.0, 1e6).item() == pytest.approx(0, abs=1e-5)
    found = neyman_pearson(torch.tensor([3.0]), torch.tensor([6.0]), 4.0, 2.0).item()
    assert found == pytest.approx(1 / (1 + np.exp(-1)) - 1 / (1 + np.exp(0.5)), rel=1e-6)


def test_the_normal_model_is_scikit_learns_and_a_share_rho_lies_above_its_threshold():
    vectors = torch.cat([random(600, 2), random(400, 2, seed=1) + 6])
    model = normal_model(identity(2), vectors.split(300), components=2, rho=0.05, seed=0)
    oracle = GaussianMixture(2, reg_covar=1e-3, init_params="k-means++", random_state=0).fit(vectors.double().numpy())
    energies = -oracle.score_samples(vectors.double().numpy())
    assert np.allclose(model.mixture.energy(vectors.double()).numpy(), energies, rtol=1e-6)
    assert (energies > model.threshold).mean() == pytest.approx(0.05, abs=1e-9)


def test_simulated_anomalies_are_those_draws_that_the_normal_model_finds_unlikely():
    limit, spread = 1.5, 2.0
    threshold = limit**2 / 2 + np.log(2 * np.pi) / 2  # the energy of the standard normal at the limit
    with seeded(0), torch.no_grad():
        drawn = simulate_anomalies(identity(1), random(20000, 1), standard(threshold), spread)[:, 0].numpy()
    assert np.abs(drawn).min() >= limit
    tails = stats.truncnorm(limit / spread, np.inf, scale=spread)
    assert stats.kstest(np.abs(drawn), tails.cdf).pvalue > 0.01
    assert (drawn > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_simulated_sound_keeps_what_the_decoder_leaves_unexplained():
    network = FeatureExtractor(3, 2, (8,), 2)
    unit = random(50, 6)
    with torch.no_grad():
        code = network.encoder(unit)[:, :2]
        with seeded(0):
            sounds = simulate_anomalies(network, unit, standard(2.0, size=2), 2.0)
        decoded = sounds - (unit - network.decoder(code))
        with seeded(0):
            again = simulate_anomalies(network, 0 * unit, standard(2.0, size=2), 2.0)
        zero = network.decoder(network.encoder(0 * unit)[:, :2])
    assert torch.allclose(decoded, again + zero, atol=1e-5)


def test_the_objective_raises_the_true_positive_rate_at_a_false_positive_rate():
    mel = random(600, 4).cumsum(dim=0).sin() + 0.1 * random(600, 4, seed=1)
    frames = Frames(mel, [600], 3)
    vectors, rates = frames.windows(), {}
    for weight in (0.0, 5.0):
        with seeded(0):
            network = FeatureExtractor(4, 3, (32,), 4)
        network.scale.learn(mel)
        unit = network.scale(vectors)
        trainer = Trainer(network, frames, Training(32, 64, 3e-3, 0.0, 0), torch.device("cpu"))
        for _ in range(16):  # the same for both weights
            trainer.epoch(loss_of(network, None, 0.05, weight, 2.0))
        normal = normal_model(network, [vectors], 2, 0.05, 0)
        with seeded(1), torch.no_grad():
            anomalous = simulate_anomalies(network, unit, normal, 2.0)
        for _ in range(16):
            trainer.epoch(loss_of(network, normal, 0.05, weight, 2.0))
            normal = normal_model(network, [vectors], 2, 0.05, 0)
        with torch.no_grad():
            energies = [normal.mixture.energy(network.features(sounds)) for sounds in (anomalous, unit)]
        rates[weight], false_positive = [(values > normal.threshold).double().mean().item() for values in energies]
        assert false_positive == pytest.approx(0.05, abs=0.005)
    assert rates[5.0] > rates[0.0] + 0.05, rates


def test_mere_scaling_of_the_features_does_not_change_the_loss():
    unit = random(200, 2)
    losses = []
    for factor in (1.0, 100.0):
        network = identity(2)
        with torch.no_grad():
            network.encoder[0].weight[:2] *= factor
            network.decoder[0].weight /= factor
        network.bound = lambda unit: torch.zeros(())
        model = normal_model(network, [unit], 1, 0.05, 0)
        with seeded(0):
            losses.append(loss_of(network, model, 0.05, 1.0, 2.0)(unit, torch.arange(200)).item())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] < -0.1


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    detector = NeymanPearsonFeature(epochs=30, n_mels=32, batch_size=64)
    detector.fit(example_clips(folder, anomaly=0))
    return detector, example_clips(folder, 6, 4, "test")


def test_scores_are_mean_energies_of_the_features(fitted):
    detector, clips = fitted
    network, mixture = detector._trained(), detector.mixture_
    components = [
        stats.multivariate_normal(m, c) for m, c in zip(mixture["means"], mixture["covariances"], strict=True)
    ]
    scores = detector.score(clips)
    for index, vectors in enumerate(detector._vectors(clips)):
        with torch.no_grad():
            features = network.encoder(network.scale(vectors)).chunk(2, dim=1)[0].double().numpy()
        densities = np.array([component.logpdf(features) for component in components])
        likelihood = np.logaddexp.reduce(densities + np.log(mixture["weights"])[:, None], axis=0)
        assert scores[index] == pytest.approx(-likelihood.mean(), rel=1e-6)


def test_a_loud_whistle_scores_higher(fitted):
    detector, clips = fitted
    scores, anomalous = detector.score(clips), (clips.frame["condition"] == "anomaly").to_numpy()
    assert scores[anomalous].min() > scores[~anomalous].max()

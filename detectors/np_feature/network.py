"""The feature extractor, its normal model, simulated anomalies, and the objective of the Neyman-Pearson lemma."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from ..shared.gaussian import Gaussian, kl_divergence
from ..shared.mixture import Mixture
from ..shared.networks import BandScale, layers
from ..shared.training import Loss

_FLOOR = 1e-3
_TRIES = 20  # the last draw is taken as it is


class FeatureExtractor(nn.Module):
    """A variational autoencoder; the mean of its latent vector is the feature.

    Attributes:
        scale: scaling of the bands, to be learnt from the training frames before training.
    """

    def __init__(self, n_mels: int, stacked: int, hidden: Sequence[int], features: int) -> None:
        super().__init__()
        self.scale = BandScale(n_mels)
        self.encoder = nn.Sequential(*layers([stacked * n_mels, *hidden, 2 * features], nn.ReLU))
        self.decoder = nn.Sequential(*layers([features, *reversed(hidden), stacked * n_mels], nn.ReLU))

    def features(self, unit: Tensor) -> Tensor:
        """Features of scaled vectors, shape (num_vectors, features), float64, on the CPU where there is no other."""
        features = Gaussian.of(self.encoder(unit)).mean
        return (features.cpu() if features.device.type == "mps" else features).double()

    def bound(self, unit: Tensor) -> Tensor:
        """Minus the evidence bound of scaled vectors up to a constant, per band, with unit variance; their mean."""
        posterior = Gaussian.of(self.encoder(unit))
        code = posterior.sample() if self.training else posterior.mean
        error = (unit - self.decoder(code)).square().sum(dim=1) / 2
        return (error + kl_divergence(posterior)).mean() * 2 / unit.shape[1]


@dataclass(frozen=True)
class NormalModel:
    """What features of normal sound are like.

    Attributes:
        mixture: their Gaussian mixture; its energy is the anomaly score.
        threshold: the energy that a share rho of them exceeds.
    """

    mixture: Mixture
    threshold: float


def normal_model(
    network: FeatureExtractor, batches: Iterable[Tensor], components: int, rho: float, seed: int
) -> NormalModel:
    """Fit the normal model to normal vectors, given in batches; as many components as there are vectors at most."""
    network.eval()
    with torch.inference_mode():
        features = torch.cat([network.features(network.scale(batch)) for batch in batches])
    components = min(components, len(features))
    estimator = GaussianMixture(components, reg_covar=_FLOOR, init_params="k-means++", random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next round goes on from other features anyway
        estimator.fit(features.cpu().numpy())
    mixture = Mixture.from_arrays(
        {"weights": estimator.weights_, "means": estimator.means_, "covariances": estimator.covariances_}
    ).to(features.device)
    return NormalModel(mixture, float(torch.quantile(mixture.energy(features), 1 - rho)))


def simulate_anomalies(network: FeatureExtractor, unit: Tensor, normal: NormalModel, spread: float) -> Tensor:
    """Draw sounds that the normal model finds unlikely, by rejection sampling in the feature space.

    Args:
        network: the feature extractor; its decoder turns features into sound.
        unit: scaled vectors of normal sound, shape (num_vectors, size).
        normal: the normal model; features are accepted whose energy is above its threshold.
        spread: how many times wider features of all sounds, normal and other, are spread than those of normal ones.

    Returns:
        One scaled vector for each of ``unit``: accepted features, decoded, with what the decoder leaves unexplained in
        that normal vector, so that not the lack of noise tells simulated from recorded sound.
    """
    code = Gaussian.of(network.encoder(unit)).mean
    mean, deviation = (part.to(code) for part in normal.mixture.moments())
    features, missing = code.clone(), torch.arange(len(unit), device=unit.device)
    for _ in range(_TRIES):
        features[missing] = mean + spread * deviation * torch.randn_like(code[missing])
        energies = normal.mixture.energy(features[missing].to(normal.mixture.means))
        missing = missing[(energies <= normal.threshold).to(missing.device)]
        if not len(missing):
            break
    return network.decoder(features) + unit - network.decoder(code)


def neyman_pearson(normal: Tensor, anomalous: Tensor, threshold: float, width: float) -> Tensor:
    """The objective: the true positive rate less the false positive rate at a threshold, with soft steps.

    Args:
        normal: energies of normal sounds, shape (num_vectors,).
        anomalous: energies of simulated anomalies.
        threshold: what a share rho of the normal training energies exceeds.
        width: scale of the logistic function in place of the step.
    """
    true_positive, false_positive = (
        torch.sigmoid((energies - threshold) / width).mean() for energies in (anomalous, normal)
    )
    return true_positive - false_positive


def loss_of(network: FeatureExtractor, normal: NormalModel | None, rho: float, weight: float, spread: float) -> Loss:
    """The loss: minus the evidence bound, and minus the objective where there is a normal model yet."""

    def loss(vectors: Tensor, rows: Tensor) -> Tensor:
        unit = network.scale(vectors)
        bound = network.bound(unit)
        if normal is None:
            return bound
        with torch.no_grad():
            anomalous = simulate_anomalies(network, unit, normal, spread)
        features = network.features(unit)
        # The normal model follows the features, else they could be made likelier by mere shrinking.
        mixture = Mixture.of(features, normal.mixture.memberships(features.detach()), _FLOOR)
        energies = mixture.energy(features)
        threshold = float(torch.quantile(energies.detach(), 1 - rho))
        width = max(float(energies.detach().std(correction=0)), _FLOOR)
        objective = neyman_pearson(energies, mixture.energy(network.features(anomalous)), threshold, width)
        return bound - weight * objective.to(bound)

    return loss

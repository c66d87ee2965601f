"""Deep autoencoding Gaussian mixture model on stacked log-mel frames.

Sources: B. Zong et al., "Deep autoencoding Gaussian mixture model for unsupervised anomaly detection", ICLR 2018 (the
two networks, the features of the reconstruction, the loss and its weights); H. Purohit et al., "Deep autoencoding
GMM-based unsupervised anomaly detection in acoustic signals and its hyper-parameter optimization", DCASE Workshop 2020
(arXiv:2009.12042; its use for machine sound, with the bottleneck chosen by cumulative eigenvalues and the components by
the gap statistic: ``bottleneck: 0``, ``components: 0``).

Ours are: frames, layers and batch size; the default sizes, which are fixed since what is chosen differs from machine to
machine; the share of the eigenvalues; bands scaled to mean 0 and variance 1; what is added to the variances; the mean
of the energies of a clip's vectors as its score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from asdbench import ClipSet, detector, setting

from ..shared.detector import FrameDetector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..shared.frames import Frames
    from .network import DeepMixture

__all__ = ["DeepGaussianMixture"]

_SAMPLE = 2000  # vectors that sizes are chosen from
_MOST = 16  # dimensions or components


@detector("dagmm")
class DeepGaussianMixture(FrameDetector):
    """Deep autoencoding Gaussian mixture: energy of a vector's code and reconstruction error in a learnt mixture."""

    epochs: int = setting(50, ge=1, description="training epochs")
    batch_size: int = setting(1024, ge=2, description="vectors in a training batch; each has its own mixture")
    n_mels: int = setting(64, ge=1, description="mel bands")
    hidden: tuple[PositiveInt, ...] = setting(
        (64, 32), min_length=1, description="units of the layers before the bottleneck"
    )
    bottleneck: int = setting(8, ge=0, description="units of the bottleneck; 0: as many as the eigenvalues say")
    components: int = setting(4, ge=0, description="components of the mixture; 0: as many as the gap statistic says")
    eigenvalue_share: float = setting(
        0.7, gt=0, le=1, description="share of the variance that a chosen bottleneck holds, at most 16 dimensions"
    )
    energy_weight: float = setting(0.1, ge=0, description="weight of the energy in the loss (lambda 1)")
    variance_weight: float = setting(0.005, ge=0, description="weight of the inverse variances in the loss (lambda 2)")
    floor: float = setting(1e-6, gt=0, description="what is added to the variances of a component")

    def fit(self, clips: ClipSet) -> None:
        import numpy as np
        import torch

        from ..shared.networks import to_arrays
        from ..shared.training import train
        from .network import loss_of, mixture_of

        frames, device = self._frames(clips), self._device()
        self.sizes_ = self._choose_sizes(frames)
        network = self._network()
        network.scale.learn(frames.mel)
        loss = loss_of(network, self.energy_weight, self.variance_weight, self.floor)
        self.history_ = train(network, frames, self._training(), device, loss)
        rows = torch.from_numpy(np.concatenate(frames.starts()))
        self.mixture_ = mixture_of(network, frames.windows(), rows, device, self.floor).to_arrays()
        self.weights_ = to_arrays(network)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np
        import torch

        from ..shared.mixture import Mixture

        network, mixture = self._trained(), Mixture.from_arrays(self.mixture_)
        with torch.inference_mode():
            return np.array([float(mixture.energy(network(v)[1].cpu()).mean()) for v in self._vectors(clips)])

    def _network(self) -> DeepMixture:
        from ..shared.networks import seeded
        from .network import DeepMixture

        with seeded(self.seed):
            return DeepMixture(self.n_mels, self.stacked, self.hidden, *self.sizes_)

    def _choose_sizes(self, frames: Frames) -> list[int]:
        """Bottleneck and components: as the settings say, or chosen from a sample of the vectors."""
        import numpy as np

        from ..shared.networks import BandScale
        from .sizes import clusters_by_gap, principal_components

        if self.bottleneck and self.components:
            return [self.bottleneck, self.components]
        scale, rng = BandScale(self.n_mels), self.rng("sizes")
        scale.learn(frames.mel)
        rows = np.concatenate(frames.starts())
        sample = rng.choice(rows, size=min(_SAMPLE, len(rows)), replace=False)
        points = principal_components(scale(frames.windows()[sample]).double().numpy(), self.eigenvalue_share)
        points = points[:, :_MOST]
        return [self.bottleneck or points.shape[1], self.components or clusters_by_gap(points, _MOST, rng)]

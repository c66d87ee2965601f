"""Acoustic feature extractor optimised by the Neyman-Pearson lemma.

Sources: Y. Koizumi et al., "Optimizing acoustic feature extractor for anomalous sound detection based on Neyman-Pearson
lemma", EUSIPCO 2017; Y. Koizumi et al., "Unsupervised detection of anomalous sound based on deep learning and the
Neyman-Pearson lemma", IEEE/ACM Trans. Audio, Speech, and Language Processing 27(1), 2019 (arXiv:1810.09133).

As published: a variational autoencoder extracts the features; a Gaussian mixture is their normal model and its energy
the score; the threshold is the energy that a share rho of normal sounds exceeds; anomalies are simulated by rejection
sampling, features that the normal model finds unlikely turned back into sound by the decoder; the extractor is trained
to raise the true less the false positive rate at the threshold, with logistic steps, in turn with the normal model.

Ours are: sizes; both objectives in one loss; all sounds modelled by a Gaussian wider than that of normal features,
where the authors had recordings of many other sounds; what the decoder leaves unexplained in a normal sound added to a
simulated one; the mixture's means and covariances following the features of each batch, without which shrinking all
features would lower the false positive rate; the mean of the energies of a clip's vectors as its score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from asdbench import ClipSet, detector, setting

from ..shared.detector import FrameDetector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .network import FeatureExtractor

__all__ = ["NeymanPearsonFeature"]

_SAMPLE = 20_000  # vectors that the normal model is fitted to


@detector("np_feature")
class NeymanPearsonFeature(FrameDetector):
    """Feature extractor that raises the true positive rate of simulated anomalies at a low false positive rate."""

    epochs: int = setting(30, ge=1, description="training epochs")
    batch_size: int = setting(512, ge=2, description="vectors in a training batch")
    n_mels: int = setting(40, ge=1, description="mel bands")
    stacked: int = setting(11, ge=1, description="consecutive frames in a vector")
    hidden: tuple[PositiveInt, ...] = setting(
        (128, 64), min_length=1, description="units of the layers before the features"
    )
    features: int = setting(16, ge=1, description="number of features")
    components: int = setting(4, ge=1, description="components of the normal model")
    rho: float = setting(0.05, gt=0, lt=1, description="false positive rate at which the true positive rate is raised")
    warm_up: float = setting(0.3, gt=0, le=1, description="share of the epochs without the Neyman-Pearson objective")
    weight: float = setting(1.0, ge=0, description="weight of that objective beside the evidence bound")
    spread: float = setting(2.0, gt=1, description="how many times wider all sounds are spread than normal ones")

    def fit(self, clips: ClipSet) -> None:
        from ..shared.networks import to_arrays
        from ..shared.training import Trainer
        from .network import loss_of, normal_model

        frames, network, device = self._frames(clips), self._network(), self._device()
        network.scale.learn(frames.mel)
        trainer, windows = Trainer(network, frames, self._training(), device), frames.windows()
        sample = trainer.rows[:_SAMPLE].split(4096)
        first = max(1, round(self.warm_up * self.epochs))
        self.history_ = {"loss": [], "held_out_loss": []}
        for epoch in range(self.epochs + 1):
            normal = None
            if epoch >= first or epoch == self.epochs:
                batches = (windows[rows].to(device) for rows in sample)
                normal = normal_model(network, batches, self.components, self.rho, self.seed)
            if epoch < self.epochs:
                loss = loss_of(network, normal, self.rho, self.weight, self.spread)
                self.history_["loss"].append(trainer.epoch(loss))
                if len(trainer.held_out):
                    self.history_["held_out_loss"].append(trainer.held_out_loss(loss))
        assert normal is not None
        self.mixture_ = normal.mixture.to_arrays()
        self.weights_ = to_arrays(network)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np
        import torch

        from ..shared.mixture import Mixture

        network, mixture = self._trained(), Mixture.from_arrays(self.mixture_)
        with torch.inference_mode():
            scaled = (network.scale(vectors) for vectors in self._vectors(clips))
            return np.array([float(mixture.energy(network.features(unit).cpu()).mean()) for unit in scaled])

    def _network(self) -> FeatureExtractor:
        from ..shared.networks import seeded
        from .network import FeatureExtractor

        with seeded(self.seed):
            return FeatureExtractor(self.n_mels, self.stacked, self.hidden, self.features)

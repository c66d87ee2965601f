"""The autoencoder baseline of DCASE Task 2, 2022 to 2024: mean squared error or selective Mahalanobis distance.

Sources: K. Dohi et al., "Description and discussion on DCASE 2023 challenge task 2: First-shot unsupervised anomalous
sound detection for machine condition monitoring", arXiv:2305.07828; N. Harada et al., "First-shot anomaly detection for
machine condition monitoring: a domain generalization baseline", EUSIPCO 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from asdbench import ClipSet, detector, setting

from ..shared.detector import FrameDetector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["DcaseAutoencoder"]


@detector("dcase_ae")
class DcaseAutoencoder(FrameDetector):
    """Autoencoder of DCASE Task 2 on five stacked log-mel frames, MSE or selective Mahalanobis score."""

    score_by: Literal["mse", "mahalanobis", "mahalanobis_frame"] = setting(
        "mse",
        alias="score",
        scoring=True,
        description="mse, mahalanobis (of the clip's mean residual frame) or mahalanobis_frame (mean over frames)",
    )
    width: int = setting(128, ge=1, description="units of a hidden layer")
    bottleneck: int = setting(8, ge=1, description="units of the bottleneck")

    def fit(self, clips: ClipSet) -> None:
        """Train the network, then gather the covariance of its residuals for each domain."""
        import torch

        from ..shared.networks import to_arrays
        from .mahalanobis import Covariance
        from .network import reconstruct, train

        frames, network, device = self._frames(clips), self._network(), self._device()
        self.history_ = train(network, frames, self._training(), device)
        covariances: dict[str, Covariance] = {}
        windows = frames.windows()
        for domain, rows in zip(clips.frame["domain"], frames.starts(), strict=True):
            residuals = reconstruct(network, windows[torch.from_numpy(rows)], device)
            covariances.setdefault(domain, Covariance(self.n_mels)).add(residuals.numpy())
        self.inverse_covariances_ = {domain: covariance.inverse() for domain, covariance in covariances.items()}
        self.weights_ = to_arrays(network)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        """Score each clip by itself, so that scores do not depend on what else is scored."""
        import numpy as np

        from .mahalanobis import distance
        from .residuals import digest_of, rows_of, summary_of

        network, device, weights = self._trained(), self._device(), digest_of(self.weights_)
        inverses = list(self.inverse_covariances_.values())
        scores = np.empty(len(clips))
        for index, vectors in enumerate(self._vectors(clips)):
            if self.score_by == "mahalanobis_frame":
                scores[index] = distance(rows_of(network, vectors, device, self.n_mels), inverses).mean()
                continue
            square, mean = summary_of(network, weights, vectors, device, self.n_mels)
            scores[index] = square if self.score_by == "mse" else distance(mean, inverses)[0]
        return scores

    def _network(self) -> torch.nn.Sequential:
        from .network import build_network

        return build_network(self.n_mels * self.stacked, self.width, self.bottleneck, self.seed)

"""The autoencoder baseline of DCASE Task 2, 2022 to 2024: mean squared error or selective Mahalanobis distance.

Sources: K. Dohi et al., "Description and discussion on DCASE 2023 challenge task 2: First-shot unsupervised anomalous
sound detection for machine condition monitoring", arXiv:2305.07828; N. Harada et al., "First-shot anomaly detection for
machine condition monitoring: a domain generalization baseline", EUSIPCO 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from asdbench import ClipSet, Detector, LogmelSettings, UserError, detector, logmel, setting

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["DcaseAutoencoder"]


@detector("dcase_ae")
class DcaseAutoencoder(Detector):
    """Autoencoder of DCASE Task 2 on five stacked log-mel frames, MSE or selective Mahalanobis score."""

    score_by: Literal["mse", "mahalanobis", "mahalanobis_frame"] = setting(
        "mse",
        alias="score",
        scoring=True,
        description="mse, mahalanobis (of the clip's mean residual frame) or mahalanobis_frame (mean over frames)",
    )
    epochs: int = setting(100, ge=1, description="training epochs")
    batch_size: int = setting(256, ge=2, description="vectors in a training batch")
    learning_rate: float = setting(1e-3, gt=0, description="learning rate of Adam")
    validation: float = setting(0.1, ge=0, lt=1, description="share of the vectors held out for the logged loss")
    n_mels: int = setting(128, ge=1, description="mel bands")
    n_fft: int = setting(1024, ge=16, description="samples in a frame")
    hop_length: int = setting(512, ge=1, description="samples between frames")
    stacked: int = setting(5, ge=1, description="consecutive frames in a vector")
    width: int = setting(128, ge=1, description="units of a hidden layer")
    bottleneck: int = setting(8, ge=1, description="units of the bottleneck")
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", description="where the network is computed; what a GPU has fitted is used on a CPU too, and the reverse"
    )

    def fit(self, clips: ClipSet) -> None:
        """Train the network, then gather the covariance of its residuals for each domain."""
        import torch

        from .mahalanobis import Covariance
        from .network import Frames, Training, reconstruct, to_arrays, train

        mels = [self._logmel(clips, index) for index in range(len(clips))]
        frames = Frames(torch.cat(mels), [len(mel) for mel in mels], self.stacked)
        del mels  # half of the memory
        network, device = self._network(), self._device()
        training = Training(self.epochs, self.batch_size, self.learning_rate, self.validation, self.seed)
        self.history_ = train(network, frames, training, device)
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
        from .network import Frames, from_arrays, reconstruct

        network, device = self._network(), self._device()
        from_arrays(network, self.weights_)
        network.to(device)
        inverses = list(self.inverse_covariances_.values())
        scores = np.empty(len(clips))
        for index in range(len(clips)):
            mel = self._logmel(clips, index)
            residuals = reconstruct(network, Frames(mel, [len(mel)], self.stacked).windows(), device).numpy()
            if self.score_by == "mse":
                scores[index] = np.square(residuals, dtype=np.float64).mean()
                continue
            rows = residuals.reshape(-1, self.n_mels).astype(np.float64)
            if self.score_by == "mahalanobis":
                rows = rows.mean(axis=0, keepdims=True)
            scores[index] = distance(rows, inverses).mean()
        return scores

    def _logmel(self, clips: ClipSet, index: int) -> torch.Tensor:
        import torch

        settings = LogmelSettings(clips.sample_rate or 16000, self.n_fft, self.hop_length, self.n_mels)
        mel = logmel(clips.waveform(index), settings)
        if len(mel) < self.stacked:
            raise UserError(
                f"{clips.file(index)}: the clip has {len(mel)} frames of {self.hop_length} samples, "
                f"the autoencoder needs at least {self.stacked}"
            )
        return torch.from_numpy(mel)

    def _network(self) -> torch.nn.Sequential:
        from .network import build_network

        return build_network(self.n_mels * self.stacked, self.width, self.bottleneck, self.seed)

    def _device(self) -> torch.device:
        import torch

        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if self.device == "auto":
            return torch.device(next(name for name, there in available.items() if there))
        if not available[self.device]:
            raise UserError(f"dcase_ae: the device '{self.device}' was asked for, but this machine has none")
        return torch.device(self.device)

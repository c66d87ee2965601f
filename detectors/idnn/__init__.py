"""Interpolation DNN: the middle one of consecutive log-mel frames, predicted from those around it.

Source: K. Suefusa et al., "Anomalous sound detection based on interpolation deep neural network", ICASSP 2020
(arXiv:2005.09234). Fully connected layers with ReLU of 64, 32, 16, 32 and 64 units on 64 mel bands and five frames; the
variational form (VIDNN) has a Gaussian bottleneck. Epochs and batch size are those of the autoencoder published with
MIMII by the same authors. The paper says nothing of scaling: here the network scales the bands by their mean and
deviation over the training frames, and gives its prediction in dB, so that error and score are those of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from asdbench import ClipSet, UserError, detector, setting

from ..shared.detector import FrameDetector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .network import Interpolator

__all__ = ["InterpolationDnn"]


@detector("idnn")
class InterpolationDnn(FrameDetector):
    """Interpolation DNN: mean squared error of the middle frame of five, predicted from the other four."""

    epochs: int = setting(50, ge=1, description="training epochs")
    batch_size: int = setting(512, ge=2, description="vectors in a training batch")
    n_mels: int = setting(64, ge=1, description="mel bands")
    stacked: int = setting(5, ge=3, description="consecutive frames, an odd number; the middle one is predicted")
    hidden: tuple[PositiveInt, ...] = setting(
        (64, 32), min_length=1, description="units of the layers before the bottleneck"
    )
    bottleneck: int = setting(16, ge=1, description="units of the bottleneck")
    variational: bool = setting(False, description="a Gaussian bottleneck (VIDNN)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stacked % 2 == 0:
            raise UserError(f"idnn: stacked is {self.stacked}, expected an odd number: the middle frame is predicted")

    def fit(self, clips: ClipSet) -> None:
        from ..shared.networks import to_arrays
        from ..shared.training import train
        from .network import loss_of

        frames, network = self._frames(clips), self._network()
        network.scale.learn(frames.mel)
        self.history_ = train(network, frames, self._training(), self._device(), loss_of(network))
        self.weights_ = to_arrays(network)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np
        import torch

        network = self._trained()
        with torch.inference_mode():
            return np.array([float(network.errors(vectors).mean()) for vectors in self._vectors(clips)])

    def _network(self) -> Interpolator:
        from ..shared.networks import seeded
        from .network import Interpolator

        with seeded(self.seed):
            return Interpolator(self.n_mels, self.stacked, self.hidden, self.bottleneck, self.variational)

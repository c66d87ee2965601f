"""The part of a detector that all detectors of stacked log-mel frames share: settings, frames, device, weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from asdbench import ClipSet, Detector, LogmelSettings, UserError, remembered_logmel, setting

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from .frames import Frames
    from .training import Training


class FrameDetector(Detector):
    """A network of torch on vectors of consecutive log-mel frames; subclasses say which network, and how it scores."""

    epochs: int = setting(100, ge=1, description="training epochs")
    batch_size: int = setting(256, ge=2, description="vectors in a training batch")
    learning_rate: float = setting(1e-3, gt=0, description="learning rate of Adam")
    validation: float = setting(0.1, ge=0, lt=1, description="share of the vectors held out for the logged loss")
    n_mels: int = setting(128, ge=1, description="mel bands")
    n_fft: int = setting(1024, ge=16, description="samples in a frame")
    hop_length: int = setting(512, ge=1, description="samples between frames")
    stacked: int = setting(5, ge=1, description="consecutive frames in a vector")
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", description="where the network is computed; what a GPU has fitted is used on a CPU too, and the reverse"
    )

    weights_: dict[str, npt.NDArray[Any]]
    history_: dict[str, list[float]]

    def _network(self) -> torch.nn.Module:
        """The network before training, a function of the settings and the seed."""
        raise NotImplementedError

    def _trained(self) -> Any:
        """The network with its trained weights, on its device, ready to score."""
        from .networks import from_arrays

        network, device = self._network(), self._device()
        from_arrays(network, self.weights_)
        return network.to(device).eval()

    def _training(self) -> Training:
        from .training import Training

        return Training(self.epochs, self.batch_size, self.learning_rate, self.validation, self.seed)

    def _frames(self, clips: ClipSet) -> Frames:
        """The frames of all clips in one piece of memory."""
        import torch

        from .frames import Frames
        from .grouping import groups_of

        mels = [self._logmel(clips, index) for index in range(len(clips))]
        return Frames(torch.cat(mels), [len(mel) for mel in mels], self.stacked, groups_of(clips.frame))

    def _vectors(self, clips: ClipSet) -> Iterator[torch.Tensor]:
        """The vectors of one clip after the other, shape (num_vectors, stacked * n_mels), on the device."""
        from .frames import Frames

        device = self._device()
        for index in range(len(clips)):
            mel = self._logmel(clips, index)
            yield Frames(mel.to(device), [len(mel)], self.stacked).windows()

    def _logmel(self, clips: ClipSet, index: int) -> torch.Tensor:
        import torch

        settings = LogmelSettings(clips.sample_rate or 16000, self.n_fft, self.hop_length, self.n_mels)
        mel = remembered_logmel(clips.waveform(index), settings)
        if len(mel) < self.stacked:
            raise UserError(
                f"{clips.file(index)}: the clip has {len(mel)} frames of {self.hop_length} samples, "
                f"{self.name} needs at least {self.stacked}"
            )
        return torch.from_numpy(mel)

    def _device(self) -> torch.device:
        from asdbench.pretrained.device import choose_device

        return choose_device(self.device)

"""Hierarchical conditional variational autoencoder on stacked log-mel frames.

Source: H. Purohit et al., "Hierarchical conditional variational autoencoder based acoustic anomaly detection", EUSIPCO
2022 (arXiv:2206.05460): what is known of a machine forms a hierarchy, which conditions the latent vectors of one model,
and may be known in part only; anomalies are told by reconstruction and divergence.

Ours are: the two levels, which are what the clips of one machine type have, section (machine ID) above attributes; one
latent vector a level with a learnt prior; sizes; bands scaled to mean 0 and variance 1. A clip without attributes, as
all are where labels are blanked, is met in one of two ways. By default its attributes are zeros, and training blanks
those of some vectors so that the network knows such clips; or the score is the best, that is the smallest, over the
attributes that training clips had. A section that was not in training is zeros too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from asdbench import ClipSet, detector, setting

from ..shared.detector import FrameDetector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .network import HierarchicalAutoencoder

__all__ = ["HierarchicalCvae"]


@detector("hcvae")
class HierarchicalCvae(FrameDetector):
    """Hierarchical conditional variational autoencoder: section above attributes, evidence bound as score."""

    unknown: Literal["blank", "best"] = setting(
        "blank",
        scoring=True,
        description="attributes of a clip without any: blank, or the best of those of the training clips",
    )
    candidates: int = setting(32, ge=1, scoring=True, description="how many of those are tried, the most frequent")
    epochs: int = setting(50, ge=1, description="training epochs")
    batch_size: int = setting(512, ge=2, description="vectors in a training batch")
    n_mels: int = setting(64, ge=1, description="mel bands")
    hidden: tuple[PositiveInt, ...] = setting(
        (128, 64), min_length=1, description="units of the layers before the latents"
    )
    latent: tuple[PositiveInt, PositiveInt] = setting(
        (8, 8), description="dimensions of the latent vectors of both levels"
    )
    blank: float = setting(0.3, ge=0, le=1, description="share of training vectors with blanked attributes")

    def fit(self, clips: ClipSet) -> None:
        import numpy as np
        import torch

        from ..shared.networks import to_arrays
        from ..shared.training import train
        from .conditions import Conditions
        from .network import loss_of

        known = Conditions.of(clips.frame["section"], clips.frame["attributes"])
        self.sections_, self.values_ = list(known.sections), list(known.values)
        upper = np.stack([known.section(section) for section in clips.frame["section"]])
        self.attributes_ = np.stack([known.attributes(attributes) for attributes in clips.frame["attributes"]])
        frames, network = self._frames(clips), self._network()
        network.scale.learn(frames.mel)
        clip_of = torch.from_numpy(np.repeat(np.arange(len(clips)), frames.lengths))
        loss = loss_of(network, torch.from_numpy(upper), torch.from_numpy(self.attributes_), clip_of, self.blank)
        self.history_ = train(network, frames, self._training(), self._device(), loss)
        self.weights_ = to_arrays(network)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np
        import torch

        from .conditions import Conditions, most_frequent

        network, known = self._trained(), Conditions(self.sections_, self.values_)
        tried = most_frequent(self.attributes_, self.candidates)
        if self.unknown == "blank":
            tried = np.zeros_like(tried[:1])
        scores = np.empty(len(clips))
        labels = zip(clips.frame["section"], clips.frame["attributes"], strict=True)
        for index, (vectors, (section, attributes)) in enumerate(zip(self._vectors(clips), labels, strict=True)):
            upper = torch.from_numpy(known.section(section)).to(vectors.device)
            lowers = torch.from_numpy(known.attributes(attributes)[None] if attributes else tried).to(vectors.device)
            with torch.inference_mode():
                scores[index] = min(network.bound(vectors, upper, lower) for lower in lowers)
        return scores

    def _network(self) -> HierarchicalAutoencoder:
        from ..shared.networks import seeded
        from .network import HierarchicalAutoencoder

        with seeded(self.seed):
            return HierarchicalAutoencoder(
                self.n_mels, self.stacked, self.hidden, self.latent, (len(self.sections_), len(self.values_))
            )

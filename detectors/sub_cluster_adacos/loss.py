"""Sub-cluster AdaCos: cross-entropy of scaled cosines to several centres a class, with a scale that adapts.

Sources: K. Wilkinghoff, "Sub-cluster AdaCos: learning representations for anomalous sound detection", IJCNN 2021; X.
Zhang et al., "AdaCos: adaptively scaling cosine logits for effectively learning deep face representations", CVPR 2019,
equations 7 to 15. The centres are random and stay as they are: K. Wilkinghoff, "Design choices for learning embeddings
from auxiliary tasks for domain generalization in anomalous sound detection", ICASSP 2023.

The sum of the scale runs over the other classes, as in AdaCos, so that one centre a class gives AdaCos; Wilkinghoff's own
implementation sums over all classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SubClusterAdaCos(nn.Module):
    """Loss of embeddings against labels that may be mixed.

    Attributes:
        centres: unit vectors, shape (classes * clusters, dimensions); those of a class stand together.
        scale: the factor of the cosines, updated from each batch that the loss is computed of.
    """

    centres: Tensor

    def __init__(self, classes: int, clusters: int, dimensions: int, generator: torch.Generator) -> None:
        """Draw the centres.

        Args:
            classes: number of classes; with ``clusters`` there must be more than two centres, the least that have a
                scale above 0.
            clusters: centres of a class.
            dimensions: of the embeddings.
            generator: random stream for the centres.
        """
        super().__init__()
        self.classes, self.clusters = classes, clusters
        drawn = torch.randn(classes * clusters, dimensions, generator=generator)
        self.register_buffer("centres", F.normalize(drawn, dim=1))
        self.scale = math.sqrt(2) * math.log(classes * clusters - 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Update the scale, then return the mean cross-entropy.

        The probability of a class is the sum of those of its centres.

        Args:
            embeddings: shape (batch, dimensions), of any length but 0.
            labels: shares of the classes, shape (batch, classes), each row with sum 1.
        """
        cosines = F.normalize(embeddings, dim=1) @ self.centres.T
        self.scale = self.next_scale(cosines.detach(), labels)
        by_class = self._by_class(torch.log_softmax(self.scale * cosines, dim=1)).logsumexp(dim=2)
        return -(labels * by_class).sum(dim=1).mean()

    def next_scale(self, cosines: Tensor, labels: Tensor) -> float:
        """The scale for a batch: log B / cos(min(pi / 4, theta)).

        B is the mean over clips of the sum of exp(scale * cosine) over the centres of other classes; a mixed clip
        counts for each class by the share that is not of it. theta is the median over clips of the angle to the nearest
        centre of their class, for mixed clips the mean by share.

        Args:
            cosines: shape (batch, classes * clusters).
            labels: shape (batch, classes).
        """
        by_class = self._by_class(cosines)
        exponents = self.scale * by_class + torch.log(1 - labels)[:, :, None]
        log_b = float(exponents.flatten().logsumexp(dim=0)) - math.log(len(cosines))
        angles = torch.acos(by_class.amax(dim=2).clamp(-1, 1))
        theta = float((labels * angles).sum(dim=1).quantile(0.5))
        return log_b / math.cos(min(math.pi / 4, theta))

    def _by_class(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.classes, self.clusters)

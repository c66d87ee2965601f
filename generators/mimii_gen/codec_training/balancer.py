"""The loss balancer: every loss has a share of the gradient, whatever its scale.

Source: Defossez et al., arXiv:2210.13438, section 3.4, equation 5.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Balancer"]


class Balancer:
    """Scales the gradients of losses with respect to the codec's output.

    With g_i the gradient of loss i and <|g_i|> a moving average of its norm, the output receives the sum of
    w_i / (sum of all w) g_i / <|g_i|>. The average is that of the steps so far, weighted by powers of ``decay``.

    Attributes:
        weights: w, by name of the loss.
        sums, count: of the weighted norms, and of their weights; what it takes to go on.
    """

    def __init__(self, weights: Mapping[str, float], decay: float = 0.999) -> None:
        self.weights, self.decay = dict(weights), decay
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def backward(self, losses: Mapping[str, Tensor], output: Tensor) -> None:
        """Propagate the balanced gradient of the losses through ``output``; losses without a weight are left out.

        The norm is the mean over the batch of the norms of its items, so that it does not depend on the batch size.
        """
        chosen = [name for name in losses if self.weights[name] > 0]
        share = sum(self.weights[name] for name in chosen)
        total = torch.zeros_like(output)
        for name in chosen:
            (gradient,) = torch.autograd.grad(losses[name], output, retain_graph=True)
            norm = float(gradient.flatten(1).norm(dim=1).mean())
            self.sums[name] = self.decay * self.sums.get(name, 0.0) + norm
            self.counts[name] = self.decay * self.counts.get(name, 0.0) + 1.0
            average = self.sums[name] / self.counts[name]
            if average > 0:
                total += gradient * (self.weights[name] / share / average)
        output.backward(total, retain_graph=True)

    def state(self) -> dict[str, dict[str, float]]:
        """What it takes to go on, as JSON."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Put back what `state` returned."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])

from __future__ import annotations

import pytest
import torch

from asdbench.generators.mimii_gen.codec_training.balancer import Balancer


def outputs():
    return torch.ones(2, 3, requires_grad=True)


def test_every_loss_has_its_share_whatever_its_scale():
    leaf = outputs()
    made = leaf * 1.0
    direction = torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]), torch.tensor([[0, 1.0, 0], [0, 1.0, 0]])
    losses = {"loud": 1e6 * (made * direction[0]).sum(), "quiet": 1e-6 * (made * direction[1]).sum()}
    Balancer({"loud": 1.0, "quiet": 3.0}).backward(losses, made)
    torch.testing.assert_close(leaf.grad, 0.25 * direction[0] + 0.75 * direction[1])


def test_norms_are_averaged_over_the_steps():
    balancer = Balancer({"one": 2.0}, decay=0.5)
    for norm, average in ((1.0, 1.0), (4.0, (0.5 * 1 + 4) / 1.5)):
        leaf = outputs()
        made = leaf * 1.0
        balancer.backward({"one": norm * made[:, 0].sum()}, made)
        assert float(leaf.grad[0, 0]) == pytest.approx(norm / average)


def test_losses_without_weight_or_gradient_change_nothing():
    leaf = outputs()
    made = leaf * 1.0
    balancer = Balancer({"one": 1.0, "nothing": 1.0, "off": 0.0})
    balancer.backward({"one": made[:, 0].sum(), "nothing": 0 * made.sum(), "off": made.sum()}, made)
    torch.testing.assert_close(leaf.grad, torch.tensor([[0.5, 0, 0], [0.5, 0, 0]]))


def test_it_goes_on_from_its_state():
    one, other = Balancer({"one": 1.0}), Balancer({"one": 1.0})
    made = outputs()
    one.backward({"one": 5 * made.sum()}, made)
    other.restore(one.state())
    grads = []
    for balancer in (one, other):
        made = outputs()
        balancer.backward({"one": made.sum()}, made)
        grads.append(made.grad)
    assert torch.equal(*grads)
    assert other.state() == one.state()

"""Networks that are built without drawing random weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.models.architectures.undrawn import Undrawn, WeightsNeededError, need_weights


def test_a_parameter_keeps_what_its_memory_holds() -> None:
    weight = nn.Parameter(torch.full((3, 4), 7.0))
    before = torch.get_rng_state()
    with Undrawn(), torch.no_grad():
        for draw in (nn.init.normal_, nn.init.kaiming_uniform_, nn.init.xavier_uniform_):
            assert draw(weight) is weight
        nn.init.normal_(tensor=weight, std=0.1)
        weight.uniform_(-1, 1).erfinv_().mul_(2.0).add_(1.0).clamp_(0, 1)
    assert torch.equal(weight, torch.full((3, 4), 7.0))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_parameter_gets_its_values() -> None:
    torch.manual_seed(0)
    drawn = torch.empty(3).normal_()
    weight = nn.Parameter(torch.full((3,), 7.0))
    torch.manual_seed(0)
    with Undrawn(), torch.no_grad():
        buffer = torch.empty(3).normal_()
        nn.init.ones_(weight)
        doubled = weight.mul(2.0)
    assert torch.equal(buffer, drawn)
    assert torch.equal(weight, torch.ones(3)) and torch.equal(doubled, torch.full((3,), 2.0))


def test_weights_are_drawn_again_afterwards() -> None:
    weight = nn.Parameter(torch.full((3,), 7.0))
    with Undrawn():
        nn.init.normal_(weight)
    nn.init.normal_(weight)
    assert not torch.any(weight == 7.0)


def test_what_needs_weights_is_refused_inside_alone() -> None:
    with pytest.raises(WeightsNeededError), Undrawn():
        need_weights()
    need_weights()

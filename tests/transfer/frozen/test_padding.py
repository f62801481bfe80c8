"""Padding computed from the size of the images, made into numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.transfer.frozen.padding import with_fixed_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"), [(11, 3, 2, 1), (12, 5, 2, 1), (9, 3, 1, 2), (10, 7, 4, 1)]
)
def test_same_padding_fixed_to_numbers_gives_the_same_bits(size: int, kernel: int, stride: int, dilation: int) -> None:
    from timm.layers.conv2d_same import Conv2dSame

    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(Conv2dSame(3, 4, kernel, stride, dilation=dilation), nn.ReLU()).eval()
        images = torch.randn(2, 3, size, size + 3)
    fixed = with_fixed_padding(module, images)
    assert type(module[0]) is Conv2dSame and not module[0]._forward_pre_hooks
    assert not any(type(part) is Conv2dSame for part in fixed.modules())
    with torch.no_grad():
        assert torch.equal(fixed(images), module(images))


def test_a_network_without_such_convolutions_is_copied_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    fixed = with_fixed_padding(module, torch.zeros(1, 3, 8, 8))
    assert fixed is not module and torch.equal(fixed[0].weight, module[0].weight) and type(fixed[0]) is nn.Conv2d

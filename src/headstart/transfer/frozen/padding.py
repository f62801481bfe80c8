"""Convolutions that pad by the size of their input, made to pad by numbers: the size of the images is known.

TensorFlow's "same" padding is computed from each input's shape. In an exported graph that arithmetic keeps the
runtime from fusing padding and convolution; with fixed numbers EfficientNet-Lite0 runs 1.4 times as fast
(LOG.md) and gives the same bits.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

SAME = "Conv2dSame"  # timm's name for them; the class is not part of its public interface


def with_fixed_padding(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy whose "same" convolutions pad as they do for an input of this shape.

    Args:
        network: in evaluation mode; it is not changed.
        example: an input of the size to come; its first dimension may differ.
    """
    network = copy.deepcopy(network)
    sizes: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[module] = inputs[0].shape[-2:]

    found = [module for module in network.modules() if type(module).__name__ == SAME]
    hooks = [module.register_forward_pre_hook(note) for module in found]
    try:
        if found:
            with torch.no_grad():
                network(example)
    finally:
        for hook in hooks:
            hook.remove()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in sizes and isinstance(child, nn.Conv2d):
                setattr(parent, name, _fixed(child, sizes[child]))
    return network


def _fixed(conv: nn.Conv2d, size: torch.Size) -> nn.Module:
    pads: list[int] = []
    for axis in (1, 0):  # ZeroPad2d counts from the last dimension: left, right, top, bottom
        stride, reach = conv.stride[axis], (conv.kernel_size[axis] - 1) * conv.dilation[axis] + 1
        total = max((-(-size[axis] // stride) - 1) * stride + reach - size[axis], 0)
        pads += [total // 2, total - total // 2]
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        (conv.stride[0], conv.stride[1]),
        0,
        (conv.dilation[0], conv.dilation[1]),
        conv.groups,
        conv.bias is not None,
    )
    plain.weight, plain.bias = conv.weight, conv.bias
    return nn.Sequential(nn.ZeroPad2d((pads[0], pads[1], pads[2], pads[3])), plain).train(conv.training)

"""Small additions to a frozen network: low-rank updates of its weight matrices, or its norms alone.

LoRA: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022 (arXiv 2106.09685).
Norms only: Frankle, Schwab and Morcos, Training BatchNorm and Only BatchNorm, ICLR 2021 (arXiv 2003.00152).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.freeze import freeze

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class LowRank(nn.Module):
    """A frozen linear layer or convolution plus a learned update of rank `rank`; it starts as no change.

    Args:
        base: nn.Linear, or nn.Conv2d with one group.
        rank: of the update.
        alpha: the update is multiplied by alpha / rank.
        generator: of the down projection's initial values.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        shape = (rank, *base.weight.shape[1:])
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        first = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(first.to(base.weight))
        self.up = nn.Parameter(torch.zeros(base.weight.shape[0], rank).to(base.weight))

    @property
    def weight(self) -> Tensor:
        """The weight with the update in it, for modules that read it instead of calling this one."""
        return self.base.weight + self.delta()

    @property
    def bias(self) -> Tensor | None:
        """The bias of the frozen layer."""
        return self.base.bias

    def delta(self) -> Tensor:
        """Return the update in the shape of the weight."""
        return self.scale * (self.up @ self.down.flatten(1)).reshape(self.base.weight.shape)

    def forward(self, activations: Tensor) -> Tensor:
        """Return base(activations) + scale · up(down(activations))."""
        outputs: Tensor = self.base(activations)
        if isinstance(self.base, nn.Linear):
            return outputs + self.scale * ((activations @ self.down.T) @ self.up.T)
        low = _with_weight(self.base, self.down)(activations)
        return outputs + self.scale * nn.functional.conv2d(low, self.up[:, :, None, None])


def add_lora(module: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> list[nn.Parameter]:
    """Freeze `module` and give each linear layer and ungrouped convolution inside it a low-rank update, in place.

    The input projection of torch's own nn.MultiheadAttention is not a layer and stays as it is; grouped and
    depthwise convolutions are small already and stay as well.

    Args:
        module: for instance the tail of a cut.
        rank, alpha: as of LowRank.
        generator: a CPU generator, for the initial values.

    Returns:
        the new parameters, the only ones in `module` that take gradients.

    Raises:
        ModelError: rank under 1, or nothing to update.
    """
    if rank < 1:
        raise ModelError(f"LoRA needs a rank of at least 1, not {rank}")
    freeze(module)
    places = [(parent, name, child) for parent, name, child in _children(module) if _can_update(child)]
    if not places:
        raise ModelError("LoRA found no linear layer or convolution to update; leave more of the network unfrozen")
    parameters: list[nn.Parameter] = []
    for parent, name, child in places:
        wrapped = LowRank(child, rank, alpha, generator)
        parent._modules[name] = wrapped
        parameters += [wrapped.down, wrapped.up]
    return parameters


def merge_lora(module: nn.Module) -> None:
    """Add each low-rank update to its weight and put the plain layer back, in place."""
    for parent, name, child in list(_children(module)):
        if isinstance(child, LowRank):
            with torch.no_grad():
                child.base.weight += child.delta()
            parent._modules[name] = child.base


def norm_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the scales and shifts of every normalisation layer in `module`, in order."""
    from timm.layers import RmsNorm, RmsNorm2d

    norms = (child for child in module.modules() if isinstance(child, (*_NORMS, RmsNorm, RmsNorm2d)))
    return [parameter for norm in norms for parameter in norm.parameters(recurse=False)]


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child


def _can_update(module: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    if isinstance(module, nn.Linear):
        return type(module).forward is nn.Linear.forward
    return isinstance(module, nn.Conv2d) and module.groups == 1 and _is_linear_in_weight(module)


def _is_linear_in_weight(conv: nn.Conv2d) -> bool:
    """Return whether a convolution uses its weight as it is (some of timm's standardise it first)."""
    return type(conv).forward is nn.Conv2d.forward or type(conv).__name__ == "Conv2dSame"


def _with_weight(conv: nn.Conv2d, weight: nn.Parameter) -> nn.Conv2d:
    """Return a convolution like `conv`, padding included, with another weight and no bias."""
    like = copy.copy(conv)
    like._parameters = {"weight": weight, "bias": None}
    return like

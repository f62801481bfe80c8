"""Pieces of other people's networks: parts that keep some children, and the poolings between stages and heads."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Staged:
    """A network taken apart: its stages in order, its classifier, and how activations become vectors."""

    stages: OrderedDict[str, nn.Module]
    classifier: nn.Module | None
    reduce: Reduce = field(default_factory=lambda: Reduce())


class Reduce(nn.Module):
    """Activations after any stage → [n, channels]: the mean over positions.

    Args:
        channels_last: maps come as [n, h, w, c] (Swin) and not as [n, c, h, w].
        prefix_tokens: class and register tokens at the front of [n, tokens, c], left out of the mean.
    """

    def __init__(self, channels_last: bool = False, prefix_tokens: int = 0) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.prefix_tokens = prefix_tokens

    def extra_repr(self) -> str:
        """Return what distinguishes one from another."""
        return f"channels_last={self.channels_last}, prefix_tokens={self.prefix_tokens}"

    def forward(self, activations: Tensor) -> Tensor:
        """Return [n, channels]; vectors pass unchanged."""
        if activations.ndim == 4:
            return activations.mean((1, 2) if self.channels_last else (2, 3))
        if activations.ndim == 3:
            return activations[:, self.prefix_tokens :].mean(1)
        return activations


class Apply(nn.Module):
    """Some children of a network, and the function that runs them.

    Args:
        part: what `part_of` returned.
        run: (part, activations) -> activations; a module-level function, so that the network can be pickled.
    """

    def __init__(self, part: nn.Module, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.part = part
        self.run = run

    def extra_repr(self) -> str:
        """Return the name of the function."""
        return self.run.__name__

    def forward(self, activations: Tensor) -> Tensor:
        """Return `run(part, activations)`."""
        return self.run(self.part, activations)


def part_of(model: nn.Module, children: Iterable[str], *, own: bool = False) -> nn.Module:
    """Return a shallow copy of `model` that has only these children, and its own parameters if `own`.

    Its methods work as far as they need nothing else; parameters are shared with `model`.
    """
    part = copy.copy(model)
    present = set(children)
    part._modules = {name: child for name, child in model._modules.items() if name in present}
    part._parameters = dict(model._parameters) if own else {}
    part._buffers = dict(model._buffers) if own else {}
    return part


def sequence(*children: tuple[str, nn.Module | None]) -> nn.Sequential:
    """Return the named modules in sequence, those that are None or do nothing left out."""
    kept = [(name, child) for name, child in children if child is not None and not isinstance(child, nn.Identity)]
    return nn.Sequential(OrderedDict(kept))


def blocks(children: Iterable[nn.Module], before: nn.Module | None = None) -> nn.Sequential:
    """Return a stage whose children can be cut between: `before` if any, then block1, block2, …"""
    named = [(f"block{i}", child) for i, child in enumerate(children, 1)]
    return sequence(("downsample", before), *named)


def split_at_pools(features: Iterable[nn.Module], title: str) -> OrderedDict[str, nn.Module]:
    """Return the layers of a plain convolutional network as title1, title2, …, each ending with a max-pooling."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    current: list[nn.Module] = []
    for layer in features:
        current.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages[f"{title}{len(stages) + 1}"] = nn.Sequential(*current)
            current = []
    if current:
        stages[f"{title}{len(stages) + 1}"] = nn.Sequential(*current)
    return stages

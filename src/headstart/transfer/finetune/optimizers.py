"""Optimisers by name, over parameter groups in which norms and biases are spared the weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headstart.errors import choose

ParameterGroups = list[dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What an optimiser is built with; `fused` asks for the one-kernel implementations."""

    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    fused: bool


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalised (Jordan 2024); vectors and the head go by AdamW.

    Convolutions are taken as matrices [out, in · kh · kw]. Updates are scaled by 0.2 · sqrt(larger side),
    so that they are as large as AdamW's and both share one learning rate (Liu et al. 2025, Moonlight).

    Args:
        groups: groups with `matrices`: bool, `weight_decay` and `lr`.
        settings: the rest.
    """

    def __init__(self, groups: ParameterGroups, settings: Settings) -> None:
        defaults = {
            "lr": settings.lr,
            "momentum": settings.momentum,
            "nesterov": settings.nesterov,
            "weight_decay": settings.weight_decay,
            "matrices": False,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            update = _muon_update if group["matrices"] else _adam_update
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update(parameter, self.state[parameter], group), alpha=-group["lr"])
        return loss


def _muon_update(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
    direction = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
    matrix = direction.reshape(len(direction), -1)
    scale = 0.2 * math.sqrt(max(matrix.shape))
    return (orthogonalised(matrix) * scale).reshape(parameter.shape)


def _adam_update(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if not state:
        state["step"] = torch.zeros(())
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    step = float(state["step"])
    mean, square = state["mean"], state["square"]
    assert isinstance(mean, Tensor) and isinstance(square, Tensor)
    mean.lerp_(gradient, 0.1)
    square.lerp_(gradient.square(), 0.001)
    size = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
    update: Tensor = mean.div(1 - 0.9**step).div_(size)
    return update


def orthogonalised(matrix: Float[Tensor, "m n"], steps: int = 5) -> Float[Tensor, "m n"]:
    """Return the nearest matrix with singular values near 1 (quintic Newton-Schulz iteration, Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrix.float() / (matrix.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


def _sgd(groups: ParameterGroups, s: Settings) -> torch.optim.Optimizer:
    nesterov = s.nesterov and s.momentum > 0
    return torch.optim.SGD(
        groups, lr=s.lr, momentum=s.momentum, nesterov=nesterov, weight_decay=s.weight_decay, fused=s.fused or None
    )


def _adam(groups: ParameterGroups, s: Settings) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=s.lr, weight_decay=s.weight_decay, fused=s.fused or None)


def _adamw(groups: ParameterGroups, s: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=s.lr, weight_decay=s.weight_decay, fused=s.fused or None)


OPTIMIZERS: dict[str, Callable[[ParameterGroups, Settings], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "muon": Muon,
}


def build_optimizer(
    name: str, groups: Sequence[tuple[str, Iterable[nn.Parameter], float]], settings: Settings
) -> torch.optim.Optimizer:
    """Return the named optimiser over groups of (name, parameters, learning rate multiplier).

    Each group is divided: matrices and kernels get the weight decay, vectors (norms, biases) do not.
    Every group remembers its multiplier as "multiplier" and its name as "name".
    """
    divided: ParameterGroups = []
    for group, parameters, multiplier in groups:
        listed = list(parameters)
        for kind, chosen, decay in (
            ("decayed", [p for p in listed if p.ndim > 1], settings.weight_decay),
            ("spared", [p for p in listed if p.ndim <= 1], 0.0),
        ):
            if chosen:
                entry = {
                    "params": chosen,
                    "name": f"{group}.{kind}",
                    "multiplier": multiplier,
                    "lr": settings.lr * multiplier,
                    "weight_decay": decay,
                }
                if name == "muon":
                    entry["matrices"] = kind == "decayed" and group != "head"
                divided.append(entry)
    return choose("optimizer", name, OPTIMIZERS)(divided, settings)

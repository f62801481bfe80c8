"""An exponential moving average of a module's weights and buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """Follows a module: after each step average ← decay · average + (1 - decay) · value.

    The decay starts low, min(decay, (1 + steps) / (10 + steps)), so that the initial weights are soon forgotten.

    Args:
        module: what is followed; its floating-point parameters and buffers.
        decay: between 0 and 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._module = module
        state = module.state_dict()
        self.average = {name: value.clone() for name, value in state.items() if value.is_floating_point()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's present values."""
        live = self._module.state_dict()
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.average.values()), [live[name] for name in self.average], share)
        self.steps += 1

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's values and the average."""
        live = self._module.state_dict()
        for name, value in self.average.items():
            held = live[name].clone()
            live[name].copy_(value)
            value.copy_(held)

    def to(self, device: torch.device) -> None:
        """Move the average."""
        self.average = {name: value.to(device) for name, value in self.average.items()}

    def state(self) -> dict[str, int | dict[str, Tensor]]:
        """Return what a checkpoint keeps."""
        return {"steps": self.steps, "average": self.average}

    def restore(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        """Resume from what a checkpoint kept."""
        average, steps = state["average"], state["steps"]
        assert isinstance(average, dict) and isinstance(steps, int)
        self.steps = steps
        for name, value in self.average.items():
            value.copy_(average[name])

"""The part of a network that is trained: the stages behind the cut and the head, in the modes of each phase."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headstart.models.backbone import INPUT
from headstart.models.preprocessing import Preprocessing, normalise
from headstart.transfer.finetune.freezing import set_modes
from headstart.transfer.finetune.inputs import Leg
from headstart.transfer.strategy import Group, Resolved


class LearnedNetwork(nn.Module):
    """Stages and head of a training.

    Args:
        resolved: the strategy on its network, with any additions in place.
        groups: the parameters of the stages that are trained.
        head: features -> logits.
        legs: inputs by phase.
        preprocessing: of pixels.
        dropout: in front of the head.
        statistics: "batch" or "frozen", of batch norms in what is trained.
    """

    def __init__(
        self,
        resolved: Resolved,
        groups: tuple[Group, ...],
        head: nn.Module,
        legs: list[Leg],
        preprocessing: Preprocessing,
        *,
        dropout: float = 0.0,
        statistics: str = "batch",
    ) -> None:
        super().__init__()
        self.resolved, self.groups, self.legs = resolved, groups, legs
        self.preprocessing, self.statistics = preprocessing, statistics
        self.tail = resolved.backbone.cut(resolved.cut)[1]
        self.head = head
        self.drop = nn.Dropout(dropout)
        self.leg = legs[0]
        self.enter(0)

    def forward(self, activations: Tensor, cut: str = INPUT) -> Tensor:
        """Return logits of activations at a cut."""
        names = [INPUT, *(unit.name for unit in self.resolved.units)]
        for unit in self.resolved.units[names.index(cut) :]:
            activations = unit.module(activations)
        logits: Tensor = self.head(self.drop(activations))
        return logits

    def logits(self, inputs: Tensor, *, training: bool) -> Tensor:
        """Return logits of what the current phase's training (or validation) input delivers."""
        inlet = self.leg.train if training else self.leg.validation
        if inputs.dtype == torch.uint8:
            inputs = normalise(inputs, self.preprocessing)
        if inlet.prefix is not None:
            with torch.no_grad():
                inputs = inlet.prefix(inputs)
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self(inputs, self.leg.phase.cut)
        return logits

    def enter(self, epoch: int) -> None:
        """Enter the phase of this epoch: which parameters take gradients, which modules are in training mode."""
        self.leg = [leg for leg in self.legs if leg.phase.start <= epoch][-1]
        self.resolved.backbone.requires_grad_(False)
        for group in self.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.name in self.leg.phase.trainable)
        self.train()

    def train(self, mode: bool = True) -> LearnedNetwork:
        """Set the mode; what the current phase freezes stays in evaluation mode."""
        super().train(mode)
        if mode:
            set_modes(self.resolved, self.groups, self.leg.phase, statistics=self.statistics)
        return self

    def prefixes_to(self, device: torch.device | str) -> None:
        """Put the frozen prefixes that run in every epoch on the device."""
        for leg in self.legs:
            for inlet in (leg.train, leg.validation):
                if inlet.prefix is not None:
                    inlet.prefix.to(device).to(memory_format=torch.channels_last).eval()

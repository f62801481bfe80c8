"""Parts of the training step that can be checked alone; whole trainings are in test_finetune.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from headstart.transfer.finetune.learner import clip_gradients


def test_all_gradients_together_are_scaled_to_the_norm() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)

    def clipped(largest: float | None) -> list[float]:
        first.grad, second.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])  # together: norm 5
        clip_gradients(optimizer, largest)
        return [*first.grad.tolist(), *second.grad.tolist()]

    assert clipped(1.0) == pytest.approx([0.6, 0.0, 0.8], rel=1e-5)
    assert clipped(10.0) == [3.0, 0.0, 4.0]
    assert clipped(None) == [3.0, 0.0, 4.0]
    assert math.hypot(*clipped(2.5)) == pytest.approx(2.5, rel=1e-5)

"""The moving average against its recursion worked out step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from headstart.transfer.finetune.ema import MovingAverage


def test_the_average_follows_with_its_decay_and_swaps_both_ways() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = MovingAverage(layer, 0.5)
    expected = 0.0
    for step in range(6):
        with torch.no_grad():
            layer.weight.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.average["weight"]) == pytest.approx(expected)
    average.swap()
    assert float(layer.weight.detach()) == pytest.approx(expected)
    average.swap()
    assert float(layer.weight.detach()) == 5.0 and not math.isnan(expected)


def test_buffers_are_averaged_and_counters_are_left_alone() -> None:
    norm = nn.BatchNorm1d(2)
    average = MovingAverage(norm, 0.9)
    assert set(average.average) == {"weight", "bias", "running_mean", "running_var"}
    with torch.no_grad():
        norm.running_mean.fill_(1.0)  # type: ignore[union-attr, operator]
    average.update()
    assert average.average["running_mean"].tolist() == pytest.approx([0.9, 0.9])  # first share: 1 - 1/10


def test_a_restored_average_continues_like_the_original() -> None:
    layer = nn.Linear(2, 1)
    one, other = MovingAverage(layer, 0.8), MovingAverage(layer, 0.8)
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            layer.weight.fill_(value)
        one.update()
    other.restore(one.state())
    one.update()
    other.update()
    assert torch.equal(one.average["weight"], other.average["weight"]) and other.steps == 4

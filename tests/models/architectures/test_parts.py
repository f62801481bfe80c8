"""Pieces of other people's networks."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor, nn

from headstart.models.architectures.parts import Apply, Reduce, blocks, part_of, sequence, split_at_pools


def test_maps_tokens_and_vectors_become_vectors() -> None:
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert Reduce()(maps).tolist() == [[5.5, 17.5]]
    assert torch.equal(Reduce(channels_last=True)(maps.permute(0, 2, 3, 1)), Reduce()(maps))
    tokens = torch.tensor([[[9.0, 9.0], [1.0, 3.0], [2.0, 5.0]]])
    assert Reduce(prefix_tokens=1)(tokens).tolist() == [[1.5, 4.0]]
    assert Reduce()(tokens).tolist() == [[4.0, pytest.approx(17 / 3)]]
    vector = torch.ones(1, 2)
    assert Reduce()(vector) is vector
    assert str(Reduce(True, 2)) == "Reduce(channels_last=True, prefix_tokens=2)"


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.shift = nn.Parameter(torch.ones(2))
        self.register_buffer("steps", torch.zeros(1))

    def first(self, x: Tensor) -> Tensor:
        out: Tensor = self.a(x)
        return out


def run_first(part: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = part.first(x)  # type: ignore[operator]
    return out


@pytest.mark.parametrize("own", [False, True])
def test_a_part_shares_the_children_that_are_named(own: bool) -> None:
    whole = Whole()
    part = part_of(whole, ["a"], own=own)
    names = {name for name, _ in part.named_parameters()}
    assert names == {"a.weight", "a.bias", *(["shift"] if own else [])}
    assert len(list(part.buffers())) == own and part.a is whole.a
    assert {name for name, _ in whole.named_children()} == {"a", "b"}
    images = torch.ones(1, 2)
    assert torch.equal(Apply(part, run_first)(images), whole.a(images))


def test_a_part_with_its_function_can_be_pickled() -> None:
    stage = Apply(part_of(Whole(), ["a"]), run_first)
    again = pickle.loads(pickle.dumps(stage))
    assert torch.equal(again(torch.ones(1, 2)), stage(torch.ones(1, 2))) and "run_first" in str(stage)


def test_a_sequence_leaves_out_what_does_nothing() -> None:
    kept = sequence(("a", nn.ReLU()), ("b", None), ("c", nn.Identity()), ("d", nn.Flatten()))
    assert list(kept._modules) == ["a", "d"]


def test_blocks_are_numbered_from_one_after_the_downsampling() -> None:
    assert list(blocks([nn.ReLU(), nn.Tanh()])._modules) == ["block1", "block2"]
    assert list(blocks([nn.ReLU()], nn.MaxPool2d(2))._modules) == ["downsample", "block1"]


def test_a_plain_network_is_split_after_each_pooling() -> None:
    layers = [nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    stages = split_at_pools(layers, "block")
    assert [(name, [type(x).__name__ for x in stage]) for name, stage in stages.items()] == [
        ("block1", ["ReLU", "MaxPool2d"]),
        ("block2", ["Tanh", "ReLU", "MaxPool2d"]),
        ("block3", ["Flatten"]),
    ]
    assert list(split_at_pools(layers[:2], "b")) == ["b1"]

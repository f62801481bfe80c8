from __future__ import annotations

import copy

import torch
from torch import nn

from headstart.models.freeze import fingerprint, freeze


def toy() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def test_frozen_modules_keep_their_buffers_and_pass_everything() -> None:
    module = toy()
    before = fingerprint(module)
    assert freeze(module) is module
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(module(images), module(images))
    assert fingerprint(module) == before
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_pass_in_training_mode_changes_the_fingerprint_through_the_buffers() -> None:
    module = toy()
    before = fingerprint(module)
    module(torch.randn(2, 3, 8, 8))
    assert fingerprint(module) != before


def test_one_bit_of_one_parameter_changes_the_fingerprint() -> None:
    module, other = toy(), toy()
    assert fingerprint(module) == fingerprint(copy.deepcopy(module)) == fingerprint(other)
    with torch.no_grad():
        other[0].bias[0] = torch.nextafter(other[0].bias[0], torch.tensor(9.0))
    assert fingerprint(module) != fingerprint(other)


def test_memory_format_does_not_change_the_fingerprint_and_type_does() -> None:
    module = toy()
    before = fingerprint(module)
    assert fingerprint(module.to(memory_format=torch.channels_last)) == before
    assert fingerprint(module.double()) != before


def test_scalars_and_half_precision_have_fingerprints() -> None:
    module = nn.Module()
    module.register_buffer("step", torch.tensor(3))
    module.register_buffer("scale", torch.ones(2, dtype=torch.bfloat16))
    assert len(fingerprint(module)) == 64

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.adapt import add_lora, merge_lora, norm_parameters
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.backbone import Backbone

NETWORKS = [("timm", "resnet18"), ("timm", "tf_efficientnet_lite0"), ("timm", "vit_tiny_patch16_224")]


def network(library: str, name: str) -> Backbone:
    return build(Architecture(library, name), input_size=32).eval()


def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def moved(parameters: list[nn.Parameter]) -> None:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))


@pytest.mark.parametrize(("library", "name"), NETWORKS)
def test_fresh_additions_change_nothing_and_are_all_that_learns(library: str, name: str) -> None:
    backbone = network(library, name)
    before = backbone(images())
    parameters = add_lora(backbone.stages, 4, 8.0, torch.Generator().manual_seed(0))
    assert torch.equal(backbone(images()), before)
    assert {id(p) for p in backbone.stages.parameters() if p.requires_grad} == {id(p) for p in parameters}


@pytest.mark.parametrize(
    ("library", "name"), [*NETWORKS, pytest.param("torchvision", "vit_b_32", marks=pytest.mark.long)]
)
def test_merging_gives_a_plain_network_with_the_same_outputs(library: str, name: str) -> None:
    backbone = network(library, name)
    keys, before = list(backbone.state_dict()), backbone(images()).detach()
    moved(add_lora(backbone.stages, 4, 8.0, torch.Generator().manual_seed(0)))
    with_additions = backbone(images()).detach()
    merge_lora(backbone.stages)
    assert list(backbone.state_dict()) == keys
    assert (with_additions - before).abs().max() > 1e-3
    torch.testing.assert_close(backbone(images()), with_additions, rtol=1e-5, atol=1e-5)


def test_the_update_is_the_product_of_two_thin_matrices() -> None:
    module = nn.Sequential(nn.Linear(5, 7))
    weight = module[0].weight.detach().clone()
    down, up = add_lora(module, 2, 6.0, torch.Generator().manual_seed(0))
    assert down.shape == (2, 5) and up.shape == (7, 2)
    moved([up])
    merge_lora(module)
    torch.testing.assert_close(module[0].weight, weight + 3.0 * up @ down)


def test_the_same_generator_gives_the_same_additions() -> None:
    twins = [nn.Sequential(nn.Conv2d(3, 4, 3)) for _ in range(2)]
    first, second = (add_lora(twin, 2, 2.0, torch.Generator().manual_seed(7)) for twin in twins)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_additions_learn() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(64, 2))
    parameters = add_lora(module, 2, 2.0, torch.Generator().manual_seed(0))
    frozen = copy.deepcopy(module[2].base.weight)
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    pixels, labels = torch.randn(8, 3, 4, 4), torch.randint(0, 2, (8,))
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(module(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(module[2].base.weight, frozen)


def test_a_rank_under_one_or_nothing_to_update_is_refused() -> None:
    with pytest.raises(ModelError, match="rank of at least 1, not 0"):
        add_lora(nn.Sequential(nn.Linear(2, 2)), 0, 1.0, torch.Generator())
    with pytest.raises(ModelError, match="found no linear layer"):
        add_lora(nn.Sequential(nn.ReLU()), 1, 1.0, torch.Generator())


@pytest.mark.parametrize(("library", "name", "count"), [(*NETWORKS[0], 40), (*NETWORKS[1], 98), (*NETWORKS[2], 50)])
def test_norm_parameters_are_the_scale_and_shift_of_every_norm(library: str, name: str, count: int) -> None:
    backbone = network(library, name)
    parameters = norm_parameters(backbone.stages)
    assert len(parameters) == count
    assert all(parameter.ndim == 1 for parameter in parameters)


def test_norms_of_every_kind_are_found() -> None:
    from timm.layers import BatchNormAct2d, LayerNorm2d, RmsNorm

    kinds = (nn.BatchNorm2d, nn.LayerNorm, nn.RMSNorm, BatchNormAct2d, LayerNorm2d, RmsNorm)
    module = nn.Sequential(*(kind(4) for kind in kinds), nn.GroupNorm(2, 4), nn.Linear(4, 4))
    assert len(norm_parameters(module)) == 2 * 5 + 2

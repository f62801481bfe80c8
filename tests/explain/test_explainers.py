from __future__ import annotations

import pytest
import torch
from exported_models import linear, neighbours
from torch import nn

from headstart.errors import DataError, ModelError, SpecError
from headstart.explain.explainers import EXPLAINERS, default_explainers, explain
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.pixels import pixels_backbone

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 2])


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.mark.parametrize("method", ["lime", "integrated_gradients", "occlusion"])
def test_any_module_to_logits_can_be_explained_without_stages(method: str) -> None:
    assert explain(plain(), IMAGES, TARGETS, method).shape == (2, 16, 16)


@pytest.mark.parametrize("method", ["grad_cam", "attention_rollout"])
def test_explainers_that_read_stages_say_so_of_a_module_without_them(method: str) -> None:
    with pytest.raises(ModelError, match="reads the stages of a headstart Network; a Sequential has none"):
        explain(plain(), IMAGES, TARGETS, method)


def test_the_network_is_left_as_it_was_found_error_or_not() -> None:
    network = plain().train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    explain(network, IMAGES, TARGETS, "integrated_gradients")
    with pytest.raises(DataError):
        explain(network, IMAGES, torch.tensor([0, 3]), "integrated_gradients")
    assert network.training and network[0].training and not network[1].training
    assert not network[0].weight.requires_grad and network[0].bias.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_mistakes_are_told_in_one_line() -> None:
    with pytest.raises(SpecError, match="unknown explainer 'gradcam'; did you mean 'grad_cam'"):
        explain(plain(), IMAGES, TARGETS, "gradcam")
    with pytest.raises(SpecError, match="unknown option of lime 'sample'; did you mean 'samples'"):
        explain(plain(), IMAGES, TARGETS, "lime", sample=3)
    with pytest.raises(DataError, match="target class 3 does not exist: the network has classes 0 … 2"):
        explain(plain(), IMAGES, torch.tensor([0, 3]), "lime")
    with pytest.raises(DataError, match="2 images and 1 target"):
        explain(plain(), IMAGES, torch.tensor([0]), "lime")
    with pytest.raises(DataError, match="not finite"):
        explain(plain(), IMAGES * torch.inf, TARGETS, "lime")
    with pytest.raises(DataError, match="no images"):
        explain(plain(), IMAGES[:0], TARGETS[:0], "lime")
    with pytest.raises(ModelError, match="cannot take images of 2 × 2 px"):
        explain(plain(), IMAGES[:, :, :2, :2], TARGETS, "lime")


def test_grad_cam_is_among_the_default_explainers_where_every_network_has_gradients_and_positions() -> None:
    votes, lenet = neighbours().network, linear().network
    assert default_explainers([lenet, lenet]) == (["lime", "grad_cam"], None)
    chosen, why = default_explainers([lenet, votes])
    assert chosen == ["lime"] and why is not None and "nearest neighbours (knn) has none" in why
    chosen, why = default_explainers([Network(pixels_backbone(8), LinearHead(192, 3))])
    assert chosen == ["lime"] and why is not None and "pixels has none for images of 8 × 8 px" in why
    assert all(parameter.requires_grad for parameter in lenet.parameters())  # left as it was


def test_every_explainer_names_its_options() -> None:
    assert EXPLAINERS["grad_cam"].options == ("stage", "batch")
    assert all(explainer.title for explainer in EXPLAINERS.values())

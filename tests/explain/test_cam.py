from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from headstart.errors import ModelError
from headstart.explain.cam import token_grid
from headstart.explain.explainers import explain
from headstart.models.architectures.parts import Reduce
from headstart.models.backbone import Backbone
from headstart.models.network import Network


class ChannelsLast(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.permute(0, 2, 3, 1)


class Tokens(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat([patches.new_ones(len(patches), self.before, patches.shape[2]), patches], dim=1)


class TokenMean(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, self.before :].mean(1)


class MapMean(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((1, 2))


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True))


def network(kind: str) -> Network:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stages = {
        "cnn": OrderedDict(stage1=convolution(), pool=pool),
        "channels last": OrderedDict(stage1=nn.Sequential(convolution(), ChannelsLast()), pool=MapMean()),
        "tokens": OrderedDict(stage1=nn.Sequential(convolution(), Tokens(2)), pool=TokenMean(2)),
    }[kind]
    reduce = {"cnn": Reduce(), "channels last": Reduce(channels_last=True), "tokens": Reduce(prefix_tokens=2)}[kind]
    torch.manual_seed(1)
    head = nn.Linear(6, 4)
    return Network(Backbone(kind, stages, feature_dim=6, reduce=reduce), head)


IMAGES = torch.randn(3, 3, 12, 16, generator=torch.Generator().manual_seed(5))
TARGETS = torch.tensor([0, 3, 1])


def captum_map() -> np.ndarray:
    plain = network("cnn").eval()

    def odds(images: torch.Tensor) -> torch.Tensor:
        chance = plain(images).softmax(1)
        return torch.log(chance / (1 - chance))

    layer = plain.backbone.stages[0]
    found = LayerGradCam(odds, layer).attribute(IMAGES, target=TARGETS, relu_attributions=True)
    return LayerAttribution.interpolate(found, (12, 16), "bilinear")[:, 0].detach().numpy()


@pytest.mark.filterwarnings("ignore:.*backward hook:UserWarning")
@pytest.mark.parametrize("kind", ["cnn", "channels last", "tokens"])
def test_every_layout_gives_captum_s_map_of_the_same_numbers(kind: str) -> None:
    maps = explain(network(kind), IMAGES, TARGETS, "grad_cam")
    np.testing.assert_allclose(maps, captum_map(), rtol=1e-4, atol=1e-7)


def test_batches_do_not_change_the_maps() -> None:
    whole = explain(network("cnn"), IMAGES, TARGETS, "grad_cam")
    np.testing.assert_allclose(explain(network("cnn"), IMAGES, TARGETS, "grad_cam", batch=2), whole, atol=1e-7)


def test_any_cut_point_can_be_chosen_and_one_without_positions_is_refused() -> None:
    assert explain(network("cnn"), IMAGES, TARGETS, "grad_cam", stage="stage1").shape == (3, 12, 16)
    with pytest.raises(ModelError, match="'pool' of cnn gives"):
        explain(network("cnn"), IMAGES, TARGETS, "grad_cam", stage="pool")
    with pytest.raises(ModelError, match="no stage 'stage9'"):
        explain(network("cnn"), IMAGES, TARGETS, "grad_cam", stage="stage9")


def test_a_stage_that_the_class_does_not_depend_on_is_passed_over_by_default() -> None:
    class FirstToken(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens[:, 0]

    class Mix(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens + tokens.mean(1, keepdim=True) ** 2

    torch.manual_seed(0)
    stages = OrderedDict(embed=nn.Sequential(convolution(), Tokens(1)), block1=Mix(), norm=FirstToken())
    read_by_token = Network(Backbone("vit", stages, feature_dim=6, reduce=Reduce(prefix_tokens=1)), nn.Linear(6, 4))
    chosen = explain(read_by_token, IMAGES, TARGETS, "grad_cam")
    np.testing.assert_array_equal(chosen, explain(read_by_token, IMAGES, TARGETS, "grad_cam", stage="embed"))
    assert not explain(read_by_token, IMAGES, TARGETS, "grad_cam", stage="block1").any()


@pytest.mark.parametrize(
    ("tokens", "size", "declared", "grid"),
    [
        (197, (224, 224), 0, (1, 14, 14)),
        (196, (224, 224), 0, (0, 14, 14)),
        (198, (224, 224), 2, (2, 14, 14)),
        (1 + 4 * 6, (64, 96), 1, (1, 4, 6)),
        (200, (224, 224), 0, (4, 14, 14)),
        (7, (32, 32), 5, None),
    ],
)
def test_tokens_are_laid_out_over_the_image(
    tokens: int, size: tuple[int, int], declared: int, grid: tuple[int, int, int] | None
) -> None:
    backbone = Backbone("b", {"pool": nn.Identity()}, feature_dim=1, reduce=Reduce(prefix_tokens=declared))
    assert token_grid(backbone, tokens, size) == grid

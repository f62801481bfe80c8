"""The first layer for other bands: what timm makes, and equal to the original where the bands are equal."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import timm
import torch

from headstart.bands import BandChoice, Bands
from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.bundle_checks import check_preprocessing
from headstart.models.create import create_backbone
from headstart.models.first_layer import with_bands
from headstart.models.pixels import pixels_backbone
from headstart.models.preprocessing import normalise, preprocessing_from

FAMILIES = (
    "aerial_resnet18",
    "conv4",
    "convnext_atto",
    "densenet121",
    "efficientnet_lite0",
    "fastvit_t8",
    "mobilenetv3_small_050",
    "resnet18",
    "small_cnn",
    "squeezenet1_1",
    "torchvision/resnet18",
    pytest.param("torchvision/vgg11", marks=pytest.mark.slow),
    "vit_tiny",
)


def bands(count: int) -> Bands:
    choice = BandChoice(tuple(range(count)), tuple(map(str, range(count))), (0, 0, 0), count, "uint16")
    zeros, ones = (0.0,) * count, (1.0,) * count
    return Bands(choice, zeros, ones, (0.4,) * count, (0.2,) * count, zeros, (255.0,) * count)


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_bands_give_what_equal_channels_gave(name: str) -> None:
    size = 224 if name == "vit_tiny" else 64
    backbone = build(find_architecture(name), seed=3, input_size=size).eval()
    grey = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = backbone(grey.expand(-1, 3, -1, -1))
        for count in (1, 6, 13):
            wide = with_bands(deepcopy(backbone), bands(count))
            after = wide(grey.expand(-1, count, -1, -1))
            if count == 13:  # timm repeats the three channels, so that one of them has a band more
                assert after.shape == before.shape and bool(torch.isfinite(after).all())
            else:
                torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_weights_are_those_that_timm_makes_of_pretrained_ones() -> None:
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    first = backbone.stages[0].conv.weight.detach().clone()  # type: ignore[union-attr]
    wide = with_bands(backbone, bands(13)).stages[0].conv  # type: ignore[union-attr]
    expected = timm.models.adapt_input_conv(13, first)
    assert wide.in_channels == 13 and torch.equal(wide.weight, expected)
    assert torch.equal(expected[:, 3], first[:, 0] * (3 / 13))


def test_three_bands_keep_the_weights_and_their_own_normalisation() -> None:
    backbone = build(find_architecture("resnet18"), input_size=64)
    before = backbone.state_dict()["stages.stem.conv1.weight"].clone()
    found = with_bands(backbone, bands(3))
    assert torch.equal(found.state_dict()["stages.stem.conv1.weight"], before)
    assert found.preprocessing.mean == (0.4, 0.4, 0.4)
    assert with_bands(found, None) is found


def test_raw_pixels_of_bands_have_as_many_features() -> None:
    backbone = with_bands(pixels_backbone(8), bands(5))
    images = normalise(torch.zeros(2, 5, 8, 8), backbone.preprocessing)
    assert backbone(images).shape == (2, backbone.feature_dim) == (2, 320)


def test_a_network_made_for_other_bands_is_refused() -> None:
    backbone = with_bands(build(find_architecture("resnet18"), input_size=64), bands(5))
    with pytest.raises(ModelError, match="cannot take 7 bands"):
        with_bands(backbone, bands(7))


def test_preprocessing_of_bands_is_described_checked_and_read_back() -> None:
    needs = pixels_backbone(8).preprocessing.of_bands(bands(4))
    facts = needs.facts()
    check_preprocessing(facts)
    assert preprocessing_from(facts) == needs
    assert "bands" not in pixels_backbone(8).preprocessing.facts()
    with pytest.raises(ModelError, match=r"preprocessing\.mean must be 4 numbers"):
        check_preprocessing({**facts, "mean": [0.5, 0.5, 0.5]})
    with pytest.raises(ModelError, match=r"preprocessing\.bands"):
        check_preprocessing(replace(needs, bands=replace(bands(4), high=(0.0,) * 4)).facts())

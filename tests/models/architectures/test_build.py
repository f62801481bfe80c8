"""Architectures as backbones with random weights."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from headstart.errors import ModelError
from headstart.models.architectures.build import build, timm_preprocessing, torchvision_preprocessing
from headstart.models.architectures.catalogue import Architecture
from headstart.models.freeze import fingerprint
from headstart.models.preprocessing import Preprocessing


def test_weights_are_drawn_from_the_seed_and_the_global_state_stays() -> None:
    state = torch.get_rng_state()
    first, again, other = (build(Architecture("headstart", "lenet5"), seed) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert torch.equal(torch.get_rng_state(), state)


def test_timms_preprocessing_is_what_its_transform_does() -> None:
    cfg = timm.get_pretrained_cfg("resnet18.a1_in1k").to_dict()
    shown = str(timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=cfg)))
    needs = timm_preprocessing(cfg)
    assert needs == Preprocessing(224, 235, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert "size=235" in shown and "size=(224, 224)" in shown and "bicubic" in shown


def test_torchvisions_preprocessing_is_that_of_its_weights() -> None:
    weights = torchvision.models.EfficientNet_B1_Weights.IMAGENET1K_V2
    assert torchvision_preprocessing(weights) == Preprocessing(
        240, 255, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )


def test_original_keys_lead_to_the_same_tensors() -> None:
    backbone = build(Architecture("torchvision", "resnet18"), seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = torchvision.models.resnet18().state_dict()
    ours = backbone.state_dict()
    assert set(backbone.original_keys) == set(theirs)
    assert all(torch.equal(ours[backbone.original_keys[key]], value) for key, value in theirs.items())


@pytest.mark.parametrize(("size", "features"), [(None, 1600), (32, 256), (48, 576)])
def test_conv4_keeps_a_map_that_grows_with_the_image(size: int | None, features: int) -> None:
    backbone = build(Architecture("headstart", "conv4"), 0, size)
    assert backbone.feature_dim == features and backbone.preprocessing.size == (size or 84)


def test_a_transformer_is_built_for_the_size_of_its_images() -> None:
    backbone = build(Architecture("timm", "vit_tiny_patch16_224"), 0, 64).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 192)
    assert build(Architecture("timm", "vit_small_patch14_dinov2", 28)).preprocessing.size == 28


def test_a_name_that_two_libraries_have_says_whose_it_is() -> None:
    assert build(Architecture("torchvision", "resnet18")).name == "torchvision/resnet18"
    assert build(Architecture("torchvision", "squeezenet1_1")).name == "squeezenet1_1"


def test_a_size_that_no_patch_divides_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"cannot be built for images of 65 px") as told:
        build(Architecture("torchvision", "vit_b_16"), 0, 65)
    assert "\n" not in str(told.value)

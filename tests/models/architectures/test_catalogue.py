"""Which names stand for which architectures."""

from __future__ import annotations

import pytest

from headstart.errors import ModelError
from headstart.models.architectures.catalogue import (
    ALIASES,
    SUGGESTIONS,
    Architecture,
    all_names,
    find_architecture,
    timm_names,
    torchvision_names,
)


@pytest.mark.parametrize(
    ("name", "library", "target"),
    [
        ("small_cnn", "headstart", "small_cnn"),
        ("resnet18", "timm", "resnet18"),
        ("torchvision/resnet18", "torchvision", "resnet18"),
        ("timm/vgg16", "timm", "vgg16"),
        ("vgg16", "torchvision", "vgg16"),
        ("alexnet", "torchvision", "alexnet"),
        ("mobilenet_v2", "torchvision", "mobilenet_v2"),
        ("mobilenetv2", "timm", "mobilenetv2_100"),
        ("efficientnet_lite0", "timm", "tf_efficientnet_lite0"),
        ("vit", "timm", "vit_base_patch16_224"),
        ("dinov2_small", "timm", "vit_small_patch14_dinov2"),
        ("swin_t", "torchvision", "swin_t"),
    ],
)
def test_a_name_stands_for_an_architecture(name: str, library: str, target: str) -> None:
    found = find_architecture(name)
    assert (found.library, found.name) == (library, target)


@pytest.mark.parametrize("name", ["resnet19", "timm/alexnett", "torchvision/efficientnet_lite0", "efficientnet_lit0"])
def test_an_unknown_name_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(ModelError, match=f"unknown backbone '{name}'"):
        find_architecture(name)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(ModelError, match=r"did you mean .*efficientnet_lite0"):
        find_architecture("efficientnet_lit0")


def test_dinov2_by_its_short_name_takes_224_px() -> None:
    assert find_architecture("dinov2_small") == Architecture("timm", "vit_small_patch14_dinov2", 224)


def test_every_suggestion_is_found_by_its_name_and_exists_in_its_library() -> None:
    known = {"timm": set(timm_names()), "torchvision": set(torchvision_names())}
    for suggestion in SUGGESTIONS:
        architecture = suggestion.architecture
        assert find_architecture(suggestion.name) == architecture
        assert architecture.library == "headstart" or architecture.name in known[architecture.library]
    assert ALIASES["vit"] == "timm/vit_base_patch16_224" and ALIASES["vgg16"] == "torchvision/vgg16"


def test_all_names_are_the_short_list_first_and_without_repeats() -> None:
    names = all_names()
    assert names[: len(SUGGESTIONS)] == [suggestion.name for suggestion in SUGGESTIONS]
    assert len(set(names)) == len(names) and {"resnet18", "shufflenet_v2_x0_5"} <= set(names)


def test_torchgeo_has_weights_and_no_networks() -> None:
    with pytest.raises(ModelError, match=r"take backbone 'resnet18' and weights torchgeo:TAG"):
        find_architecture("torchgeo/resnet18")


def test_a_tag_is_no_part_of_an_architecture() -> None:
    with pytest.raises(ModelError, match=r"unknown backbone 'resnet18\.a1_in1k'"):
        find_architecture("resnet18.a1_in1k")

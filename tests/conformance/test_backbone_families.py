"""Every family of backbones, cut and shortened, against the library's own network.

In every run one network for each code that takes one apart, and a third of its cut points, drawn by its name; all
networks and all cut points where the tests marked slow run (`.ci/run thorough`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.architectures.undrawn import Undrawn
from headstart.models.backbone import Backbone
from headstart.models.weights.state_dict import load_state

pytestmark = pytest.mark.long

RESNET = ("stem", "stage1", "stage2", "stage3", "stage4", "pool")
SWIN = ("embed", "stage1", "stage2", "stage3", "stage4", "pool")
VIT = ("embed", *(f"block{i}" for i in range(1, 13)), "norm")
SEVEN = ("stem", *(f"stage{i}" for i in range(1, 8)), "conv_head", "pool")
FIVE = ("stem", *(f"stage{i}" for i in range(1, 6)), "pool")
HIERA = ("embed", "stage1", "stage2", "stage3", "stage4", "pool")
SIX = ("stem", *(f"stage{i}" for i in range(1, 7)), "pool")
VGG = ("block1", "block2", "block3", "block4", "block5", "fc6", "fc7")
ALEXNET = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


@dataclass(frozen=True)
class Member:
    """One network of a family, at a size at which it is quick."""

    library: str
    name: str
    size: int
    stages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.library}-{self.name}"


FAST = (
    Member("timm", "resnet18", 64, RESNET),
    Member("timm", "resnext26ts", 64, ()),
    Member("timm", "regnetx_002", 64, RESNET),
    Member("timm", "densenet121", 64, RESNET),
    Member("timm", "tf_efficientnet_lite0", 64, SEVEN),
    Member("timm", "efficientnet_b0", 64, SEVEN),
    Member("timm", "mobilenetv2_050", 64, SEVEN),
    Member("timm", "mobilenetv3_small_050", 64, SIX),
    Member("timm", "convnext_atto", 64, RESNET),
    Member("timm", "vit_tiny_patch16_224", 32, VIT),
    Member("timm", "deit_tiny_distilled_patch16_224", 32, VIT),
    Member("timm", "vit_small_patch14_reg4_dinov2", 28, VIT),
    Member("timm", "swin_tiny_patch4_window7_224", 32, SWIN),
    Member("timm", "resnetv2_18", 64, ()),
    Member("timm", "mixer_s32_224", 64, ()),
    Member("timm", "ghostnet_050", 64, ()),
    Member("timm", "eva02_tiny_patch14_224", 28, VIT),
    Member("timm", "vit_tiny_patch16_dinov3_qkvb", 32, VIT),
    Member("timm", "vit_pe_core_tiny_patch16_384", 32, VIT),
    Member("timm", "hiera_tiny_224", 64, HIERA),
    Member("timm", "convnextv2_atto", 64, RESNET),
    Member("timm", "mobilenetv4_conv_small_035", 64, FIVE),
    Member("timm", "fastvit_t8", 64, RESNET),
    Member("torchvision", "resnet18", 64, RESNET),
    Member("torchvision", "mobilenet_v2", 64, SEVEN),
    Member("torchvision", "mobilenet_v3_small", 64, (*SIX[:-2], "conv_head", "pool")),
    Member("torchvision", "shufflenet_v2_x0_5", 64, ("body", "pool")),
    Member("torchvision", "squeezenet1_1", 64, ("body", "pool")),
    Member("headstart", "lenet5", 32, ("conv1", "conv2", "conv3", "fc6")),
    Member("headstart", "small_cnn", 32, (*RESNET[:4], "pool")),
    Member("headstart", "conv4", 32, ("block1", "block2", "block3", "block4", "pool")),
    Member("headstart", "aerial_resnet18", 32, RESNET),
    Member("headstart", "resnet12", 32, ("stage1", "stage2", "stage3", "stage4", "pool")),
)
SLOW = (
    Member("torchvision", "alexnet", 64, ALEXNET),
    Member("timm", "vgg11", 64, VGG),
    Member("timm", "resnext50_32x4d", 64, RESNET),
    Member("timm", "resnet50", 64, RESNET),
    Member("timm", "regnety_004", 64, RESNET),
    Member("timm", "swinv2_tiny_window8_256", 64, SWIN),
    Member("timm", "vit_small_patch14_dinov2", 56, VIT),
    Member("timm", "deit_tiny_patch16_224", 64, VIT),
    Member("timm", "mobilenetv4_conv_small", 64, FIVE),
    Member("timm", "mobilenetv4_hybrid_medium_075", 64, FIVE),
    Member("timm", "hiera_small_abswin_256", 64, HIERA),
    Member("timm", "vit_base_patch16_siglip_224", 32, VIT),
    Member("timm", "naflexvit_base_patch16_siglip", 32, VIT),
    Member("timm", "naflexvit_base_patch16_par_gap", 32, VIT),
    Member("timm", "vit_base_patch14_reg1_tipsv2", 28, VIT),
    Member("timm", "vit_small_patch16_rope_224", 32, VIT),
    Member("timm", "vit_small_patch16_rope_mixed_224", 32, ("body", "pool")),
    Member("timm", "eva_large_patch14_196", 28, ("embed", *(f"block{i}" for i in range(1, 25)), "norm")),
    Member("timm", "fastvit_mci0", 64, RESNET),
    Member("torchvision", "vgg11", 64, VGG),
    Member("torchvision", "vgg11_bn", 64, VGG),
    Member("torchvision", "regnet_x_400mf", 64, RESNET),
    Member("torchvision", "densenet121", 64, RESNET),
    Member("torchvision", "efficientnet_b0", 64, SEVEN),
    Member("torchvision", "convnext_tiny", 64, RESNET),
    Member("torchvision", "swin_t", 64, SWIN),
    Member("torchvision", "vit_b_32", 64, VIT),
    Member("torchvision", "googlenet", 64, ("body", "pool")),
    Member("torchvision", "maxvit_t", 224, ("body", "pool")),
)
ALIKE = {  # of FAST: another of FAST is taken apart by the same code
    "timm-resnext26ts",
    "timm-resnetv2_18",
    "timm-efficientnet_b0",
    "timm-mobilenetv2_050",
    "timm-convnext_atto",
    "timm-vit_small_patch14_reg4_dinov2",
    "torchvision-shufflenet_v2_x0_5",
}
MEMBERS = [
    pytest.param(member, id=str(member), marks=pytest.mark.slow if member in SLOW or str(member) in ALIKE else [])
    for member in (*FAST, *SLOW)
]


@lru_cache(maxsize=2)
def backbone_of(member: Member) -> Backbone:
    return build(Architecture(member.library, member.name), seed=3, input_size=member.size).eval()


@pytest.fixture(params=MEMBERS, scope="module")
def member(request: pytest.FixtureRequest) -> Iterator[Member]:
    with torch.inference_mode():
        yield request.param


def images_for(member: Member) -> Tensor:
    return torch.randn(2, 3, member.size, member.size, generator=torch.Generator().manual_seed(0))


@lru_cache(maxsize=1)
def library_network(member: Member) -> Any:
    """Build the same network with the library alone, from the same random state."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if member.library == "timm":
            fixed = timm.get_pretrained_cfg(member.name).fixed_input_size
            options: dict[str, Any] = {"img_size": member.size} if fixed else {}
            if "dinov3" in member.name:
                options["global_pool"] = "token"  # as DINOv3's authors read it
            return timm.create_model(member.name, **options).eval()
        options = {"image_size": member.size} if member.name.startswith("vit") else {}
        if member.name == "googlenet":
            options = {"aux_logits": False, "init_weights": True}
        return torchvision.models.get_model(member.name, weights=None, **options).eval()


def test_stages_have_the_names_of_the_design(member: Member) -> None:
    stages = backbone_of(member).stage_names
    if member.stages:
        assert stages == member.stages
    else:
        assert len(stages) > 2 and stages[-1] == "pool"


class Poisoned(Undrawn):
    """Makes every parameter that is not drawn NaN, so that one that is not filled afterwards shows."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = super().__torch_function__(function, types, args, kwargs)
        return nn.init.constant_(found, torch.nan) if isinstance(found, nn.Parameter) else found


def test_a_network_that_is_not_drawn_is_the_same_once_it_is_filled(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.models.architectures.build.Undrawn", Poisoned)
    drawn = backbone_of(member)
    filled = build(Architecture(member.library, member.name), seed=4, input_size=member.size, drawn=False).eval()
    runs = member.library == "timm" and (not member.stages or "body" in member.stages)  # to be taken apart
    assert any(bool(each.isnan().any()) for each in filled.parameters()) == (not runs)
    assert load_state(filled, drawn.state_dict()).missing == ()
    ours, theirs = ({**dict(each.named_parameters()), **dict(each.named_buffers())} for each in (filled, drawn))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(params=["a third", pytest.param("every", marks=pytest.mark.slow)], scope="module")
def points(request: pytest.FixtureRequest, member: Member) -> tuple[str, ...]:
    """The cut points that are tried: the first and the last among them, and one inside of a stage if there are any."""
    everywhere = backbone_of(member).cut_points
    if request.param == "every":
        return everywhere
    draw = random.Random(str(member))
    inside = [point for point in everywhere if "." in point]
    drawn = {*draw.sample(everywhere, len(everywhere) // 3), *draw.sample(inside, min(1, len(inside)))}
    return tuple(point for point in everywhere if point in drawn or point in (everywhere[0], everywhere[-1]))


def test_prefix_then_tail_equals_the_whole_and_leaves_the_stored_activations_as_they_are(
    member: Member, points: tuple[str, ...]
) -> None:
    backbone, images = backbone_of(member), images_for(member)
    whole = backbone(images)
    assert whole.shape == (2, backbone.feature_dim)
    for point in ("input", *points):
        prefix, tail = backbone.cut(point)
        activations = prefix(images)
        before = activations.clone()
        torch.testing.assert_close(tail(activations), whole, rtol=0, atol=1e-5, msg=point)
        assert torch.equal(activations, before), point


def test_truncation_gives_a_working_network(member: Member, points: tuple[str, ...]) -> None:
    backbone, images = backbone_of(member), images_for(member)
    for point in points:
        short = backbone.truncate(point)
        features = short(images)
        assert features.shape == (2, short.feature_dim), point
        assert bool(torch.isfinite(features).all()), point
        assert short.training == backbone.training


def test_parameter_groups_cover_every_parameter_exactly_once(member: Member) -> None:
    backbone = backbone_of(member)
    groups = dict(backbone.parameter_groups())
    assert tuple(groups) == backbone.stage_names
    listed = [id(parameter) for group in groups.values() for parameter in group]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(parameter) for parameter in backbone.stages.parameters()}


def test_the_stages_compute_what_the_library_computes(member: Member) -> None:
    if member.library == "headstart":
        pytest.skip("our own network has no other implementation here")
    backbone, images, original = backbone_of(member), images_for(member), library_network(member)
    features = backbone(images)
    if member.name == "squeezenet1_1":
        expected = original.features(images).mean((2, 3))
    elif "distilled" in member.name:
        expected = original.forward_features(images)[:, :2].mean(1)
    elif member.library == "timm":
        expected = original.forward_head(original.forward_features(images), pre_logits=True)
    else:
        assert backbone.classifier is not None
        features, expected = backbone.classifier(features), original(images)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


def test_every_tensor_of_the_library_network_has_its_place(member: Member) -> None:
    if member.library == "headstart":
        pytest.skip("our own network has no other implementation here")
    backbone = backbone_of(member)
    ours = backbone.state_dict()
    for theirs, value in library_network(member).state_dict().items():
        if place := backbone.original_keys[theirs]:
            assert torch.equal(ours[place], value), theirs
    placed = [place for place in backbone.original_keys.values() if place]
    assert sorted(set(placed)) == sorted(ours)


def test_a_file_of_the_librarys_own_weights_fills_the_network(member: Member) -> None:
    if member.library == "headstart":
        pytest.skip("our own network has no other implementation here")
    other = build(Architecture(member.library, member.name), seed=4, input_size=member.size).eval()
    report = load_state(other, library_network(member).state_dict())
    assert report.missing == () and report.resized == ()
    ours, wanted = other.state_dict(), backbone_of(member).state_dict()
    assert [name for name in ours if not torch.equal(ours[name], wanted[name])] == []


def test_an_image_too_small_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"cannot take images of 32 × 32 px .*larger input size") as caught:
        build(Architecture("torchvision", "alexnet"), input_size=32).truncate("fc6")
    assert "\n" not in str(caught.value)


def test_the_classifier_is_no_stage() -> None:
    backbone = backbone_of(FAST[0])
    assert isinstance(backbone.classifier, nn.Linear)
    assert not any(p is backbone.classifier.weight for p in backbone.stages.parameters())

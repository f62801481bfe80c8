"""Any of timm's networks as stages, as far as running it proves them."""

from __future__ import annotations

import pytest
import timm
import torch

from headstart.errors import ModelError
from headstart.models.architectures.generic import stage_any


@pytest.mark.parametrize(
    ("name", "first", "last"), [("ghostnet_050", "conv_stem", "pool"), ("mixer_s32_224", "stem", "pool")]
)
def test_a_chain_of_children_computes_what_the_network_computes(name: str, first: str, last: str) -> None:
    size = 224 if "mixer" in name else 64
    model = timm.create_model(name, num_classes=7).eval()
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        staged = stage_any(model, size)
        features = torch.nn.Sequential(staged.stages)(images)
        assert staged.classifier is not None
        assert torch.equal(staged.classifier(features), expected)
    names = list(staged.stages)
    assert (names[0], names[-1]) == (first, last) and len(names) > 4


def test_a_network_that_is_no_chain_is_a_body_and_a_pool() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=7).eval()
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        staged = stage_any(model, 32)
        assert list(staged.stages) == ["body", "pool"] and staged.classifier is not None
        assert torch.equal(staged.classifier(torch.nn.Sequential(staged.stages)(images)), expected)


def test_images_that_do_not_fit_are_refused_and_hooks_are_gone() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32).train()
    with pytest.raises(ModelError, match=r"VisionTransformer cannot take images of 40 × 40 px"):
        stage_any(model, 40)
    assert model.training and not any(module._forward_pre_hooks for module in model.modules())


def test_a_lack_of_memory_is_not_taken_for_images_of_a_wrong_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    model = timm.create_model("vit_tiny_patch16_224", img_size=32)
    monkeypatch.setattr(model, "forward_features", full)
    with pytest.raises(RuntimeError, match="not enough memory"):
        stage_any(model, 32)

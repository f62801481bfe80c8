"""timm's families as named stages; their numbers are compared in the conformance suite."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from headstart.models.architectures.timm_stages import FAMILIES, stage_timm


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]),
        ("tf_efficientnet_lite0", ["stem", *(f"stage{i}" for i in range(1, 8)), "conv_head", "pool"]),
        ("convnext_atto", ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]),
    ],
)
def test_stages_in_order_and_the_classifier_give_the_logits_of_the_network(name: str, stages: list[str]) -> None:
    model = timm.create_model(name, num_classes=5).eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        staged = stage_timm(model, 64)
        assert list(staged.stages) == stages and staged.classifier is not None
        torch.testing.assert_close(staged.classifier(nn.Sequential(staged.stages)(images)), expected)


def test_blocks_of_a_resnet_are_its_own_and_share_their_parameters() -> None:
    model = timm.create_model("resnet34")
    staged = stage_timm(model, 64)
    assert [len(staged.stages[f"stage{i}"]) for i in range(1, 5)] == [3, 4, 6, 3]  # type: ignore[arg-type]
    assert staged.stages["stage2"].block1 is model.layer2[0]


def test_a_family_that_is_not_known_is_taken_apart_by_running_it() -> None:
    model = timm.create_model("ghostnet_050", num_classes=5)
    assert type(model).__name__ not in FAMILIES
    assert "pool" in stage_timm(model, 64).stages

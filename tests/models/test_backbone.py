from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.backbone import output_shape
from headstart.models.preprocessing import Preprocessing

RESNET18 = Architecture("timm", "resnet18")


def test_blocks_of_a_stage_are_cut_points_and_the_last_block_is_the_stage() -> None:
    backbone = build(Architecture("timm", "resnet50"), input_size=32)
    assert backbone.cut_points[:9] == (
        "stem",
        "stage1.block1",
        "stage1.block2",
        "stage1",
        "stage2.block1",
        "stage2.block2",
        "stage2.block3",
        "stage2",
        "stage3.block1",
    )
    assert backbone.position("stage2.block3") == (2, 3)
    assert backbone.position("stage2.block4") == backbone.position("stage2") == (3, 0)
    assert backbone.position("input") == (0, 0)
    assert backbone.index("input") == -1 and backbone.index("stage2") == 2


def test_resnet50_without_the_last_block_of_its_second_stage_gives_512_features() -> None:
    short = build(Architecture("timm", "resnet50"), input_size=32).truncate("stage2.block3")
    assert short.stage_names == ("stem", "stage1", "stage2", "pool")
    assert short.feature_dim == 512
    assert [name for name, _ in short.stages[2].named_children()] == ["block1", "block2", "block3"]


def test_a_cut_shares_parameters_and_a_truncated_network_does_not() -> None:
    backbone = build(RESNET18)
    prefix, tail = backbone.cut("stage2.block1")
    ours = {id(p) for p in backbone.stages.parameters()}
    assert {id(p) for part in (prefix, tail) for p in part.parameters()} == ours
    assert not ours & {id(p) for p in backbone.truncate("stage2").parameters()}


def test_names_of_parameters_in_a_cut_are_those_of_the_whole() -> None:
    backbone = build(RESNET18)
    prefix, tail = backbone.cut("stage2.block1")
    assert {*prefix.state_dict(), *tail.state_dict()} == set(backbone.stages.state_dict())


def test_truncating_keeps_the_input_preprocessing_and_the_mode() -> None:
    backbone = build(RESNET18, input_size=64).eval()
    short = backbone.truncate("stage1")
    assert short.preprocessing == backbone.preprocessing
    assert not any(module.training for module in short.modules())
    assert short.name == "resnet18[:stage1]"


def test_an_unknown_stage_is_answered_with_the_stages_in_order() -> None:
    with pytest.raises(ModelError) as caught:
        build(RESNET18).cut("stage9")
    assert str(caught.value).startswith("resnet18 has no stage 'stage9' (did you mean 'stage")
    assert str(caught.value).endswith("its stages: input, stem, stage1, stage2, stage3, stage4, pool")


def test_an_unknown_block_is_answered_with_the_blocks() -> None:
    with pytest.raises(ModelError, match=r"no block 'stage2\.block7'; the blocks of stage2: block1, block2"):
        build(RESNET18).truncate("stage2.block7")
    with pytest.raises(ModelError, match="stem is cut as a whole only"):
        build(RESNET18).truncate("stem.block1")


def test_a_network_cut_at_its_input_is_refused() -> None:
    with pytest.raises(ModelError, match="no stage left"):
        build(RESNET18).truncate("input")


def test_bare_shares_the_stages_and_leaves_the_classifier_behind() -> None:
    backbone = build(RESNET18)
    bare = backbone.bare()
    assert bare.classifier is None and backbone.classifier is not None
    assert bare.stages is backbone.stages
    assert not any(key.startswith("classifier") for key in bare.state_dict())


def test_a_probe_for_the_shape_leaves_modes_and_buffers_alone() -> None:
    backbone = build(RESNET18).train()
    backbone.stages[0].eval()
    before = copy.deepcopy(backbone.state_dict())
    assert output_shape(backbone, 64, "resnet18") == (1, 512)
    assert backbone.stages[1].training and not backbone.stages[0].training
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_an_image_that_leaves_nothing_over_is_refused() -> None:
    with pytest.raises(ModelError, match="16 × 16 px"):
        output_shape(nn.Sequential(nn.Conv2d(3, 4, 9), nn.Conv2d(4, 4, 9)), 16, "toy")


def test_another_input_size_keeps_the_margin_in_proportion() -> None:
    assert Preprocessing(224, 256).at(112) == Preprocessing(112, 128)


def test_a_lack_of_memory_is_not_taken_for_images_of_a_wrong_size() -> None:
    class Full(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("std::bad_alloc")

    with pytest.raises(RuntimeError, match="bad_alloc"):
        output_shape(Full(), 32, "full")

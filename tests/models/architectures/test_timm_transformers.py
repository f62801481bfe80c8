"""Transformers with rotary positions or reordered tokens; their stages are compared in the conformance suite."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.architectures.timm_transformers import SIZED, RotaryBlock, stage_eva, stage_hiera, stage_naflex


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_dinov3_is_pooled_by_its_class_token_as_its_authors_do() -> None:
    backbone = build(Architecture("timm", "vit_tiny_patch16_dinov3_qkvb"), input_size=32).eval()
    with torch.no_grad():
        tokens = backbone.cut("block12")[0](images(32))
        features = backbone(images(32))
        assert tokens.shape == (2, 1 + 4 + 4, backbone.feature_dim)  # class token, registers, patches
        expected = backbone.stages.norm.part.norm(tokens)[:, 0]  # type: ignore[union-attr]
        torch.testing.assert_close(features, expected)


def test_a_shortened_network_leaves_class_and_register_tokens_out_of_its_mean() -> None:
    backbone = build(Architecture("timm", "vit_tiny_patch16_dinov3_qkvb"), input_size=32).eval()
    with torch.no_grad():
        tokens = backbone.cut("block3")[0](images(32))
        torch.testing.assert_close(backbone.truncate("block3")(images(32)), tokens[:, 5:].mean(1))


def test_perception_encoders_are_pooled_by_attention() -> None:
    backbone = build(Architecture("timm", "vit_pe_core_tiny_patch16_384"), input_size=32).eval()
    end = backbone.stages.norm.part  # type: ignore[union-attr]
    with torch.no_grad():
        tokens = backbone.cut("block12")[0](images(32))
        torch.testing.assert_close(backbone(images(32)), end.attn_pool(end.norm(tokens)))


def test_each_block_knows_where_its_patches_are() -> None:
    model = timm.create_model("eva02_tiny_patch14_224", img_size=56).eval()
    stages = stage_eva(model, 56).stages
    block = stages["block1"]
    assert isinstance(block, RotaryBlock) and block.rope is not None and block.rope.shape[0] == 16  # 4 x 4 patches
    assert not any("rope" in key for key in block.state_dict())
    tail = copy.deepcopy(nn.Sequential(*list(stages.values())[2:])).to("meta")
    assert all(buffer.is_meta for buffer in tail.buffers())  # the tail alone can move to another device
    tokens = torch.randn(1, 17, 192, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(block(tokens), model.blocks[0](tokens, rope=model.rope.get_embed()))
        assert not torch.allclose(block(tokens), model.blocks[0](tokens))


def test_positions_that_are_learned_stay_inside_a_body() -> None:
    model = timm.create_model("vit_small_patch16_rope_mixed_224", img_size=32)
    assert list(stage_eva(model, 32).stages) == ["body", "pool"]


def test_hieras_last_stage_forms_the_grid_of_the_image() -> None:
    model = timm.create_model("hiera_tiny_224", img_size=64, num_classes=5).eval()
    picture = images(64)
    with torch.no_grad():
        _, maps = model.forward_intermediates(picture)
        expected = model(picture)
        staged = stage_hiera(model, 64)
        chain = nn.Sequential(staged.stages)
        tokens = chain[:5](picture)
        torch.testing.assert_close(tokens.transpose(1, 2).reshape(maps[-1].shape), maps[-1])
        assert staged.classifier is not None
        torch.testing.assert_close(staged.classifier(chain(picture)), expected)


def test_naflex_without_rotary_positions_is_a_row_of_blocks() -> None:
    model = timm.create_model("naflexvit_so150m2_patch16_reg1_gap", img_size=32, depth=1, embed_dim=64, num_heads=2)
    assert list(stage_naflex(model, 32).stages) == ["embed", "block1", "norm"]


def test_an_image_of_another_size_than_it_was_built_for_is_refused() -> None:
    backbone = build(Architecture("timm", "vit_tiny_patch16_dinov3_qkvb"), input_size=32)
    backbone.preprocessing = backbone.preprocessing.at(48)
    with pytest.raises(ModelError, match="cannot take images of 48 × 48 px"):
        backbone.truncate("block2")


def test_every_sized_family_is_one_of_timms_classes() -> None:
    classes = {type(timm.create_model(name)).__name__ for name in ("vit_tiny_patch16_dinov3_qkvb",)}
    assert classes <= set(SIZED) == {"Eva", "Hiera", "NaFlexVit"}

"""The network for aerial pictures: its stages, and what its last one computes."""

from __future__ import annotations

import torch
from torch.nn import functional

from headstart.models.architectures.aerial import aerial_resnet18


def test_its_features_are_sixteen_cells_through_a_linear_layer_at_length_one() -> None:
    backbone = aerial_resnet18().eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        prefix, pool = backbone.cut("stage4")
        maps = prefix(images)
        assert maps.shape == (2, 512, 8, 8)  # a stem without stride, then three halvings
        cells = functional.avg_pool2d(maps, 2).flatten(1)
        layer = backbone.stages[-1].fc  # type: ignore[union-attr]
        expected = cells @ layer.weight.T + layer.bias
        torch.testing.assert_close(pool(maps), expected / expected.norm(dim=1, keepdim=True))
        assert backbone.truncate("stage4")(images).shape == (2, 512)


def test_it_has_the_blocks_of_a_resnet18() -> None:
    backbone = aerial_resnet18()
    assert backbone.stage_names == ("stem", "stage1", "stage2", "stage3", "stage4", "pool")
    assert "stage2.block1" in backbone.cut_points
    assert sum(each.numel() for each in backbone.parameters()) == 13_266_240

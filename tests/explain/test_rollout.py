from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from headstart.errors import ModelError
from headstart.explain.explainers import explain
from headstart.explain.rollout import rollout
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
TARGETS = torch.tensor([0, 1, 2])


def vit(name: str = "vit_tiny_patch16_224") -> Network:
    backbone, _ = create_backbone(name, None, input_size=32)
    return Network(backbone, LinearHead(backbone.feature_dim, 4))


def test_two_layers_are_the_figure_worked_out_by_hand() -> None:
    first = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]], [[0.5, 0.5], [1.0, 0.0]]]])  # two heads, mean below
    second = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]] * 2]).view(1, 2, 2, 2)
    # half attention, half identity: [[.75, .25], [.25, .75]] after [[.5, .5], [.5, .5]]
    expected = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    torch.testing.assert_close(rollout([first, second]), expected)
    torch.testing.assert_close(rollout([first]), torch.tensor([[[0.75, 0.25], [0.25, 0.75]]]))


def test_rows_of_the_flow_sum_to_one() -> None:
    attention = [torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(i)).softmax(-1) for i in range(4)]
    torch.testing.assert_close(rollout(attention).sum(-1), torch.ones(2, 5))


def test_the_map_is_the_class_token_s_row_by_timm_s_own_unfused_attention() -> None:
    network = vit().eval()
    tokens, attention = network.backbone.stages[0](IMAGES), []
    for block in list(network.backbone.stages)[1:-1]:
        layer, given = block.attn, block.norm1(tokens)
        n, t, _ = given.shape
        q, k, _ = layer.qkv(given).reshape(n, t, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
        attention.append((q @ k.transpose(-2, -1) * layer.scale).softmax(-1))
        tokens = block(tokens)
    flow = torch.eye(5)
    for weights in attention:
        flow = (0.5 * weights.mean(1) + 0.5 * torch.eye(5)) @ flow
    maps = explain(network, IMAGES, TARGETS, "attention_rollout")
    corners = maps[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, flow[:, 0, 1:].detach().numpy(), rtol=1e-4)


def test_fused_attention_and_hooks_are_as_before_even_after_an_error() -> None:
    network = vit()
    layers = [module for module in network.modules() if hasattr(module, "fused_attn")]
    before = [layer.fused_attn for layer in layers]
    assert any(before)
    expected = network.eval()(IMAGES)

    def fail(*_: object) -> None:
        assert not layers[0].fused_attn
        raise RuntimeError("stop")

    explain(network, IMAGES, TARGETS, "attention_rollout", batch=2)
    calls = iter(range(100))  # the first forward checks the images; the second is recorded
    handle = layers[-1].register_forward_hook(lambda *args: fail() if next(calls) == 1 else None)
    with pytest.raises(RuntimeError, match="stop"):
        explain(network, IMAGES, TARGETS, "attention_rollout")
    handle.remove()
    assert [layer.fused_attn for layer in layers] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    torch.testing.assert_close(network(IMAGES), expected)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "xcit_nano_12_p16_224"])
def test_networks_without_global_attention_over_patches_are_refused(name: str) -> None:
    assert timm.is_model(name)
    with pytest.raises(ModelError, match=r"attention rollout cannot explain \w+: .*use grad_cam"):
        explain(vit(name), IMAGES, TARGETS, "attention_rollout")

"""Every explainer over the families of backbones: maps of the right shape, or a refusal in one line.

In every run each explainer meets a third of the families, and each family a third of the explainers; all of them where
the tests marked slow run (`.ci/run thorough`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import ModelError
from headstart.explain.explainers import EXPLAINERS, explain
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network

pytestmark = pytest.mark.long

FAMILIES = {
    "resnet18": 32,
    "efficientnet_lite0": 32,
    "mobilenetv3_small_050": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 32,
    "deit_tiny_distilled_patch16_224": 32,
    "swin_tiny_patch4_window7_224": 32,
    "eva02_tiny_patch14_224": 28,
    "vit_tiny_patch16_dinov3_qkvb": 32,
    "vit_pe_core_tiny_patch16_384": 32,
    "hiera_tiny_224": 64,
    "mobilenetv4_conv_small_035": 32,
    "fastvit_t8": 64,
}
WITH_ROLLOUT = {
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_tiny_patch16_dinov3_qkvb",
    "vit_pe_core_tiny_patch16_384",
}
QUICK: dict[str, dict[str, Any]] = {
    "lime": {"samples": 12, "most_samples": 24, "pieces": 9},
    "integrated_gradients": {"steps": 3, "most_steps": 6},
    "occlusion": {"window": 0.5, "stride": 0.5},
}
PAIRS = [
    pytest.param(name, method, id=f"{name}-{method}", marks=[] if (row + column) % 3 == 0 else pytest.mark.slow)
    for row, name in enumerate(sorted(FAMILIES))
    for column, method in enumerate(sorted(EXPLAINERS))
]
_networks: dict[str, Network] = {}


def network_of(name: str) -> Network:
    """Make each network once: making them is what takes the time."""
    if name not in _networks:
        backbone, _ = create_backbone(name, None, input_size=FAMILIES[name])
        head = LinearHead(backbone.feature_dim, 5)
        torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
        _networks[name] = Network(backbone, head).train()
    return _networks[name]


def facts(network: Network) -> dict[str, Any]:
    """Everything about a network that an explanation must leave alone."""
    return {
        "modes": [module.training for module in network.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()
        ],
        "wanted": [p.requires_grad for p in network.parameters()],
        "gradients": [p.grad is None for p in network.parameters()],
        "fused": [getattr(module, "fused_attn", None) for module in network.modules()],
        "sum": [float(value.double().sum()) for value in network.state_dict().values()],
    }


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_maps_have_the_images_shape_and_the_network_is_untouched(name: str, method: str) -> None:
    network, size = network_of(name), FAMILIES[name]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    before = facts(network)
    if method == "attention_rollout" and name not in WITH_ROLLOUT:
        with pytest.raises(ModelError, match="attention rollout cannot explain") as refusal:
            explain(network, images, torch.tensor([0, 2, 4]), method)
        assert "\n" not in str(refusal.value)
    else:
        maps = explain(network, images, torch.tensor([0, 2, 4]), method, **QUICK.get(method, {}))
        again = explain(network, images, torch.tensor([0, 2, 4]), method, **QUICK.get(method, {}))
        assert maps.shape == (3, size, size) and maps.dtype == np.float32
        assert np.isfinite(maps).all() and (np.ptp(maps, axis=(1, 2)) > 0).any()
        np.testing.assert_array_equal(maps, again)
    assert facts(network) == before


def test_in_every_run_rollout_explains_a_network_and_refuses_another() -> None:
    usual = {pair.values for pair in PAIRS if not pair.marks}
    assert {name for name, _ in usual} == set(FAMILIES) and {method for _, method in usual} == set(EXPLAINERS)
    assert len({name in WITH_ROLLOUT for name, method in usual if method == "attention_rollout"}) == 2

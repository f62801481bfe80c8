from __future__ import annotations

import torch
from torch import nn

from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.network import Network


def test_a_network_is_the_head_after_the_backbone_without_its_classifier() -> None:
    backbone = build(Architecture("timm", "resnet18")).eval()
    head = nn.Linear(512, 3)
    network = Network(backbone, head).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), head(backbone(images)))
    assert {key.split(".")[0] for key in network.state_dict()} == {"backbone", "head"}
    assert not any(key.startswith("backbone.classifier") for key in network.state_dict())

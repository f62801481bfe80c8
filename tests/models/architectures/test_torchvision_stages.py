"""torchvision's families as named stages; their numbers are compared in the conformance suite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from headstart.errors import ModelError
from headstart.models.architectures.torchvision_stages import stage_torchvision
from headstart.models.preprocessing import Preprocessing
from headstart.transfer.frozen.engine import Engine


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("alexnet", ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]),
        ("resnet18", ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]),
    ],
)
def test_stages_in_order_and_the_classifier_give_the_logits_of_the_network(name: str, stages: list[str]) -> None:
    model = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        staged = stage_torchvision(model)
        assert list(staged.stages) == stages and staged.classifier is not None
        torch.testing.assert_close(staged.classifier(nn.Sequential(staged.stages)(images)), expected)


def test_the_graph_of_a_vision_transformer_takes_any_number_of_images() -> None:
    model = torchvision.models.VisionTransformer(32, 16, 1, 2, 16, 32, num_classes=3).eval()
    network = nn.Sequential(stage_torchvision(model).stages)
    engine = Engine(network, Preprocessing(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
    assert engine.name == "onnxruntime"
    assert np.allclose(engine(pixels), expected.numpy(), atol=1e-5)


def test_each_pooling_of_alexnet_belongs_to_the_convolution_before_it() -> None:
    staged = stage_torchvision(torchvision.models.alexnet(weights=None))
    pools = [name for name, stage in staged.stages.items() if any(isinstance(m, nn.MaxPool2d) for m in stage.modules())]
    assert pools == ["conv1", "conv2", "conv5"]


def test_a_network_without_a_linear_classifier_at_its_end_is_refused_in_one_line() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.tail = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    with pytest.raises(ModelError):
        stage_torchvision(Odd())

"""The ResNet-18 of geoembed (version 3) for aerial pictures: a stem for small images, and a linear layer at its end."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from headstart.models.architectures.parts import Reduce, blocks, sequence
from headstart.models.backbone import Backbone
from headstart.models.preprocessing import Preprocessing

NAME = "aerial_resnet18"
WIDTHS = (64, 128, 256, 512)
GRID = 4  # the last map is averaged to this many cells a side
OUTPUTS = 256


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside the input, or beside a 1×1 convolution of it where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU()
        self.short: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, activations: Tensor) -> Tensor:
        """Return [n, outputs, h / stride, w / stride]."""
        inner = self.bn2(self.conv2(self.act(self.bn1(self.conv1(activations)))))
        added: Tensor = self.act(inner + self.short(activations))
        return added


class UnitLength(nn.Module):
    """Vectors divided by their length."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Return [n, d] of length 1."""
        return functional.normalize(vectors, dim=1, eps=1e-8)


def aerial_resnet18() -> Backbone:
    """ResNet-18 with a 3×3 stem of stride 1 and no pooling in front, as `geoembed.arch.TileEncoderV3` computes it.

    Its features are the 16 cells of the last map through a linear layer, as vectors of 256 numbers and length 1.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        stem=sequence(
            ("conv", nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)), ("bn", nn.BatchNorm2d(64)), ("act", nn.ReLU())
        )
    )
    before = WIDTHS[0]
    for number, width in enumerate(WIDTHS, 1):
        stride = 1 if number == 1 else 2
        stages[f"stage{number}"] = blocks([BasicBlock(before, width, stride), BasicBlock(width, width, 1)])
        before = width
    stages["pool"] = sequence(
        ("avgpool", nn.AdaptiveAvgPool2d(GRID)),
        ("flatten", nn.Flatten(1)),
        ("fc", nn.Linear(GRID * GRID * WIDTHS[-1], OUTPUTS)),
        ("norm", UnitLength()),
    )
    needs = Preprocessing(128, 128, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Backbone(NAME, stages, feature_dim=OUTPUTS, preprocessing=needs, reduce=Reduce())

"""Networks that are built here: LeNet-5, a small CNN, Conv-4, ResNet-12, and the one for aerial pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headstart.models.architectures.aerial import NAME, aerial_resnet18
from headstart.models.architectures.parts import Reduce, sequence
from headstart.models.backbone import Backbone
from headstart.models.preprocessing import Preprocessing

_CIFAR = Preprocessing(32, 32, "bilinear", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_MINI = Preprocessing(84, 92, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ScaledTanh(nn.Module):
    """LeCun's 1.7159 tanh(2x/3), which keeps unit variance."""

    def forward(self, activations: Tensor) -> Tensor:
        """Return the same shape."""
        return 1.7159 * torch.tanh(activations * (2 / 3))


def lenet5() -> Backbone:
    """LeNet-5 for colour images of 32 px: LeCun et al., Gradient-based learning applied to document recognition, 1998.

    Every map of C3 sees every map of S2, and subsampling is a plain mean. The head is the output layer.
    """
    stages = OrderedDict[str, nn.Module](
        conv1=sequence(("conv", nn.Conv2d(3, 6, 5)), ("act", ScaledTanh()), ("pool", nn.AvgPool2d(2))),
        conv2=sequence(("conv", nn.Conv2d(6, 16, 5)), ("act", ScaledTanh()), ("pool", nn.AvgPool2d(2))),
        conv3=sequence(("conv", nn.Conv2d(16, 120, 5)), ("act", ScaledTanh()), ("pool", Reduce())),
        fc6=sequence(("fc", nn.Linear(120, 84)), ("act", ScaledTanh())),
    )
    plain = Preprocessing(32, 32, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Backbone("lenet5", stages, feature_dim=84, preprocessing=plain, reduce=Reduce())


class Residual(nn.Module):
    """x + inner(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, activations: Tensor) -> Tensor:
        """Return the same shape."""
        change: Tensor = self.inner(activations)
        return activations + change


def _conv_bn_relu(inputs: int, outputs: int, stride: int = 1, pool: bool = False) -> nn.Sequential:
    return sequence(
        ("conv", nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)),
        ("pool", nn.MaxPool2d(2) if pool else None),
        ("bn", nn.BatchNorm2d(outputs)),
        ("act", nn.ReLU(inplace=True)),
    )


def small_cnn() -> Backbone:
    """A small network with one residual block for images of 32 px, cheap enough to train on a CPU.

    In the manner of the nine-layer network of Page, How to train your ResNet (2018), but it works at half the
    resolution and half the width: 24.5 million multiply-adds for an image.
    """
    stages = OrderedDict[str, nn.Module](
        stem=_conv_bn_relu(3, 32, pool=True),
        stage1=sequence(("block1", _conv_bn_relu(32, 64))),
        stage2=sequence(
            ("block1", _conv_bn_relu(64, 128, stride=2)),
            ("block2", Residual(_conv_bn_relu(128, 128))),
        ),
        stage3=sequence(("block1", _conv_bn_relu(128, 256, stride=2))),
        pool=sequence(("pool", nn.AdaptiveMaxPool2d(1)), ("flatten", nn.Flatten(1))),
    )
    return Backbone("small_cnn", stages, feature_dim=256, preprocessing=_CIFAR, reduce=Reduce())


def conv4() -> Backbone:
    """Four blocks of 64 convolutions for images of 84 px, the map kept as a vector: the few-shot literature's Conv-4.

    Snell, Swersky and Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017 (arXiv 1703.05175).
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, 5):
        stages[f"block{i}"] = sequence(
            ("conv", nn.Conv2d(3 if i == 1 else 64, 64, 3, padding=1)),
            ("bn", nn.BatchNorm2d(64)),
            ("act", nn.ReLU(inplace=True)),
            ("pool", nn.MaxPool2d(2)),
        )
    stages["pool"] = nn.Flatten(1)
    return Backbone("conv4", stages, feature_dim=1600, preprocessing=_MINI, reduce=Reduce())


class ResNet12Block(nn.Module):
    """Three 3×3 convolutions beside a 1×1 one, then halving; leaky ReLU of slope 0.1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(3):
            conv = nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outputs)] + ([nn.LeakyReLU(0.1)] if i < 2 else [])
        self.body = nn.Sequential(*layers)
        self.side = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.act = nn.LeakyReLU(0.1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, activations: Tensor) -> Tensor:
        """Return [n, outputs, h // 2, w // 2]."""
        halved: Tensor = self.pool(self.act(self.body(activations) + self.side(activations)))
        return halved


def resnet12() -> Backbone:
    """ResNet-12 of widths 64, 160, 320, 640 for images of 84 px, without DropBlock.

    Lee et al., Meta-Learning with Differentiable Convex Optimization, CVPR 2019 (arXiv 1904.03758).
    """
    widths = (3, 64, 160, 320, 640)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, 5):
        stages[f"stage{i}"] = ResNet12Block(widths[i - 1], widths[i])
    stages["pool"] = sequence(("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1)))
    return Backbone("resnet12", stages, feature_dim=640, preprocessing=_MINI, reduce=Reduce())


CLASSICS: dict[str, Callable[[], Backbone]] = {
    NAME: aerial_resnet18,
    "conv4": conv4,
    "lenet5": lenet5,
    "resnet12": resnet12,
    "small_cnn": small_cnn,
}

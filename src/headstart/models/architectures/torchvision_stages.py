"""torchvision's networks as named stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.architectures.parts import Apply, Reduce, Staged, blocks, part_of, sequence, split_at_pools


def stage_torchvision(model: nn.Module) -> Staged:
    """Take a torchvision classifier apart.

    Raises:
        ModelError: its last layer is not linear.
    """
    known = FAMILIES.get(type(model).__name__)
    return known(model) if known else _any_network(model)


def _stages(stem: nn.Module, stages: Iterable[nn.Module], *end: tuple[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    numbered = ((f"stage{i}", stage) for i, stage in enumerate(stages, 1))
    return OrderedDict([("stem", stem), *numbered, *end])


def _pool(model: Any, *after: tuple[str, nn.Module]) -> nn.Sequential:
    return sequence(("avgpool", model.avgpool), ("flatten", nn.Flatten(1)), *after)


def _alexnet(model: Any) -> Staged:
    """Krizhevsky's five convolutions and two linear layers; each pooling belongs to the layer before it."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    starts = [i for i, layer in enumerate(model.features) if isinstance(layer, nn.Conv2d)]
    for i, (start, end) in enumerate(zip(starts, [*starts[1:], len(model.features)], strict=True), 1):
        stages[f"conv{i}"] = nn.Sequential(*model.features[start:end])
    head = model.classifier
    stages["fc6"] = sequence(*_pool(model).named_children(), ("drop", head[0]), ("fc", head[1]), ("act", head[2]))
    stages["fc7"] = sequence(("drop", head[3]), ("fc", head[4]), ("act", head[5]))
    return Staged(stages, head[6])


def _vgg(model: Any) -> Staged:
    stages = split_at_pools(model.features, "block")
    head = model.classifier
    stages["fc6"] = sequence(*_pool(model).named_children(), ("fc", head[0]), ("act", head[1]), ("drop", head[2]))
    stages["fc7"] = sequence(("fc", head[3]), ("act", head[4]), ("drop", head[5]))
    return Staged(stages, head[6])


def _resnet(model: Any) -> Staged:
    stem = sequence(*((name, getattr(model, name)) for name in ("conv1", "bn1", "relu", "maxpool")))
    layers = (blocks(layer) for layer in (model.layer1, model.layer2, model.layer3, model.layer4))
    return Staged(_stages(stem, layers, ("pool", _pool(model))), model.fc)


def _regnet(model: Any) -> Staged:
    layers = (blocks(layer.children()) for layer in model.trunk_output)
    return Staged(_stages(model.stem, layers, ("pool", _pool(model))), model.fc)


def _densenet(model: Any) -> Staged:
    features = dict(model.features.named_children())
    stem = sequence(*((name, features[name]) for name in ("conv0", "norm0", "relu0", "pool0")))
    stages = []
    for i in range(1, 5):
        end = (
            (("norm", features["norm5"]), ("act", nn.ReLU()))
            if i == 4
            else (("transition", features[f"transition{i}"]),)
        )
        stages.append(sequence(("dense", features[f"denseblock{i}"]), *end))
    pool = sequence(("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1)))
    return Staged(_stages(stem, stages, ("pool", pool)), model.classifier)


def _mobilenet_v2(model: Any) -> Staged:
    layers = list(model.features)
    pool = sequence(("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1)))
    ends = (("conv_head", layers[-1]), ("pool", pool))
    return Staged(_stages(layers[0], _by_width(layers[1:-1]), *ends), model.classifier[1])


def _mobilenet_v3(model: Any) -> Staged:
    """As v2; the linear layer between the pooling and the classifier belongs to the pooling."""
    layers = list(model.features)
    linear, act, drop, classifier = model.classifier
    pool = _pool(model, ("fc", linear), ("act", act), ("drop", drop))
    ends = (("conv_head", layers[-1]), ("pool", pool))
    return Staged(_stages(layers[0], _by_width(layers[1:-1]), *ends), classifier)


def _by_width(layers: Iterable[Any]) -> list[nn.Sequential]:
    """Group inverted residuals into stages; one without a shortcut, which changes width or resolution, begins one."""
    groups: list[list[nn.Module]] = []
    for layer in layers:
        if layer.use_res_connect and groups:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return [blocks(group) for group in groups]


def _efficientnet(model: Any) -> Staged:
    layers = list(model.features)
    ends = (("conv_head", layers[-1]), ("pool", _pool(model)))
    return Staged(_stages(layers[0], (blocks(layer) for layer in layers[1:-1]), *ends), model.classifier[1])


def _convnext(model: Any) -> Staged:
    layers = list(model.features)
    stages = (blocks(layers[i], before=layers[i - 1] if i > 1 else None) for i in range(1, len(layers), 2))
    pool = sequence(("avgpool", model.avgpool), ("norm", model.classifier[0]), ("flatten", model.classifier[1]))
    return Staged(_stages(layers[0], stages, ("pool", pool)), model.classifier[2])


def _swin(model: Any) -> Staged:
    layers = list(model.features)
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=layers[0])
    for i in range(1, len(layers), 2):
        stages[f"stage{i // 2 + 1}"] = blocks(layers[i], before=layers[i - 1] if i > 1 else None)
    end = ((name, getattr(model, name)) for name in ("norm", "permute", "avgpool", "flatten"))
    stages["pool"] = sequence(*end)
    return Staged(stages, model.head, Reduce(channels_last=True))


def _vit(model: Any) -> Staged:
    front = part_of(model, ("conv_proj",), own=True)
    positions = part_of(model.encoder, ("dropout",), own=True)
    front._modules["encoder"] = positions
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=Apply(front, _vit_embed))
    for i, block in enumerate(model.encoder.layers, 1):
        stages[f"block{i}"] = block
    stages["norm"] = Apply(part_of(model.encoder, ("ln",)), _vit_end)
    return Staged(stages, model.heads.head, Reduce(prefix_tokens=1))


def _vit_embed(part: Any, images: Tensor) -> Tensor:
    patches = part._process_input(images)
    tokens = torch.cat([part.class_token.expand(patches.shape[0], -1, -1), patches], dim=1)
    embedded: Tensor = part.encoder.dropout(tokens + part.encoder.pos_embedding)
    return embedded


def _vit_end(part: Any, tokens: Tensor) -> Tensor:
    features: Tensor = part.ln(tokens)[:, 0]
    return features


def _squeezenet(model: Any) -> Staged:
    """Its classifier is a convolution in front of the pooling, and stays behind."""
    return Staged(OrderedDict(body=model.features, pool=Reduce()), None)


def _any_network(model: Any) -> Staged:
    """Any other classifier: all of it as the body, its last linear layer taken out."""
    name, classifier = list(model.named_modules())[-1]
    if not isinstance(classifier, nn.Linear):
        raise ModelError(f"{type(model).__name__} does not end with a linear layer; choose another backbone")
    parent, _, last = name.rpartition(".")
    model.get_submodule(parent)._modules[last] = nn.Identity()
    return Staged(OrderedDict(body=model, pool=Reduce()), classifier)


FAMILIES: dict[str, Callable[[nn.Module], Staged]] = {
    "AlexNet": _alexnet,
    "VGG": _vgg,
    "ResNet": _resnet,
    "RegNet": _regnet,
    "DenseNet": _densenet,
    "MobileNetV2": _mobilenet_v2,
    "MobileNetV3": _mobilenet_v3,
    "EfficientNet": _efficientnet,
    "ConvNeXt": _convnext,
    "SwinTransformer": _swin,
    "SqueezeNet": _squeezenet,
    "VisionTransformer": _vit,
}

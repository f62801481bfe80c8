"""timm's networks as named stages: one function for each family, and one that works for any of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headstart.models.pieces import Apply, Reduce, Staged, blocks, part_of, sequence


def stage_timm(model: nn.Module, size: int) -> Staged:
    """Take a timm classifier apart; `size` is the side of an image it can take, in pixels."""
    known = FAMILIES.get(type(model).__name__)
    return known(model) if known else _any_network(model, size)


def _classifier(module: nn.Module) -> nn.Module | None:
    return None if isinstance(module, nn.Identity) else module


def _resnet(model: nn.Module) -> Staged:
    """ResNet, ResNeXt, Wide ResNet, SE- and ECA-ResNet."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = sequence(
        *((name, getattr(model, name, None)) for name in ("conv1", "bn1", "act1", "maxpool"))
    )
    for i in range(1, 5):
        stages[f"stage{i}"] = blocks(getattr(model, f"layer{i}"))
    stages["pool"] = model.global_pool
    return Staged(stages, _classifier(model.fc))


def _efficientnet(model: nn.Module) -> Staged:
    """EfficientNet, EfficientNet-Lite, MobileNet v2, MNASNet."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = sequence(("conv", model.conv_stem), ("bn", model.bn1))
    for i, stage in enumerate(model.blocks, 1):
        stages[f"stage{i}"] = blocks(stage)
    stages["conv_head"] = sequence(("conv", model.conv_head), ("bn", model.bn2))
    stages["pool"] = model.global_pool
    return Staged(stages, _classifier(model.classifier))


def _vit(model: nn.Module) -> Staged:
    """ViT, DeiT, DINOv2."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    front = part_of(model, ("patch_embed", "pos_drop", "patch_drop", "norm_pre"), own=True)
    stages["embed"] = Apply(front, _vit_embed)
    for i, block in enumerate(model.blocks, 1):
        stages[f"block{i}"] = block
    distilled = hasattr(model, "head_dist")
    back = part_of(model, ("norm", "attn_pool", "fc_norm"))
    stages["norm"] = Apply(back, _vit_distilled_end if distilled else _vit_end)
    classifier = None if distilled else _classifier(model.head)
    return Staged(stages, classifier, Reduce(prefix_tokens=model.num_prefix_tokens))


def _vit_embed(part: nn.Module, images: Tensor) -> Tensor:
    tokens: Tensor = part.norm_pre(part.patch_drop(part._pos_embed(part.patch_embed(images))))
    return tokens


def _vit_end(part: nn.Module, tokens: Tensor) -> Tensor:
    features: Tensor = part.fc_norm(part.pool(part.norm(tokens)))
    return features


def _vit_distilled_end(part: nn.Module, tokens: Tensor) -> Tensor:
    features: Tensor = part.norm(tokens)[:, :2].mean(1)  # the class token and the distillation token
    return features


def _any_network(model: nn.Module, size: int) -> Staged:
    """Any other network: the chain of its children where that is what it computes, else body and pool."""
    called = _children_called(model, size)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    head_only = [name for name in called["head"] if name not in called["body"]]
    stages["body"] = Apply(part_of(model, set(model._modules) - set(head_only), own=True), _forward_features)
    classifier = model.get_classifier()
    stages["pool"] = Apply(part_of(model, called["head"]), _forward_pre_logits)
    kept = classifier if isinstance(classifier, nn.Linear) else None
    return Staged(stages, kept)


def _forward_features(part: nn.Module, images: Tensor) -> Tensor:
    activations: Tensor = part.forward_features(images)
    return activations


def _forward_pre_logits(part: nn.Module, activations: Tensor) -> Tensor:
    features: Tensor = part.forward_head(activations, pre_logits=True)
    return features


def _children_called(model: nn.Module, size: int) -> dict[str, list[str]]:
    """Return which children `forward_features` and `forward_head(pre_logits)` call, in the order of first calls."""
    called: dict[str, list[str]] = {"body": [], "head": []}
    owner = {inner: name for name, child in model.named_children() for inner in child.modules()}
    phase = "body"

    def note(module: nn.Module, _: object) -> None:
        if owner[module] not in called[phase]:
            called[phase].append(owner[module])

    handles = [module.register_forward_pre_hook(note) for module in owner]
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            activations = model.forward_features(torch.zeros(1, 3, size, size))
            phase = "head"
            model.forward_head(activations, pre_logits=True)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return called


FAMILIES: dict[str, Callable[[nn.Module], Staged]] = {
    "ResNet": _resnet,
    "EfficientNet": _efficientnet,
    "VisionTransformer": _vit,
    "VisionTransformerDistilled": _vit,
}

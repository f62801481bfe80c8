"""timm's networks as named stages: one function for each family, and one that works for any of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from headstart.models.architectures.generic import stage_any
from headstart.models.architectures.parts import Apply, Reduce, Staged, blocks, part_of, sequence, split_at_pools
from headstart.models.architectures.timm_transformers import SIZED


def stage_timm(model: nn.Module, size: int) -> Staged:
    """Take a timm classifier apart; `size` is the side of an image it can take, in pixels."""
    name = type(model).__name__
    if name in SIZED:
        return SIZED[name](model, size)
    known = FAMILIES.get(name)
    return known(model) if known else stage_any(model, size)


def _linear(module: nn.Module) -> nn.Linear | None:
    return module if isinstance(module, nn.Linear) else None


def _stages(stem: nn.Module, stages: Iterable[nn.Module], *end: tuple[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    numbered = ((f"stage{i}", stage) for i, stage in enumerate(stages, 1))
    return OrderedDict([("stem", stem), *numbered, *end])


def _resnet(model: Any) -> Staged:
    """ResNet, ResNeXt, Wide ResNet, SE- and ECA-ResNet."""
    stem = sequence(*((name, getattr(model, name, None)) for name in ("conv1", "bn1", "act1", "maxpool")))
    layers = (blocks(layer) for layer in (model.layer1, model.layer2, model.layer3, model.layer4))
    return Staged(_stages(stem, layers, ("pool", model.global_pool)), _linear(model.fc))


def _regnet(model: Any) -> Staged:
    layers = (blocks(layer.children()) for layer in (model.s1, model.s2, model.s3, model.s4))
    pool = sequence(("final_conv", model.final_conv), ("pool", model.head.global_pool))
    return Staged(_stages(model.stem, layers, ("pool", pool)), _linear(model.head.fc))


def _vgg(model: Any) -> Staged:
    stages = split_at_pools(model.features, "block")
    mlp = model.pre_logits
    stages["fc6"] = Apply(part_of(mlp, ("fc1", "act1", "drop")), _vgg_fc6)
    stages["fc7"] = sequence(("fc", mlp.fc2), ("act", mlp.act2), ("pool", model.head.global_pool))
    return Staged(stages, _linear(model.head.fc))


def _vgg_fc6(part: Any, maps: Tensor) -> Tensor:
    height, width = (max(part.input_kernel_size, length) for length in maps.shape[-2:])
    if maps.shape[-2:] != (height, width):
        maps = nn.functional.adaptive_avg_pool2d(maps, (height, width))
    activations: Tensor = part.drop(part.act1(part.fc1(maps)))
    return activations


def _densenet(model: Any) -> Staged:
    features = dict(model.features.named_children())
    stem = sequence(
        *(
            (name, child)
            for name, child in features.items()
            if name[-1] in "012" and "block" not in name and "transition" not in name
        )
    )
    stages = []
    for i in range(1, 5):
        ends = {"transition": features.get(f"transition{i}"), "norm": features["norm5"] if i == 4 else None}
        stages.append(sequence(("dense", features[f"denseblock{i}"]), *ends.items()))
    return Staged(_stages(stem, stages, ("pool", model.global_pool)), _linear(model.classifier))


def _efficientnet(model: Any) -> Staged:
    """EfficientNet, EfficientNet-Lite, MobileNet v2, MNASNet."""
    stem = sequence(("conv", model.conv_stem), ("bn", model.bn1))
    last = sequence(("conv", model.conv_head), ("bn", model.bn2))
    stages = _stages(stem, (blocks(stage) for stage in model.blocks), ("conv_head", last), ("pool", model.global_pool))
    return Staged(stages, _linear(model.classifier))


def _mobilenet_v3(model: Any) -> Staged:
    """MobileNet v3 and v4, whose last layer comes after the pooling."""
    stem = sequence(("conv", model.conv_stem), ("bn", model.bn1))
    end = ("global_pool", "conv_head", "norm_head", "act2", "flatten")
    pool = sequence(*((name, getattr(model, name)) for name in end))
    stages = _stages(stem, (blocks(stage) for stage in model.blocks), ("pool", pool))
    return Staged(stages, _linear(model.classifier))


def _convnext(model: Any) -> Staged:
    head = model.head
    end = {"norm_pre": model.norm_pre, **{name: getattr(head, name) for name in ("global_pool", "norm", "flatten")}}
    pool = sequence(*end.items(), ("pre_logits", head.pre_logits))
    stages = (blocks(stage.blocks, before=stage.downsample) for stage in model.stages)
    return Staged(_stages(model.stem, stages, ("pool", pool)), _linear(head.fc))


def _fastvit(model: Any) -> Staged:
    """FastViT, and the image towers of MobileCLIP."""
    pool = sequence(("final_conv", model.final_conv), ("pool", model.head.global_pool))
    layers = (blocks(stage.blocks, before=_fastvit_entry(stage)) for stage in model.stages)
    return Staged(_stages(model.stem, layers, ("pool", pool)), _linear(model.head.fc))


def _fastvit_entry(stage: Any) -> nn.Module | None:
    entry = sequence(("embed", stage.downsample), ("pos_emb", stage.pos_emb))
    return entry if len(entry) else None


def _swin(model: Any) -> Staged:
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=model.patch_embed)
    for i, layer in enumerate(model.layers, 1):
        stages[f"stage{i}"] = blocks(layer.blocks, before=layer.downsample)
    stages["pool"] = sequence(("norm", model.norm), ("pool", model.head.global_pool))
    return Staged(stages, _linear(model.head.fc), Reduce(channels_last=True))


def _vit(model: Any) -> Staged:
    """ViT, DeiT, DINOv2."""
    front = part_of(model, ("patch_embed", "pos_drop", "patch_drop", "norm_pre"), own=True)
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=Apply(front, _vit_embed))
    for i, block in enumerate(model.blocks, 1):
        stages[f"block{i}"] = block
    distilled = hasattr(model, "head_dist")
    back = part_of(model, ("norm", "attn_pool", "fc_norm"))
    stages["norm"] = Apply(back, _vit_distilled_end if distilled else _vit_end)
    return Staged(stages, None if distilled else _linear(model.head), Reduce(prefix_tokens=model.num_prefix_tokens))


def _vit_embed(part: Any, images: Tensor) -> Tensor:
    tokens: Tensor = part.norm_pre(part.patch_drop(part._pos_embed(part.patch_embed(images))))
    return tokens


def _vit_end(part: Any, tokens: Tensor) -> Tensor:
    features: Tensor = part.fc_norm(part.pool(part.norm(tokens)))
    return features


def _vit_distilled_end(part: Any, tokens: Tensor) -> Tensor:
    features: Tensor = part.norm(tokens)[:, :2].mean(1)  # the class token and the distillation token
    return features


FAMILIES: dict[str, Callable[[nn.Module], Staged]] = {
    "ResNet": _resnet,
    "RegNet": _regnet,
    "VGG": _vgg,
    "DenseNet": _densenet,
    "EfficientNet": _efficientnet,
    "MobileNetV3": _mobilenet_v3,
    "ConvNeXt": _convnext,
    "FastVit": _fastvit,
    "SwinTransformer": _swin,
    "SwinTransformerV2": _swin,
    "VisionTransformer": _vit,
    "VisionTransformerDistilled": _vit,
}

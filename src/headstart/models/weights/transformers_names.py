"""State dicts of Hugging Face transformers under the names that timm and torchvision use: ResNet, ViT, DeiT, DINOv2."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_VIT = "embeddings.patch_embeddings.projection.weight"
_RESNET = "embedder.embedder.convolution.weight"
_LINEAR = {"query": 0, "key": 1, "value": 2}
_SINCE_5 = (  # what transformers 5 calls some of them in memory
    (r"^layers\.(\d+)\.", r"encoder.layer.\1."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
# Patterns of transformers' keys, behind the name of the model, and what timm calls them.
_VIT_NAMES = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.distillation_token", "dist_token"),
    (r"embeddings\.mask_token", "mask_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.mlp.fc2."),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"encoder\.layer\.(\d+)\.(norm[12]|mlp\.fc[12])\.", r"blocks.\1.\2."),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"layernorm\.", "norm."),
    (r"classifier\.", "head."),
    (r"cls_classifier\.", "head."),
    (r"distillation_classifier\.", "head_dist."),
)
_RESNET_NAMES = (
    (r"embedder\.embedder\.convolution\.", "conv1."),
    (r"embedder\.embedder\.normalization\.", "bn1."),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution\.", r"layer{}.\2.downsample.0."),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization\.", r"layer{}.\2.downsample.1."),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.", r"layer{}.\2.conv[]."),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization\.", r"layer{}.\2.bn[]."),
    (r"classifier\.1\.", "fc."),
)
_ATTENTION = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$")


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict under timm's names, the projections of attention joined; any other one as it is."""
    for mark, names in ((_VIT, _VIT_NAMES), (_RESNET, _RESNET_NAMES)):
        first = next((key for key in state if key.endswith(mark)), None)
        if first is not None:
            prefix = first.removesuffix(mark)
            return _renamed({key.removeprefix(prefix): value for key, value in state.items()}, names)
    return dict(state)


def _renamed(state: Mapping[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    joined: dict[str, dict[int, Tensor]] = {}
    for given, value in state.items():
        key = given
        for pattern, older in _SINCE_5:
            key = re.sub(pattern, older, key)
        attention = _ATTENTION.match(key)
        if attention is not None:
            target = f"blocks.{attention[1]}.attn.qkv.{attention[3]}"
            joined.setdefault(target, {})[_LINEAR[attention[2]]] = value
        else:
            renamed[_name(key, names)] = value
    for target, parts in joined.items():
        renamed[target] = torch.cat([parts[place] for place in sorted(parts)])
    return renamed


def _name(key: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, target in names:
        found = re.match(pattern, key)
        if found is not None:
            target = target.replace("{}", str(int(found[1]) + 1)) if "{}" in target else target
            target = target.replace("[]", str(int(found[3]) + 1)) if "[]" in target else target
            return found.expand(target) + key[found.end() :]
    return key

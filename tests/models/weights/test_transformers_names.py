"""State dicts of transformers: renamed and joined, they are those of timm, tensor by tensor."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import Tensor

from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import Architecture
from headstart.models.weights.state_dict import load_state
from headstart.models.weights.transformers_names import from_transformers


def as_vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return timm's state dict of a ViT as ViTForImageClassification names it."""
    layers = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense"}
    layers |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    theirs: dict[str, Tensor] = {}
    for key, value in state.items():
        block = re.match(r"blocks\.(\d+)\.(.+)\.(weight|bias)$", key)
        if block and block[2] == "attn.qkv":
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                theirs[f"vit.encoder.layer.{block[1]}.attention.attention.{name}.{block[3]}"] = part
        elif block:
            theirs[f"vit.encoder.layer.{block[1]}.{layers[block[2]]}.{block[3]}"] = value
        else:
            name = key.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
            name = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}.get(name, name)
            name = re.sub(r"^norm\.", "layernorm.", name)
            theirs[re.sub(r"^head\.", "classifier.", name) if "head." in name else f"vit.{name}"] = value
    return theirs


def as_resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's state dict of a ResNet as ResNetForImageClassification names it."""
    theirs: dict[str, Tensor] = {}
    for key, value in state.items():
        found = re.match(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(.+)$", key)
        if found:
            place = f"resnet.encoder.stages.{int(found[1]) - 1}.layers.{found[2]}"
            kind = (
                "convolution"
                if found[3] == "conv" or (found[3] == "downsample." and found[4] == "0")
                else "normalization"
            )
            unit = "shortcut" if found[3] == "downsample." else f"layer.{int(found[4]) - 1}"
            theirs[f"{place}.{unit}.{kind}.{found[5]}"] = value
        else:
            name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", key)
            name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
            theirs[re.sub(r"^fc\.", "classifier.1.", name)] = value
    return theirs


@pytest.mark.parametrize(
    ("name", "abroad"), [("vit_tiny_patch16_224", as_vit), ("resnet18", as_resnet), ("resnet50", as_resnet)]
)
def test_the_tensors_are_those_of_timm(name: str, abroad: object) -> None:
    torch.manual_seed(1)
    state: dict[str, Tensor] = timm.create_model(name).state_dict()
    theirs = abroad(state)  # type: ignore[operator]
    assert not set(theirs) & set(state)
    found = from_transformers(theirs)
    assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)
    backbone = build(Architecture("timm", name))
    report = load_state(backbone, theirs)
    assert not report.missing and not report.unexpected and backbone.classifier is not None


def test_the_names_of_transformers_5_are_known_too() -> None:
    head = {"vit.embeddings.patch_embeddings.projection.weight": torch.ones(1)}
    projections = {f"vit.layers.2.attention.{name}_proj.bias": torch.full((1,), n) for n, name in enumerate("vqk")}
    others = {"vit.layers.2.attention.o_proj.weight": torch.ones(1), "vit.layers.2.mlp.fc1.bias": torch.ones(1)}
    found = from_transformers({**head, **projections, **others})
    assert found.pop("blocks.2.attn.qkv.bias").tolist() == [1, 2, 0]
    assert list(found) == ["patch_embed.proj.weight", "blocks.2.attn.proj.weight", "blocks.2.mlp.fc1.bias"]


def test_layers_of_dinov2_and_deit_have_names_too() -> None:
    theirs = {
        "dinov2.embeddings.patch_embeddings.projection.weight": torch.ones(1),
        "dinov2.encoder.layer.3.norm1.weight": torch.ones(1),
        "dinov2.encoder.layer.3.mlp.fc2.bias": torch.ones(1),
        "dinov2.encoder.layer.3.layer_scale2.lambda1": torch.ones(1),
        "dinov2.embeddings.distillation_token": torch.ones(1),
        "distillation_classifier.weight": torch.ones(1),
        "dinov2.layernorm.bias": torch.ones(1),
    }
    assert list(from_transformers(theirs)) == [
        *("patch_embed.proj.weight", "blocks.3.norm1.weight", "blocks.3.mlp.fc2.bias", "blocks.3.ls2.gamma"),
        *("dist_token", "head_dist.weight", "norm.bias"),
    ]


def test_any_other_state_dict_stays_as_it_is() -> None:
    state = {"conv1.weight": torch.ones(1), "encoder.layer.0.output.dense.weight": torch.ones(1)}
    assert from_transformers(state) == state

"""Backbones by name, filled with weights."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.errors import ModelError, WeightsError
from headstart.models.backbone import Backbone, Preprocessing, output_shape
from headstart.models.checkpoint import Checkpoint, read_checkpoint
from headstart.models.families import stage_timm
from headstart.models.loading import key_map, load_state
from headstart.models.weights import KNOWN, Weights, embedded_file, imagenet_classes

ALIASES = {
    "efficientnet_lite0": "timm/tf_efficientnet_lite0",
    "efficientnet_lite1": "timm/tf_efficientnet_lite1",
    "efficientnet_lite2": "timm/tf_efficientnet_lite2",
    "mobilenetv2": "timm/mobilenetv2_100",
    "mobilenet_v2": "timm/mobilenetv2_100",
    "vit": "timm/vit_base_patch16_224",
}


def create_backbone(
    name: str, weights: str | Path | None = None, *, seed: int = 0, input_size: int | None = None
) -> tuple[Backbone, Weights]:
    """Build a backbone and fill it.

    Args:
        name: such as "resnet18", "timm/NAME", "torchvision/NAME".
        weights: None or "none" (random, from `seed`), "imagenet", or a local file.
        seed: of the random initialisation.
        input_size: side of the square images in pixels; default: what the weights were trained on.

    Raises:
        ModelError: no such architecture, or it cannot take images of this size.
        WeightsError: weights absent, altered, cut short or of another architecture.
    """
    architecture = _resolve(name)
    backbone, preprocessing = _build(architecture, seed, input_size)
    chosen = _choose_weights(architecture, weights, seed)
    if chosen is None:
        filled = Weights(f"random (seed {seed})", None, None, preprocessing)
        backbone.classifier = None
    else:
        known = KNOWN.get(chosen.sha256)
        report = load_state(backbone, chosen.state, str(chosen.path))
        origin = known.origin if known else str(chosen.path)
        preprocessing = known.preprocessing if known else preprocessing
        if known and known.imagenet and backbone.classifier is not None:
            backbone.source_classes = imagenet_classes()
        filled = Weights(origin, chosen.sha256, known.licence if known else None, preprocessing, report)
    if input_size is not None:
        preprocessing = preprocessing.at(input_size)
        output_shape(backbone, input_size, name)
    backbone.preprocessing = preprocessing
    return backbone, Weights(filled.origin, filled.sha256, filled.licence, preprocessing, filled.report)


def _resolve(name: str) -> str:
    import timm

    target = ALIASES.get(name, name).removeprefix("timm/")
    if not timm.is_model(target):
        known = [*ALIASES, *timm.list_models()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"unknown backbone {name!r}{hint} (all of them: headstart backbones)")
    return target


def _build(architecture: str, seed: int, input_size: int | None) -> tuple[Backbone, Preprocessing]:
    import timm

    cfg: dict[str, Any] = timm.get_pretrained_cfg(architecture).to_dict()
    sized = {"img_size": input_size} if input_size and cfg.get("fixed_input_size") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(architecture, pretrained=False, **sized)
    preprocessing = _preprocessing(cfg)
    staged = stage_timm(model, input_size or preprocessing.size)
    backbone = Backbone(
        architecture,
        staged.stages,
        feature_dim=int(getattr(model, "head_hidden_size", None) or model.num_features),  # type: ignore[arg-type]
        preprocessing=preprocessing,
        classifier=staged.classifier,
        reduce=staged.reduce,
    )
    backbone.original_keys = key_map(model, backbone)
    return backbone, preprocessing


def _preprocessing(cfg: dict[str, Any]) -> Preprocessing:
    size = int(cfg["input_size"][-1])
    interpolation = cfg["interpolation"] if cfg["interpolation"] in ("bicubic", "bilinear") else "bicubic"
    resize = math.floor(size / cfg["crop_pct"])
    return Preprocessing(size, resize, interpolation, tuple(cfg["mean"]), tuple(cfg["std"]))


def _choose_weights(architecture: str, weights: str | Path | None, seed: int) -> Checkpoint | None:
    if weights is None or weights == "none":
        return None
    if weights == "imagenet":
        path = embedded_file(architecture)
        if path is None:
            raise WeightsError(f"{architecture}: no embedded weights; give a local file")
        return read_checkpoint(path, sha256=next(k for k in KNOWN if k[:8] in path.name))
    return read_checkpoint(weights)

"""Architectures turned into backbones with random weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.architectures.catalogue import Architecture
from headstart.models.architectures.classic import CLASSICS
from headstart.models.architectures.parts import Staged
from headstart.models.architectures.timm_stages import stage_timm
from headstart.models.architectures.torchvision_stages import stage_torchvision
from headstart.models.architectures.undrawn import Undrawn, WeightsNeededError
from headstart.models.backbone import Backbone, output_shape
from headstart.models.preprocessing import Preprocessing

NO_PLACE = ""  # in original_keys: the tensor has no place in the backbone (a classifier that is not a linear layer)


def build(architecture: Architecture, seed: int = 0, input_size: int | None = None, *, drawn: bool = True) -> Backbone:
    """Return the backbone with random weights drawn from `seed`; the global random state stays as it is.

    Args:
        architecture: what to build.
        seed: of the weights.
        input_size: side of its images in pixels, for networks that are built for one size; None: the default.
        drawn: draw the weights; if not, parameters have no defined values, and the caller fills every one. The stages
            of a network that must run to be taken apart are those of drawn weights all the same.

    Raises:
        ModelError: the network cannot be built for this size.
    """
    make = partial(BUILDERS[architecture.library], architecture.name, input_size or architecture.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not drawn:
            with suppress(WeightsNeededError), Undrawn():
                return make()
            torch.manual_seed(seed)
        return make()


def _classic(name: str, input_size: int | None) -> Backbone:
    backbone = CLASSICS[name]()
    if name == "conv4" and input_size:
        backbone.feature_dim = 64 * (input_size // 16) ** 2
    backbone.original_keys = {key: key for key in backbone.state_dict()}
    return _sized(backbone, input_size)


def _timm(name: str, input_size: int | None) -> Backbone:
    import timm

    cfg: dict[str, Any] = timm.get_pretrained_cfg(name).to_dict()
    options: dict[str, Any] = {"img_size": input_size} if input_size and cfg.get("fixed_input_size") else {}
    if name.startswith("vit_") and "_dinov3" in name:
        options["global_pool"] = "token"  # as its authors read it; timm's default is the mean of the patches
    model = _made(name, input_size, lambda: timm.create_model(name, pretrained=False, **options))
    preprocessing = timm_preprocessing(cfg)
    keys = model.state_dict(keep_vars=True)
    staged = stage_timm(model, input_size or preprocessing.size)
    dim = int(getattr(model, "head_hidden_size", None) or model.num_features)  # type: ignore[arg-type]
    return _sized(_assemble(name, staged, keys, dim, preprocessing), input_size)


def _torchvision(name: str, input_size: int | None) -> Backbone:
    import torchvision

    options: dict[str, Any] = {"weights": None}
    if name.startswith("vit_") and input_size:
        options["image_size"] = input_size
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization", FutureWarning)
        model = _made(name, input_size, lambda: torchvision.models.get_model(name, **options))
    keys = model.state_dict(keep_vars=True)
    staged = stage_torchvision(model)
    preprocessing = torchvision_preprocessing(torchvision.models.get_model_weights(name).DEFAULT)
    name = f"torchvision/{name}" if _is_ambiguous(name) else name
    if isinstance(staged.classifier, nn.Linear):
        dim = staged.classifier.in_features
    else:
        dim = output_shape(nn.Sequential(staged.stages), input_size or preprocessing.size, name)[1]
    return _sized(_assemble(name, staged, keys, dim, preprocessing), input_size)


def _is_ambiguous(name: str) -> bool:
    from headstart.models.architectures.catalogue import find_architecture

    return find_architecture(name).library != "torchvision"


def _made(name: str, input_size: int | None, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{name} cannot be built for images of {input_size} px ({error})") from error


def _assemble(
    name: str, staged: Staged, keys: Mapping[str, Tensor], dim: int, preprocessing: Preprocessing
) -> Backbone:
    backbone = Backbone(
        name,
        staged.stages,
        feature_dim=dim,
        preprocessing=preprocessing,
        classifier=staged.classifier,
        reduce=staged.reduce,
    )
    ours = {id(tensor): key for key, tensor in backbone.state_dict(keep_vars=True).items()}
    backbone.original_keys = {key: ours.get(id(tensor), NO_PLACE) for key, tensor in keys.items()}
    return backbone


def _sized(backbone: Backbone, input_size: int | None) -> Backbone:
    if input_size:
        backbone.preprocessing = backbone.preprocessing.at(input_size)
    return backbone


def timm_preprocessing(cfg: Mapping[str, Any]) -> Preprocessing:
    """Return what timm's evaluation transform does for a pretrained configuration."""
    size = int(cfg["input_size"][-1])
    interpolation = "bilinear" if cfg["interpolation"] == "bilinear" else "bicubic"
    resize = math.floor(size / cfg["crop_pct"])
    return Preprocessing(size, resize, interpolation, tuple(cfg["mean"]), tuple(cfg["std"]))


def torchvision_preprocessing(weights: Any) -> Preprocessing:
    """Return what the transform does that comes with one of torchvision's weights."""
    preset = weights.transforms()
    size, resize = preset.crop_size[0], preset.resize_size[0]
    return Preprocessing(size, resize, preset.interpolation.value, tuple(preset.mean), tuple(preset.std))


BUILDERS: dict[str, Callable[[str, int | None], Backbone]] = {
    "headstart": _classic,
    "timm": _timm,
    "torchvision": _torchvision,
}

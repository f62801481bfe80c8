"""Which architectures there are: our own classic networks, then timm's, then torchvision's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from headstart.errors import ModelError

CLASSIC = ("conv4", "lenet5", "resnet12", "small_cnn")
AERIAL = ("aerial_resnet18",)


@dataclass(frozen=True)
class Architecture:
    """An architecture and who builds it.

    Args:
        library: "headstart", "timm" or "torchvision".
        name: the library's name for it.
        size: side of its images in pixels where that differs from the library's default.
    """

    library: str
    name: str
    size: int | None = None


@dataclass(frozen=True)
class Suggestion:
    """A line of the short list that `headstart backbones` shows: a name, what it stands for, its family."""

    name: str
    architecture: Architecture
    family: str


def _timm(family: str, *names: str) -> list[Suggestion]:
    return [Suggestion(name, Architecture("timm", name), family) for name in names]


def _aliases(family: str, aliases: Mapping[str, str], size: int | None = None) -> list[Suggestion]:
    return [Suggestion(alias, Architecture("timm", name, size), family) for alias, name in aliases.items()]


def _torchvision(family: str, *names: str) -> list[Suggestion]:
    return [Suggestion(name, Architecture("torchvision", name), family) for name in names]


# VGG and AlexNet are torchvision's: they keep the dropout of the papers between their linear layers.
# DINOv2 was trained at 518 px but is used at 224 px nearly everywhere; the full name gives 518.
SUGGESTIONS: tuple[Suggestion, ...] = (
    *(Suggestion(name, Architecture("headstart", name), "classic") for name in CLASSIC),
    *(Suggestion(name, Architecture("headstart", name), "aerial") for name in AERIAL),
    *_timm("ResNet", "resnet18", "resnet34", "resnet50", "resnet101"),
    *_timm("ResNeXt", "resnext50_32x4d"),
    *_timm("RegNet", "regnety_004", "regnety_016"),
    *_torchvision("AlexNet", "alexnet"),
    *_torchvision("VGG", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    *_timm("DenseNet", "densenet121", "densenet169"),
    *_aliases("EfficientNet-Lite", {f"efficientnet_lite{i}": f"tf_efficientnet_lite{i}" for i in range(5)}),
    *_timm("EfficientNet", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"),
    *_aliases("MobileNet", {"mobilenetv2": "mobilenetv2_100", "mobilenetv3": "mobilenetv3_large_100"}),
    *_torchvision("MobileNet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *_timm("ConvNeXt", "convnext_atto", "convnext_tiny", "convnext_small", "convnext_base"),
    *_aliases("ViT", {"vit": "vit_base_patch16_224"}),
    *_aliases("ViT", {f"vit_{kind}": f"vit_{kind}_patch16_224" for kind in ("tiny", "small", "base")}),
    *_aliases("DeiT", {f"deit_{kind}": f"deit_{kind}_patch16_224" for kind in ("tiny", "small", "base")}),
    *_aliases("DINOv2", {f"dinov2_{k}": f"vit_{k}_patch14_dinov2" for k in ("small", "base", "large")}, size=224),
    *_aliases("DINOv2", {"dinov2_small_reg": "vit_small_patch14_reg4_dinov2"}, size=224),
    *_aliases("DINOv3", {f"dinov3_{k}": f"vit_{k}_patch16_dinov3" for k in ("small", "small_plus", "base")}),
    *_aliases("SigLIP 2", {"siglip2_base": "vit_base_patch16_siglip_224"}),
    *_aliases("PE", {f"pe_{k}": f"vit_pe_core_{k}_patch16_384" for k in ("tiny", "small")}),
    *_aliases("PE", {"pe_base": "vit_pe_core_base_patch16_224"}),
    *_aliases("EVA-02", {f"eva02_{k}": f"eva02_{k}_patch14_336" for k in ("tiny", "small")}),
    *_timm("ConvNeXt V2", "convnextv2_nano", "convnextv2_tiny"),
    *_aliases("Hiera", {"hiera_tiny": "hiera_tiny_224", "hiera_small_abswin": "hiera_small_abswin_256"}),
    *_aliases("MobileNet v4", {f"mobilenetv4_{k}": f"mobilenetv4_conv_{k}" for k in ("small", "medium")}),
    *_aliases("MobileNet v4", {"mobilenetv4_hybrid": "mobilenetv4_hybrid_medium"}),
    *_timm("FastViT", "fastvit_sa12"),
    *_aliases("MobileCLIP 2", {"mobileclip2_s0": "fastvit_mci0"}),
    *_aliases("Swin", {"swin": "swin_tiny_patch4_window7_224"}),
    *_aliases("Swin", {f"swin_{kind}": f"swin_{kind}_patch4_window7_224" for kind in ("tiny", "small", "base")}),
)
_BY_NAME = {suggestion.name: suggestion.architecture for suggestion in SUGGESTIONS}
ALIASES = {name: f"{known.library}/{known.name}" for name, known in _BY_NAME.items()}


def find_architecture(name: str) -> Architecture:
    """Return what a name stands for.

    Args:
        name: one of the short list, any name of timm or torchvision (in this order), or with the library
            in front: "timm/NAME", "torchvision/NAME".

    Raises:
        ModelError: no such architecture; the message has the nearest names.
    """
    library, slash, bare = name.rpartition("/")
    if not slash and name in _BY_NAME:
        return _BY_NAME[name]
    if library in ("", "timm") and _timm_has(bare):
        return Architecture("timm", bare)
    if library in ("", "torchvision") and bare in torchvision_names():
        return Architecture("torchvision", bare)
    known = {"timm": timm_names, "torchvision": torchvision_names}.get(library, all_names)()
    if library == "torchgeo":
        raise ModelError(
            f"unknown backbone {name!r}: torchgeo has weights, not networks; take backbone {bare!r} and weights"
            " torchgeo:TAG"
        )
    near = difflib.get_close_matches(bare, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(f"unknown backbone {name!r}{hint} ('headstart backbones' lists them)")


def all_names() -> list[str]:
    """Return every name that stands for an architecture: the short list first, then timm's and torchvision's."""
    return list(dict.fromkeys([*_BY_NAME, *timm_names(), *torchvision_names()]))


def timm_names() -> list[str]:
    """Return the names of timm's architectures."""
    import timm

    return list(timm.list_models())


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def _timm_has(name: str) -> bool:
    import timm

    return bool(timm.is_model(name)) and "." not in name

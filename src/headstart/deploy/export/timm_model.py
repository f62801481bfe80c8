"""A classifier as timm's own model: its state dict under timm's names, calibration folded into the last layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from headstart.deploy.export.target import rgb_only
from headstart.errors import ModelError
from headstart.models.architectures.catalogue import Architecture, find_architecture
from headstart.models.bundle import Bundle, Ensemble
from headstart.models.heads import LinearHead, SelectedClasses
from headstart.models.pixels import NAME as PIXELS

CLOSE = 1e-3  # relative to the largest logit
INSTEAD = "export to onnx, server, page or torch instead"


def refusal_of(ensemble: Ensemble) -> str | None:
    """Return why a model is not a single network of timm, and what can be done instead; None where it is one."""
    if len(ensemble.members) > 1:
        return (
            f"an ensemble of {len(ensemble.members)} networks is not a single network of timm; export the run folder of"
            f" one of them, or {INSTEAD}"
        )
    if (reason := rgb_only(ensemble)) is not None:
        return reason
    bundle = ensemble.members[0]
    origin, head = bundle.origin, bundle.network.head
    if origin.name == PIXELS:
        return f"raw pixels without a network are not a model of timm; {INSTEAD}"
    if origin.truncate_at:
        return f"{origin.name} was cut short at {origin.truncate_at}, and timm has only whole networks; {INSTEAD}"
    if find_architecture(origin.name).library != "timm":
        return f"{origin.name} is not an architecture of timm; {INSTEAD}"
    if bundle.tta != "none":
        return f"test-time augmentation ({bundle.tta}) has no place in a timm model; {INSTEAD}"
    inner = head.head if isinstance(head, SelectedClasses) else head
    if not isinstance(inner, LinearHead):
        return f"its head (k nearest neighbours) is not a linear layer, and timm has no other; {INSTEAD}"
    if inner.l2:
        return f"its head divides features by their length, and a timm model cannot; {INSTEAD}"
    return None


def timm_model(bundle: Bundle) -> nn.Module:
    """Return timm's model with this network in it; its logits are calibrated.

    Raises:
        ModelError: timm's network computes something else from these weights.
    """
    import timm

    architecture = find_architecture(bundle.origin.name)
    model: nn.Module = timm.create_model(architecture.name, num_classes=len(bundle.classes), **model_args(bundle))
    backbone = bundle.network.backbone
    own = backbone.state_dict()
    state = {key: own[ours] for key, ours in backbone.original_keys.items() if ours in own}
    missing, unexpected = model.load_state_dict(state, strict=False)
    classifier = model.get_classifier()  # type: ignore[operator]
    last = {id(tensor) for tensor in classifier.state_dict(keep_vars=True).values()}
    lost = [key for key in missing if id(model.state_dict(keep_vars=True)[key]) not in last]
    if unexpected or lost or not isinstance(classifier, nn.Linear):
        raise ModelError(f"cannot export to huggingface: {architecture.name} does not fit timm's network; {INSTEAD}")
    weight, bias = folded(bundle)
    with torch.no_grad():
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias)
    _compare(model.eval(), bundle, architecture)
    return model


def model_args(bundle: Bundle) -> dict[str, Any]:
    """Return what timm needs to build the network besides its name: the image size, where that is fixed."""
    import timm

    configuration = timm.get_pretrained_cfg(find_architecture(bundle.origin.name).name)
    sized = bundle.origin.input_size or bundle.preprocessing.size
    if configuration.fixed_input_size and configuration.input_size[-1] != sized:
        return {"img_size": sized}
    return {}


def folded(bundle: Bundle) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one linear layer that does what centring, scaling, head and temperature do."""
    head = bundle.network.head
    columns = head.columns if isinstance(head, SelectedClasses) else slice(None)
    inner = head.head if isinstance(head, SelectedClasses) else head
    assert isinstance(inner, LinearHead) and not inner.l2
    weight, bias = inner.weight.detach().double(), inner.bias.detach().double()
    if inner.scale is not None:
        weight = weight / inner.scale.double()
    if inner.centre is not None:
        bias = bias - weight @ inner.centre.double()
    return (weight[columns] / bundle.temperature).float(), (bias[columns] / bundle.temperature).float()


def _compare(model: nn.Module, bundle: Bundle, architecture: Architecture) -> None:
    size = bundle.preprocessing.size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = bundle.network(images) / bundle.temperature, model(images)
    if float((expected - found).abs().max()) > CLOSE * max(1.0, float(expected.abs().max())):
        raise ModelError(
            f"cannot export to huggingface: timm's {architecture.name} gives other logits with these weights; {INSTEAD}"
        )

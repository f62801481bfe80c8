"""Attention rollout: how much each patch contributes to the output of a vision transformer (Abnar & Zuidema 2020)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import ModelError
from headstart.explain.cam import token_grid
from headstart.explain.scope import backbone_of, device_of
from headstart.models.architectures.parts import Reduce
from headstart.models.backbone import Backbone


def attention_rollout(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    batch: int = 16,
) -> Float[np.ndarray, "n h w"]:
    """Return how much each patch contributes to the input of the head: the product of the attention of all layers.

    Each layer counts as half attention (the mean over heads) and half identity (the residual path). What
    the head reads is the class token where the network pools by it, else the mean of the patches. The map is the same
    for every target class.

    Raises:
        ModelError: the backbone has no global self-attention over patches (a CNN, a Swin, a hybrid).
    """
    backbone = backbone_of(network, "attention rollout")
    device = device_of(network)
    layers = _attention_layers(backbone)
    size = (int(images.shape[2]), int(images.shape[3]))
    maps = []
    for start in range(0, len(images), batch):
        with _recorded(layers) as found, torch.no_grad():
            network(images[start : start + batch].to(device))
        flow = rollout(_checked(backbone, found, len(layers), min(batch, len(images) - start)))
        grid = token_grid(backbone, flow.shape[1], size)
        if grid is None:
            raise _refusal(backbone, f"its {flow.shape[1]} tokens do not form a grid over the image")
        before, rows, columns = grid
        shares = flow[:, 0] if before and _reads_class_token(backbone) else flow[:, before:].mean(1)
        heat = shares[:, before:].reshape(-1, 1, rows, columns)
        maps.append(functional.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0])
    return torch.cat(maps).float().cpu().numpy()


def rollout(attention: list[Float[Tensor, "n heads t t"]]) -> Float[Tensor, "n t t"]:
    """Return how much each input token (columns) contributes to each output token (rows); rows sum to 1."""
    first = attention[0]
    identity = torch.eye(first.shape[-1], device=first.device)
    flow = identity.expand(len(first), -1, -1)
    for weights in attention:
        flow = ((weights.mean(1) + identity) / 2) @ flow
    return flow


def _reads_class_token(backbone: Backbone) -> bool:
    """Return whether the last stage hands on the class token, as all do that do not say otherwise."""
    end = list(backbone.stages)[-1]
    if isinstance(end, Reduce):  # cut short: the patches are averaged
        return False
    return getattr(getattr(end, "part", None), "global_pool", "token") == "token"


def _attention_layers(backbone: Backbone) -> list[Any]:
    """Return timm's attention layers in order: those whose attention weights can be recorded."""
    layers = [
        module
        for module in backbone.stages.modules()
        if hasattr(module, "fused_attn") and isinstance(getattr(module, "attn_drop", None), nn.Module)
    ]
    if not layers:
        raise _refusal(backbone, "it has no attention layers")
    return layers


@contextlib.contextmanager
def _recorded(layers: list[Any]) -> Iterator[list[Tensor]]:
    """Record the attention weights of each layer in the order of the calls; restore the network afterwards.

    A fused kernel never forms the weights, so it is switched off; unfused, they pass through the
    layer's dropout, which does nothing in evaluation mode.
    """
    found: list[Tensor] = []
    fused = [layer.fused_attn for layer in layers]
    handles = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        found.append(inputs[0].detach())

    try:
        for layer in layers:
            layer.fused_attn = False
            handles.append(layer.attn_drop.register_forward_hook(record))
        yield found
    finally:
        for handle in handles:
            handle.remove()
        for layer, was in zip(layers, fused, strict=True):
            layer.fused_attn = was


def _checked(backbone: Backbone, found: list[Tensor], layers: int, images: int) -> list[Tensor]:
    shapes = {tuple(weights.shape[-2:]) for weights in found}
    if len(found) != layers or len(shapes) != 1:
        raise _refusal(backbone, "its layers do not all attend over the same tokens")
    rows, columns = shapes.pop()
    if rows != columns or any(w.ndim != 4 or len(w) != images for w in found):
        raise _refusal(backbone, "it attends inside windows, not over the whole image")
    return found


def _refusal(backbone: Backbone, why: str) -> ModelError:
    return ModelError(
        f"attention rollout cannot explain {backbone.name}: {why}; use grad_cam, lime, occlusion or"
        " integrated_gradients"
    )

"""Grad-CAM: where the features that support a class are (Selvaraju et al. 2017), in any stage of any backbone."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import ModelError
from headstart.explain.scope import backbone_of, check_gradients, device_of, log_odds, undisturbed
from headstart.models.backbone import INPUT, Backbone
from headstart.models.network import Network

_MOST_TOKENS = 16  # class and register tokens before the patches at most


def grad_cam(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    stage: str | None = None,
    batch: int = 32,
) -> Float[np.ndarray, "n h w"]:
    """Return the positive part of the stage's channels, weighted by their mean gradients, enlarged to the image.

    The network is cut after the stage and only its tail is run backward: there are no hooks.

    Args:
        stage: a cut point of the backbone; default: the last one with positions that the class depends on
            (of a ViT read by its class token: the one before the last block).

    Raises:
        ModelError: the network is no Network, its head has no gradients, or no stage (or not this one) has positions.
    """
    backbone = backbone_of(network, "Grad-CAM")
    check_gradients(network, "Grad-CAM")
    device = device_of(network)
    size = (int(images.shape[2]), int(images.shape[3]))
    chosen = stage or _default_stage(network, backbone, images[:1].to(device), targets[:1].to(device))
    maps = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch].to(device)
        activations, gradients = _at(network, backbone, chosen, part, targets[start : start + batch].to(device))
        spatial = _spatial(backbone, chosen, activations, size), _spatial(backbone, chosen, gradients, size)
        weights = spatial[1].mean((2, 3), keepdim=True)
        heat = (weights * spatial[0]).sum(1, keepdim=True).relu()
        maps.append(functional.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0])
    return torch.cat(maps).float().cpu().numpy()


def why_no_grad_cam(network: Network) -> str | None:
    """Return why Grad-CAM cannot explain a network; None where it can."""
    backbone = network.backbone
    side = backbone.preprocessing.size
    image = torch.zeros(1, backbone.preprocessing.channels, side, side, device=device_of(network))
    try:
        check_gradients(network, "Grad-CAM")
        with undisturbed(network), torch.no_grad():
            shapes = (backbone.cut(point)[0](image).shape for point in reversed(backbone.cut_points) if point != INPUT)
            if any(_grid(backbone, shape, (side, side)) is not None for shape in shapes):
                return None
        raise _no_stage(backbone, (side, side))
    except ModelError as error:
        return str(error)


def _at(network: nn.Module, backbone: Backbone, stage: str, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return a stage's activations, and the gradients of the targets' log odds with respect to them."""
    prefix, tail = backbone.cut(stage)
    with torch.no_grad():
        activations = prefix(images)
    leaf = activations.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.head(tail(leaf.clone()))  # type: ignore[operator]
        score = log_odds(network, logits, targets).sum()
        (gradients,) = torch.autograd.grad(score, leaf)
    return leaf.detach(), gradients


def _default_stage(network: nn.Module, backbone: Backbone, image: Tensor, target: Tensor) -> str:
    size = (int(image.shape[2]), int(image.shape[3]))
    points = [point for point in reversed(backbone.cut_points) if point != INPUT]
    for point in points:
        with torch.no_grad():
            shape = backbone.cut(point)[0](image).shape
        if _grid(backbone, shape, size) is None:
            continue
        gradients = _at(network, backbone, point, image, target)[1]
        if bool(_spatial(backbone, point, gradients, size).any()):
            return point
    raise _no_stage(backbone, size)


def _no_stage(backbone: Backbone, size: tuple[int, int]) -> ModelError:
    return ModelError(
        f"Grad-CAM needs a stage with several positions on which the class depends; {backbone.name} has none for"
        f" images of {size[0]} × {size[1]} px (use larger images, or lime, occlusion or integrated_gradients)"
    )


def _grid(backbone: Backbone, shape: torch.Size, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return rows and columns of a stage's activations, or None if they have no more than one position."""
    if len(shape) == 4:
        rows, columns = shape[1:3] if _channels_last(backbone) else shape[2:4]
    elif len(shape) == 3:
        grid = token_grid(backbone, int(shape[1]), size)
        if grid is None:
            return None
        _, rows, columns = grid
    else:
        return None
    return (int(rows), int(columns)) if rows * columns > 1 else None


def _spatial(backbone: Backbone, stage: str, activations: Tensor, size: tuple[int, int]) -> Tensor:
    """Return activations as [n, channels, rows, columns], whatever their layout."""
    grid = _grid(backbone, activations.shape, size)
    if grid is None:
        raise ModelError(
            f"Grad-CAM needs a stage with positions; {stage!r} of {backbone.name} gives {tuple(activations.shape)}"
            f" (stages: {', '.join(backbone.cut_points)})"
        )
    if activations.ndim == 3:
        patches = activations[:, -grid[0] * grid[1] :]
        return patches.transpose(1, 2).reshape(len(patches), -1, *grid)
    return activations.permute(0, 3, 1, 2) if _channels_last(backbone) else activations


def _channels_last(backbone: Backbone) -> bool:
    return bool(getattr(backbone.reduce, "channels_last", False))


def token_grid(backbone: Backbone, tokens: int, size: tuple[int, int]) -> tuple[int, int, int] | None:
    """Return (tokens before the patches, rows, columns) of a sequence over an image, or None if it is not a grid.

    Where the backbone does not say how many class and register tokens it has, it is the smallest number
    that leaves whole square patches.
    """
    declared = int(getattr(backbone.reduce, "prefix_tokens", 0))
    for before in (declared,) if declared else range(_MOST_TOKENS + 1):
        patches = tokens - before
        if patches < 1:
            break
        side = round((size[0] * size[1] / patches) ** 0.5)
        rows, columns = size[0] // side, size[1] // side
        if rows * columns == patches:
            return before, rows, columns
    return None

"""Mixup and CutMix: pairs of images of one batch and their targets are blended."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Mix = Callable[[Tensor, Tensor, float, np.random.Generator], tuple[Tensor, Tensor]]


def mixup(
    images: Float[Tensor, "n c h w"], targets: Float[Tensor, "n k"], alpha: float, draw: np.random.Generator
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n k"]]:
    """Return convex combinations of each image with another of the batch (Zhang et al. 2018)."""
    share = float(draw.beta(alpha, alpha)) if alpha > 0 else 1.0
    partner = torch.from_numpy(draw.permutation(len(images))).to(images.device)
    blend = images * share + images[partner] * (1 - share)
    return blend, targets * share + targets[partner] * (1 - share)


def cutmix(
    images: Float[Tensor, "n c h w"], targets: Float[Tensor, "n k"], alpha: float, draw: np.random.Generator
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n k"]]:
    """Return images with a rectangle of another image of the batch, targets by area (Yun et al. 2019)."""
    share = float(draw.beta(alpha, alpha)) if alpha > 0 else 1.0
    partner = torch.from_numpy(draw.permutation(len(images))).to(images.device)
    height, width = images.shape[-2:]
    side = math.sqrt(1 - share)
    y, x = draw.uniform(0, height), draw.uniform(0, width)
    top, bottom = (int(np.clip(round(y + s * side * height / 2), 0, height)) for s in (-1, 1))
    left, right = (int(np.clip(round(x + s * side * width / 2), 0, width)) for s in (-1, 1))
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return pasted, targets * kept + targets[partner] * (1 - kept)


MIXES: dict[str, Mix] = {"mixup": mixup, "cutmix": cutmix}


def mix_batch(
    images: Float[Tensor, "n c h w"],
    targets: Float[Tensor, "n k"],
    alphas: dict[str, float],
    draw: np.random.Generator,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n k"]]:
    """Apply one of the named mixes to the batch, drawn with equal chance (as timm does with both)."""
    name = sorted(alphas)[int(draw.integers(len(alphas)))]
    return MIXES[name](images, targets, alphas[name], draw)

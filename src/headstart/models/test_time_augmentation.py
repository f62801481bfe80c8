"""Test-time augmentation: a network's probabilities are averaged over several views of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headstart.models.heads import class_probabilities

Views = Callable[[Tensor], Sequence[Tensor]]


def original(images: Tensor) -> Sequence[Tensor]:
    """Return the images alone."""
    return (images,)


def flip(images: Tensor) -> Sequence[Tensor]:
    """Return the images and their mirror images."""
    return images, images.flip(-1)


def flip_translate(images: Tensor) -> Sequence[Tensor]:
    """Return the images and two copies shifted by 1/32 of the side along the diagonal, each also mirrored.

    Source: Keller Jordan, airbench (https://github.com/KellerJordan/cifar10-airbench).
    """
    shift = max(1, round(images.shape[-1] / 32))
    padded = functional.pad(images, (shift,) * 4, "reflect")
    size = images.shape[-2:]
    corner = padded[..., : size[0], : size[1]], padded[..., 2 * shift :, 2 * shift :]
    return [view for shown in (images, *corner) for view in (shown, shown.flip(-1))]


TTA: dict[str, Views] = {"none": original, "flip": flip, "flip_translate": flip_translate}


def mean_probabilities(logits: Sequence[Float[Tensor, "n c"]], *, multi_label: bool) -> Float[Tensor, "n c"]:
    """Return the mean over the views of the probabilities that their logits stand for."""
    return torch.stack([class_probabilities(each.float(), multi_label=multi_label) for each in logits]).mean(0)

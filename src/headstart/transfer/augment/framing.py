"""Bringing images of any size to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Pixels = npt.NDArray[np.uint8]


def functional() -> Any:
    """Return torchvision's functions on images; a command that needs none of them starts without importing it."""
    from torchvision.transforms.v2 import functional

    return functional


def framed(images: Sequence[Pixels] | Pixels, size: int) -> Pixels:
    """Return the centre of each image at `size`; a batch that has that size is returned as it is."""
    if isinstance(images, np.ndarray) and images.shape[1:3] == (size, size):
        return images
    out = np.empty((len(images), size, size, images[0].shape[2]), np.uint8)
    for i, image in enumerate(images):
        image = enlarged(image, size)
        height, width = image.shape[:2]
        top, left = (height - size) // 2, (width - size) // 2
        out[i] = image[top : top + size, left : left + size]
    return out


def enlarged(image: Pixels, size: int) -> Pixels:
    """Return the image with its shorter side brought to `size` if it is shorter than that."""
    height, width = image.shape[:2]
    short = min(height, width)
    if short >= size:
        return image
    return resized(image, max(size, round(height * size / short)), max(size, round(width * size / short)))


def resized(image: Pixels, height: int, width: int) -> Pixels:
    """Resize one image, bilinear with antialias."""
    if image.shape[:2] == (height, width):
        return image
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    result: Pixels = functional().resize(tensor, [height, width], antialias=True).permute(1, 2, 0).numpy()
    return result

"""What images look like, in six numbers each that a person can understand: light, colour and sharpness."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

APPEARANCE = ("brightness", "contrast", "saturation", "warmth", "tint", "sharpness")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BATCH = 64
_FLOOR = 1e-6


def appearance(pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 6"]:
    """Return brightness, contrast, saturation, warmth, tint and sharpness of each image, in this order.

    Brightness and contrast are mean and standard deviation of the luma, saturation is the mean difference of the
    largest and the smallest channel, warmth is red less blue, tint is green less the mean of red and blue: all of them
    in parts of the full range. Sharpness is the logarithm (base 10) of the mean squared Laplacian of the luma: a
    blurred copy has less.
    """
    parts = [_of_batch(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, len(APPEARANCE)), np.float32)


def _of_batch(pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 6"]:
    images = pixels.astype(np.float32) / 255
    luma = images @ _LUMA
    red, green, blue = np.moveaxis(images.mean((1, 2)), 1, 0)
    laplacian: np.ndarray = np.zeros((len(luma), 1, 1), np.float32)
    if min(luma.shape[1:]) > 2:
        inner = luma[:, 1:-1, 1:-1]
        laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:] - 4 * inner
    return np.stack(
        [
            luma.mean((1, 2)),
            luma.std((1, 2)),
            (images.max(3) - images.min(3)).mean((1, 2)),
            red - blue,
            green - (red + blue) / 2,
            np.log10((laplacian**2).mean((1, 2)) + _FLOOR),
        ],
        axis=1,
    ).astype(np.float32)

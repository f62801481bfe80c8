"""What images look like, in six numbers each that a person can understand: light, colour and sharpness."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

APPEARANCE = ("brightness", "contrast", "saturation", "warmth", "tint", "sharpness")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)  # ITU-R BT.601
_FULL = 255.0
_FLOOR = 1e-6


def appearance(pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 6"]:
    """Return brightness, contrast, saturation, warmth, tint and sharpness of each image, in this order.

    Brightness and contrast are mean and standard deviation of the luma, saturation is the mean difference of the
    largest and the smallest channel, warmth is red less blue, tint is green less the mean of red and blue: all of them
    in parts of the full range. Sharpness is the logarithm (base 10) of the mean squared Laplacian of the luma: a
    blurred copy has less.
    """
    measure = _Measure(*pixels.shape[1:3])
    found = [measure(each) for each in pixels]
    return np.array(found, np.float32).reshape(len(found), len(APPEARANCE))


class _Measure:
    """Measures images of one size, in the same memory for all: fresh pages cost more than the arithmetic."""

    def __init__(self, h: int, w: int) -> None:
        self._inside, self._width = max(h - 2, 0) * max(w - 2, 0), w
        self._channels = np.empty((3, h * w), np.uint8)
        self._most, self._least = np.empty(h * w, np.uint8), np.empty(h * w, np.uint8)
        self._numbers, self._ones = np.empty((3, h * w), np.float32), np.ones(h * w, np.float32)
        self._luma = np.empty(h * w, np.float32)
        self._laplacian = np.empty((h - 2) * w if self._inside else 0, np.float32)
        self._part = np.empty_like(self._laplacian)

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[float, ...]:
        """Channel by channel, each in one piece of memory: ten times faster than over the last axis."""
        np.copyto(self._channels, pixels.reshape(-1, 3).T)
        np.copyto(self._numbers, self._channels)
        sums = self._numbers @ self._ones
        luma = np.matmul(_LUMA, self._numbers, out=self._luma)
        brightness = float(_LUMA @ sums) / luma.size
        luma -= np.float32(brightness)
        mean_red, mean_green, mean_blue = (sums / (_FULL * luma.size)).tolist()
        return (
            brightness,
            math.sqrt(float(luma @ luma) / luma.size),
            self._saturation(),
            mean_red - mean_blue,
            mean_green - (mean_red + mean_blue) / 2,
            math.log10(self._sharpness() + _FLOOR),
        )

    def _saturation(self) -> float:
        red, green, blue = self._channels
        most = np.maximum(np.maximum(red, green, out=self._most), blue, out=self._most)
        least = np.minimum(np.minimum(red, green, out=self._least), blue, out=self._least)
        most -= least
        return float(most.sum(dtype=np.uint32)) / (_FULL * most.size)

    def _sharpness(self) -> float:
        """Return the mean squared Laplacian of the luma.

        It is computed along the rows as one piece, twice as fast as within them; across their ends it means nothing.
        """
        laplacian, luma, w = self._laplacian, self._luma, self._width
        if not self._inside:
            return 0.0
        end = len(luma) - w
        np.add(luma[: end - w], luma[2 * w :], out=laplacian)
        laplacian += luma[w - 1 : end - 1]
        laplacian += luma[w + 1 : end + 1]
        laplacian -= np.multiply(luma[w:end], 4, out=self._part)
        laplacian.reshape(-1, w)[:, [0, -1]] = 0
        return float(laplacian @ laplacian) / self._inside

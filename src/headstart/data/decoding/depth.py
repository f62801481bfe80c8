"""Numbers of any type and depth as the eight bits of a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 20  # numbers that are converted at a time
RGBA = 4  # channels
DEPTHS = (8, 10, 12, 14, 16, 24, 32, 64)  # bits that cameras, scanners and file formats use


def range_of(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the numbers that stand for black and for white in one image.

    - bool: False and True.
    - Whole numbers: the ends of the narrowest depth of `DEPTHS` that holds all of them, signed if one is below
      zero. Twelve bits in a 16-bit file are therefore twelve bits, and at least 64 grey levels remain.
    - Floats: 0 … 1, else -1 … 1, else 0 … 255, whichever is the first that holds all of them; otherwise their own
      lowest and highest number.
    """
    if values.dtype.kind == "b":
        return 0.0, 1.0
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 1.0
    low, high = finite.min(), finite.max()
    if values.dtype.kind == "f":
        usual = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
        return next((ends for ends in usual if ends[0] <= low and high <= ends[1]), (float(low), float(high)))
    smallest, largest = int(low), int(high)
    if smallest >= 0:
        return 0.0, float(2 ** next(bits for bits in DEPTHS if largest < 2**bits) - 1)
    half = next(2 ** (bits - 1) for bits in DEPTHS if -(2 ** (bits - 1)) <= smallest and largest < 2 ** (bits - 1))
    return float(-half), float(half - 1)


def to_8_bits(values: npt.NDArray[Any], ends: tuple[float, float] | None = None) -> npt.NDArray[np.uint8]:
    """Return the same shape in uint8, `ends` (by default `range_of` them) becoming 0 and 255.

    Whole numbers keep the upper eight bits of their depth, floats are rounded. What is not a number becomes black.
    Of four channels [h, w, 4] the last is alpha, which says nothing about the depth of the colours.
    """
    if values.dtype == np.uint8 and ends is None:
        return values
    if ends is None and values.ndim >= 3 and values.shape[-1] == RGBA:
        return _with_alpha(values)
    return _to_8_bits(
        values, range_of(values) if ends is None else ends, whole=values.dtype.kind in "ui" and ends is None
    )


def alpha_top(largest: float, colours: tuple[float, float], *, whole: bool) -> float:
    """Return the number that stands for opaque, where `colours` are the ends of the colours beside it.

    Whole numbers have the depth of the colours, or a wider one if they need it; floats are 0 … 1 or 0 … 255.

    Args:
        largest: of the alpha.
        colours: see `range_of`.
        whole: the numbers are whole.
    """
    if whole:
        depth = next(2**bits - 1 for bits in DEPTHS if largest < 2**bits)
        return colours[1] if largest <= colours[1] else float(depth)
    return next((top for top in (1.0, 255.0) if largest <= top), float(largest))


def _with_alpha(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return RGBA in uint8, the depth of the colours taken from the colours alone."""
    colours, alpha = values[..., :3], values[..., 3]
    ends, whole = range_of(colours), values.dtype.kind in "ui"
    finite = alpha[np.isfinite(alpha)]
    top = 1.0 if values.dtype.kind == "b" else alpha_top(float(finite.max(initial=0)), ends, whole=whole)
    eight = np.empty(values.shape, dtype=np.uint8)
    eight[..., :3] = _to_8_bits(colours, ends, whole=whole)
    eight[..., 3] = _to_8_bits(np.maximum(alpha, 0), (0.0, top), whole=whole)
    return eight


def _to_8_bits(values: npt.NDArray[Any], ends: tuple[float, float], *, whole: bool) -> npt.NDArray[np.uint8]:
    low, high = ends
    flat, eight = values.reshape(-1), np.empty(values.size, dtype=np.uint8)
    for start in range(0, values.size, _BLOCK):
        numbers = flat[start : start + _BLOCK].astype(np.float64)
        eight[start : start + _BLOCK] = _upper_bits(numbers, low, high) if whole else _rounded(numbers, low, high)
    return eight.reshape(values.shape)


def _upper_bits(numbers: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.uint8]:
    upper: npt.NDArray[np.uint8] = np.floor((numbers - low) * (256.0 / (high - low + 1.0))).astype(np.uint8)
    return upper


def _rounded(numbers: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.uint8]:
    numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    spread = high - low
    scaled = np.rint((numbers - low) * (255.0 / spread)) if spread > 0 else np.zeros_like(numbers)
    return np.clip(scaled, 0, 255).astype(np.uint8)

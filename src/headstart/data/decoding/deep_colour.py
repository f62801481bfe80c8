"""Colour of 16 bits a channel, of which Pillow keeps the upper eight: the lower eight, where a picture needs them.

Pillow's unpackers take one byte of each number. The same file read with the other order of bytes gives the other one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.decoding.depth import DEPTHS, alpha_top

_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_COLOURS = ("RGB", "RGBA", "RGBX", "RGBa")
_GREY_AND_ALPHA = "LA;16B"  # Pillow has no other order of it, but four bytes a pixel can be read as RGBA
_ENOUGH = 64  # an upper byte from which on the numbers take 16 bits, so that the upper bytes are the picture
_BAND = 1 << 20  # pixels that are converted at a time


def deep_mode(image: Image.Image) -> str | None:
    """Return Pillow's raw mode of an opened image that is not decoded yet and has 16 bits a colour, or None."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return None
    told = tiles[0][3]
    mode = told[0] if isinstance(told, tuple) and told else told
    if not isinstance(mode, str):
        return None
    colours, _, depth = mode.partition(";")
    return mode if mode == _GREY_AND_ALPHA or (colours in _COLOURS and depth in _OTHER_ORDER) else None


def add_lower_bits(image: Image.Image, mode: str, reopen: Callable[[], Image.Image]) -> None:
    """Replace the numbers of a decoded image by eight bits of the narrowest depth that holds the colours (see `depth`).

    Args:
        image: decoded, with the upper eight bits of each number.
        mode: what `deep_mode` said of it.
        reopen: opens the same file again.
    """
    colours, _, depth = mode.partition(";")
    times_alpha, grey = colours == "RGBa", mode == _GREY_AND_ALPHA
    colours = "RGBA" if times_alpha else colours  # as they are written, and not divided by alpha
    upper = _read_as(f"{colours};{depth}", reopen()) if times_alpha else image
    if max(high for _, high in upper.getextrema()[:3]) >= _ENOUGH:  # type: ignore[misc]
        return
    lower = _read_as("RGBA" if grey else f"{colours};{_OTHER_ORDER[depth]}", reopen())
    bands = _bands(image)
    count = 1 if grey else 3
    largest = np.max([_numbers(upper, lower, box, grey).max(axis=(0, 1)) for box in bands], axis=0)
    top = next(2**bits - 1 for bits in DEPTHS if largest[:count].max() < 2**bits)
    alpha_is = int(alpha_top(int(largest[-1]), (0.0, float(top)), whole=True))
    for box in bands:
        eight = np.asarray(image.crop(box)).copy()
        numbers = _numbers(upper, lower, box, grey)
        eight[..., :3] = numbers[..., :count] >> (top.bit_length() - 8)
        if image.mode == "RGBA":
            eight[..., 3] = numbers[..., -1] >> (alpha_is.bit_length() - 8)
        if times_alpha:
            eight[..., :3] = _divided(numbers, top, alpha_is)
        image.paste(Image.fromarray(eight), box)


def _read_as(mode: str, image: Image.Image) -> Image.Image:
    """Return an opened image decoded with another raw mode."""
    image.tile = [tile._replace(args=_told(tile.args, mode)) for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    return image


def _told(args: object, mode: str) -> object:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode


def _numbers(
    upper: Image.Image, lower: Image.Image, box: tuple[int, int, int, int], grey: bool
) -> npt.NDArray[np.uint16]:
    """Return the numbers of a part of the image, uint16 [h, w, 3 or 4], or [h, w, 2] of grey with alpha."""
    low = np.asarray(lower.crop(box)).astype(np.uint16)
    high = low[..., 0::2] if grey else np.asarray(upper.crop(box)).astype(np.uint16)
    found: npt.NDArray[np.uint16] = np.left_shift(high, np.uint16(8)) | (low[..., 1::2] if grey else low)
    return found


def _divided(numbers: npt.NDArray[np.uint16], top: int, alpha_is: int) -> npt.NDArray[np.uint8]:
    """Return colours, written multiplied by alpha, as they are without it."""
    alpha = np.maximum(numbers[..., 3:].astype(np.float64), 1.0) / alpha_is
    return np.rint(np.minimum(numbers[..., :3] / (top * alpha), 1.0) * 255.0).astype(np.uint8)


def _bands(image: Image.Image) -> list[tuple[int, int, int, int]]:
    rows = max(1, _BAND // max(1, image.width))
    return [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]

"""Colour of 16 bits a channel, of which Pillow keeps the upper eight: the lower eight, where a picture needs them.

Pillow's unpackers take one byte of each number. The same file read with the other order of bytes gives the other one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.decoding.depth import DEPTHS

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
    """Replace the colours of a decoded image by eight bits of the narrowest depth that holds them (see `depth`).

    Args:
        image: decoded, with the upper eight bits of each number.
        mode: what `deep_mode` said of it.
        reopen: opens the same file again.
    """
    if max(high for _, high in image.getextrema()[:3]) >= _ENOUGH:  # type: ignore[misc]
        return
    again = reopen()
    grey = mode == _GREY_AND_ALPHA
    colours, _, depth = mode.partition(";")
    again.tile = [  # type: ignore[attr-defined]
        tile._replace(args=_told(tile.args, "RGBA" if grey else f"{colours};{_OTHER_ORDER[depth]}"))
        for tile in again.tile  # type: ignore[attr-defined]
    ]
    again.load()
    bands = _bands(image)
    largest = max(int(_numbers(image, again, box, grey).max()) for box in bands)
    shift = next(bits for bits in DEPTHS if largest < 2**bits) - 8
    for box in bands:
        upper = np.asarray(image.crop(box)).copy()
        upper[..., :3] = _numbers(image, again, box, grey) >> shift
        image.paste(Image.fromarray(upper), box)


def _told(args: object, mode: str) -> object:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode


def _numbers(
    upper: Image.Image, again: Image.Image, box: tuple[int, int, int, int], grey: bool
) -> npt.NDArray[np.uint16]:
    """Return the numbers of a part of the image, uint16 [h, w, 3], or [h, w, 1] of grey."""
    lower = np.asarray(again.crop(box)).astype(np.uint16)
    high = lower[..., :1] if grey else np.asarray(upper.crop(box))[..., :3].astype(np.uint16)
    found: npt.NDArray[np.uint16] = np.left_shift(high, np.uint16(8)) | (lower[..., 1:2] if grey else lower[..., :3])
    return found


def _bands(image: Image.Image) -> list[tuple[int, int, int, int]]:
    rows = max(1, _BAND // max(1, image.width))
    return [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]

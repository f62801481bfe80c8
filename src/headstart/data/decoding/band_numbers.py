"""The numbers of all bands of a file, whatever its format; which bands it has; a picture of three of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.bands import BandChoice
from headstart.data.decoding.bounds import ROOM
from headstart.data.decoding.formats import format_of
from headstart.data.decoding.tiff_bands import tiff_header, tiff_numbers

Numbers = npt.NDArray[Any]
PERCENTILES = (2.0, 98.0)  # of a band, that are black and white to people
SAMPLED = 1 << 16  # pixels of a picture that percentiles are taken from
_PLAIN = ("L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F", "RGB", "RGBA", "LA")  # modes that are numbers already


@dataclass(frozen=True)
class BandKind:
    """What bands a file has.

    Args:
        names: one for each band.
        dtype: of its numbers, such as "uint16".
    """

    names: tuple[str, ...]
    dtype: str

    def described(self) -> str:
        """Return it as one text, from which `kind_from` makes it again."""
        return json.dumps([self.dtype, *self.names], ensure_ascii=False)

    def __str__(self) -> str:
        return f"{len(self.names)} band{'s' * (len(self.names) != 1)} of {self.dtype}"


def kind_from(text: str) -> BandKind:
    """Return the kind that `BandKind.described` wrote."""
    dtype, *names = json.loads(text)
    return BandKind(tuple(names), dtype)


def numbers_of(data: bytes, opened: Callable[[bytes], Image.Image]) -> Numbers:
    """Return the numbers of all bands of an encoded picture, [h, w, bands].

    Args:
        data: the file; a TIFF is read as it is.
        opened: decodes all else.

    Raises:
        UndecodableError: it cannot be decoded.
    """
    if format_of(data) == "TIFF":
        header = tiff_header(data)
        with ROOM.of(header.memory):
            return tiff_numbers(data)
    image = opened(data)
    numbers: Numbers = np.asarray(image if image.mode in _PLAIN else image.convert("RGB"))
    return numbers[:, :, None] if numbers.ndim == 2 else numbers


def kind_of(data: bytes | Numbers, numbers: Callable[[bytes], Numbers]) -> BandKind:
    """Return what bands a picture has; all of it is decoded, so that damage shows.

    Raises:
        UndecodableError: it cannot be decoded.
    """
    found = data if isinstance(data, np.ndarray) else numbers(data)
    count = found.shape[2] if found.ndim == 3 else 1
    named = isinstance(data, bytes) and format_of(data) == "TIFF"
    names = tiff_header(bytes(data)).names if named else tuple(str(number) for number in range(count))
    return BandKind(names, found.dtype.name)


def other_bands(data: bytes | Numbers, numbers: Numbers, choice: BandChoice) -> str | None:
    """Say why these are not the bands that were chosen, or None.

    Args:
        data: the file, or an array, of which nothing but the number of bands is known.
        numbers: of all its bands, [h, w, bands].
        choice: the bands needed. Where both have a name, it is the same; whole numbers have as many bits.
    """
    if numbers.shape[2] != choice.of:
        return f"has {numbers.shape[2]} bands where {choice.of} are needed"
    if isinstance(data, np.ndarray):
        return None
    given, needed = numbers.dtype, np.dtype(choice.dtype)
    if given.kind in "ui" and needed.kind in "ui" and given.itemsize != needed.itemsize:
        return f"has numbers of {given.name} where {needed.name} are needed"
    names = tiff_header(bytes(data)).names if format_of(data) == "TIFF" else ()
    for index, name in zip(choice.indices, choice.names, strict=True):
        if names and names[index] != name and str(index) not in (names[index], name):
            return f"has {names[index]} as band {index} where {name} is needed"
    return None


def shown(numbers: Numbers, choice: BandChoice) -> npt.NDArray[np.uint8]:
    """Return what people see of a picture, uint8 [h, w, 3]: each shown band between its own percentiles."""
    numbers = numbers[:, :, None] if numbers.ndim == 2 else numbers
    planes = [_stretched(numbers[:, :, choice.indices[place]]) for place in choice.show]
    return np.stack(planes, axis=-1)


def _stretched(plane: Numbers) -> npt.NDArray[np.uint8]:
    values = plane.astype(np.float64)
    finite = values[np.isfinite(values)]
    finite = finite[:: max(1, finite.size // SAMPLED)]
    dark, bright = np.percentile(finite, PERCENTILES) if finite.size else (0.0, 1.0)
    spread = bright - dark if bright > dark else 1.0
    scaled = np.nan_to_num((values - dark) * (255.0 / spread), nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)

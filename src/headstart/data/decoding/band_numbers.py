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
from headstart.data.decoding.formats import format_of
from headstart.data.decoding.tiff_bands import read_tiff

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


@dataclass(frozen=True)
class BandNumbers:
    """The numbers of all bands of a picture.

    Args:
        numbers: [h, w, bands].
        names: one for each band; () where the format has no names; None of an array, of which nothing but the number
            of bands is known.
    """

    numbers: Numbers
    names: tuple[str, ...] | None

    @property
    def kind(self) -> BandKind:
        """What bands these are."""
        names = self.names or tuple(str(number) for number in range(self.numbers.shape[2]))
        return BandKind(names, self.numbers.dtype.name)


def kind_from(text: str) -> BandKind:
    """Return the kind that `BandKind.described` wrote."""
    dtype, *names = json.loads(text)
    return BandKind(tuple(names), dtype)


def numbers_of(data: bytes | Numbers, opened: Callable[[bytes], Image.Image]) -> BandNumbers:
    """Return the numbers of all bands of an encoded picture or of an array.

    Args:
        data: the file; a TIFF is read as it is.
        opened: decodes all other files.

    Raises:
        UndecodableError: it cannot be decoded.
    """
    if isinstance(data, np.ndarray):
        return BandNumbers(_of_three(data), None)
    if format_of(data) == "TIFF":
        header, numbers = read_tiff(data)
        return BandNumbers(numbers, header.names)
    image = opened(data)
    return BandNumbers(_of_three(np.asarray(image if image.mode in _PLAIN else image.convert("RGB"))), ())


def _of_three(numbers: Numbers) -> Numbers:
    """Return numbers [h, w] or [h, w, bands] as [h, w, bands]."""
    return numbers[:, :, None] if numbers.ndim == 2 else numbers


def other_bands(found: BandNumbers, choice: BandChoice) -> str | None:
    """Return why these are not the bands that were chosen, or None.

    Args:
        found: the numbers of all bands.
        choice: the bands needed. Where both have a name, it is the same; both are floats, or whole numbers of as many
            bits: reflectances from 0 to 1 are not on the scale of those from 0 to 10,000.
    """
    return _other_count(found.kind, choice) if found.names is None else other_kind(found.kind, choice)


def other_kind(found: BandKind, choice: BandChoice) -> str | None:
    """Return why a file of this kind does not have the bands that were chosen, or None; see `other_bands`."""
    if why := _other_count(found, choice):
        return why
    given, needed = np.dtype(found.dtype), np.dtype(choice.dtype)
    both_floats = given.kind == needed.kind == "f"
    if not both_floats and (given.kind == "f" or needed.kind == "f" or given.itemsize != needed.itemsize):
        return f"has numbers of {given.name} where {needed.name} are needed"
    for index, name in zip(choice.indices, choice.names, strict=True):
        if found.names[index] != name and str(index) not in (found.names[index], name):
            return f"has {found.names[index]} as band {index} where {name} is needed"
    return None


def _other_count(found: BandKind, choice: BandChoice) -> str | None:
    count = len(found.names)
    return None if count == choice.of else f"has {count} band{'s' * (count != 1)} where {choice.of} are needed"


def shown(numbers: Numbers, choice: BandChoice) -> npt.NDArray[np.uint8]:
    """Return what people see of a picture, uint8 [h, w, 3]: each shown band between its own percentiles."""
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

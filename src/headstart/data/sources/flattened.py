"""Images that come flattened, one a row of a table of numbers, as scikit-learn's own data sets have them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.decoding.depth import to_8_bits
from headstart.errors import ArgumentError


@dataclass(frozen=True)
class Flattening:
    """How the rows of a table become images; learned from the training rows, so that all rows are treated alike.

    Args:
        shape: of an image.
        ends: the numbers that become black and white: 0 and 255 of uint8, else the lowest and the highest of the
            training rows.
    """

    shape: tuple[int, ...]
    ends: tuple[float, float]

    def images(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return uint8 [n, *shape] of a table [n, d]; numbers beyond the ends are cut off, missing places are black."""
        pixels = to_8_bits(rows, self.ends)
        missing = math.prod(self.shape) - rows.shape[1]
        return np.pad(pixels, ((0, 0), (0, missing))).reshape(-1, *self.shape)


def flattening_of(rows: npt.NDArray[Any], shape: tuple[int, ...] | None = None) -> Flattening:
    """Return how this training table becomes images.

    Args:
        rows: [n, d].
        shape: of an image; by default a grey square, for which a row may be too short (a warning says so).

    Raises:
        ArgumentError: the numbers of a row do not make such an image.
    """
    width = rows.shape[1]
    if shape is None:
        side = math.isqrt(width - 1) + 1
        shape = (side, side)
        if side * side != width:
            warnings.warn(
                f"rows of {width} numbers are not square images; they are padded to {side} × {side}: set image_shape",
                stacklevel=2,
            )
    elif math.prod(shape) != width:
        raise ArgumentError(f"image_shape {tuple(shape)} has {math.prod(shape)} numbers, but a row has {width}")
    ends = (0.0, 255.0) if rows.dtype == np.uint8 else (float(rows.min()), float(rows.max()))
    return Flattening(tuple(shape), ends)


def is_table(images: Any) -> bool:
    """Return whether these are numbers in rows (or something meant as such: one row, a sparse matrix)."""
    if hasattr(images, "tocsr"):
        return True
    if hasattr(images, "columns"):
        return len(images.columns) > 1 or all(map(_is_numeric, images.dtypes))
    if isinstance(images, list | tuple):
        return bool(images) and all(map(_is_row, images))
    if not hasattr(images, "__array__"):
        return False
    array = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    if array.dtype.kind == "O":
        return array.ndim == 2 and array.shape[1] > 1
    return array.dtype.kind in "buifc" and array.ndim <= 2


def _is_numeric(kind: Any) -> bool:
    """Return whether a column of this NumPy, pandas or Polars type contains numbers."""
    return kind.kind in "buif" if hasattr(kind, "kind") else bool(kind.is_numeric())


def _is_row(first: Any) -> bool:
    if isinstance(first, list | tuple):
        return not first or isinstance(first[0], int | float | complex)
    if isinstance(first, np.ndarray):
        return first.ndim == 1 and first.dtype.kind in "buifc"
    return isinstance(first, int | float | complex | np.number)

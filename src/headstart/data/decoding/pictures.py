"""What Python code may give as an image, or as a batch of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.decoding.depth import to_8_bits
from headstart.errors import ImageTypeError

# A path, encoded bytes, an open file, a PIL image, or an array or tensor. Open files and tensors have no common type.
Picture: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any] | Any

_MANY = (2, 5, 6, 7)  # channels, rather than the width of grey images that are over four times as high
CHANNELS = (1, 3, 4)  # grey, RGB, RGB with alpha
TAKEN = (
    "an image is a path, encoded bytes, a file opened in binary mode, a PIL image, or a numpy array or torch tensor of"
    " numbers: [height, width], [height, width, 1, 3 or 4] or [1, 3 or 4, height, width]"
)


def pictures_of(images: Any) -> list[Picture]:
    """Return the images of one image or of a batch: a list, tuple, iterator, column of a table, array or tensor.

    Of an array with three dimensions the first or the last may be the channels: then it is one image.

    Raises:
        ImageTypeError: something in it is not an image.
    """
    return [one_picture(images)] if _is_single(images) else batch_of(images)


def batch_of(images: Any, count: int | None = None) -> list[Picture]:
    """Return the images of a batch; an array [n, height, width] is n grey images.

    Args:
        images: as `pictures_of` takes them, but never a single image.
        count: how many there must be, if that is known: it settles what an array [n, height, 3] is.

    Raises:
        ImageTypeError: it is a single image, or something in it is not an image.
    """
    array = _as_array(images)
    if array is not None:
        return _rows(array, count, first=_is_tensor(images))
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or _is_file(images):
        raise ImageTypeError(f"one {type(images).__name__} where a batch of images is needed; give a list of images")
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise ImageTypeError(f"{_described(images)} is not a batch of images; {TAKEN}")
    if hasattr(images, "columns"):
        return batch_of(_only_column(images), count)
    return [one_picture(image, f"image {number}: ") for number, image in enumerate(images)]


def one_picture(image: Any, where: str = "") -> Picture:
    """Return the image as bytes, path, PIL image or uint8 array [height, width(, channels)]; a file is read here.

    Raises:
        ImageTypeError: it is not an image.
    """
    if isinstance(image, str | bytes):
        return image
    if isinstance(image, os.PathLike):
        return Path(os.fspath(image))
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image):
        return image
    array = _as_array(image)
    if array is not None:
        return pixels_of(array, where, first=_is_tensor(image))
    if _is_file(image):
        return _read(image, where)
    raise ImageTypeError(f"{where}{_described(image)} is not an image; {TAKEN}")


def pixels_of(array: npt.NDArray[Any], where: str = "", *, first: bool = False) -> npt.NDArray[np.uint8]:
    """Return uint8 [height, width] or [height, width, channels] of numbers of any type; see `depth`.

    Args:
        array: the numbers, channels last or first.
        where: what the message begins with.
        first: where both the first and the last dimension may be channels, they are first, as torch has them.

    Raises:
        ImageTypeError: its type or shape is not that of an image.
    """
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
        raise ImageTypeError(f"{where}{_described(array)} is not an image; {TAKEN}")
    if array.ndim == 3:
        is_last, is_first = array.shape[-1] in CHANNELS, array.shape[0] in CHANNELS
        if not (is_last or is_first):
            raise ImageTypeError(f"{where}{_described(array)} has neither 1, 3 nor 4 channels; choose three of them")
        if is_first and (first or not is_last):
            array = np.moveaxis(array, 0, -1)
        if array.shape[-1] == 1:
            array = array[:, :, 0]
    return to_8_bits(array)


def name_of(image: Any, number: int) -> str:
    """Return what to call an image: its path, the file it was opened from, or its number."""
    if isinstance(image, str | os.PathLike):
        return str(image)
    name = getattr(image, "filename", None) or getattr(image, "name", None)
    return name if isinstance(name, str) else str(number)


def _is_single(images: Any) -> bool:
    array = _as_array(images)
    if array is None:
        single = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
        return isinstance(images, single) or _is_file(images)
    if array.dtype.kind not in "buif" or array.ndim != 3:
        return array.dtype.kind in "buif" and array.ndim == 2
    if array.shape[-1] in CHANNELS or _is_tensor(images):
        return array.shape[-1] in CHANNELS or array.shape[0] in CHANNELS
    if array.shape[0] in (3, 4):
        raise ImageTypeError(
            f"{_described(array)} may be one image with its channels first or {array.shape[0]} grey images;"
            f" give image[None] or images[..., None]"
        )
    return False


def _rows(array: npt.NDArray[Any], count: int | None, *, first: bool) -> list[Picture]:
    """Return the images of an array: of numbers [n, …], or of paths or other objects [n] or [n, 1]."""
    if array.dtype.kind in "OUS":
        flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        if flat.ndim != 1:
            raise ImageTypeError(f"{_described(array)} is not a batch of images; give one column of them")
        return [one_picture(image, f"image {number}: ") for number, image in enumerate(flat.tolist())]
    if array.dtype.kind not in "buif" or array.ndim not in (3, 4):
        raise ImageTypeError(f"{_described(array)} is not a batch of images; {TAKEN}")
    if array.ndim == 3 and array.shape[-1] in CHANNELS and array.shape[0] not in (count, 0):
        raise ImageTypeError(
            f"{_described(array)} is one image where a batch is needed; give image[None], or images[..., None] if"
            f" they are {len(array)} grey images"
        )
    if array.ndim == 3 and array.shape[-1] in _MANY and min(array.shape[:2]) >= 4 * array.shape[-1] and count is None:
        raise ImageTypeError(
            f"{_described(array)} has neither 1, 3 nor 4 channels; choose three of them, or give images[..., None]"
            " if these are grey images"
        )
    return [pixels_of(each, f"image {number}: ", first=first) for number, each in enumerate(array)]


def _as_array(value: Any) -> npt.NDArray[Any] | None:
    """Return an array, a tensor, or whatever turns into an array by itself, as an array; None for all else."""
    if isinstance(value, np.ndarray):
        return value
    if _is_tensor(value):
        plain = value.detach().cpu()
        return np.asarray(plain.float() if "bfloat16" in str(plain.dtype) else plain)
    if isinstance(value, Image.Image | memoryview) or hasattr(value, "columns"):
        return None
    return np.asarray(value) if hasattr(value, "__array__") else None


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _is_file(value: Any) -> bool:
    return callable(getattr(value, "read", None)) and not isinstance(value, Image.Image)


def _read(file: Any, where: str) -> bytes:
    """Return what is in an open file, from its beginning."""
    if getattr(file, "closed", False) is True:
        raise ImageTypeError(f"{where}the file is closed; give it while it is open, or give its path")
    if callable(getattr(file, "seekable", None)) and file.seekable():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise ImageTypeError(f"{where}the file is opened as text; open it in binary mode, open(path, 'rb')")
    return content


def _only_column(table: Any) -> Any:
    names = list(table.columns)
    if len(names) != 1:
        raise ImageTypeError(
            f"a table of {len(names)} columns is not a batch of images; give one column, such as table['path']"
        )
    return table[names[0]]


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {list(value.shape)}"
    return f"{type(value).__name__} {value!r:.40}"

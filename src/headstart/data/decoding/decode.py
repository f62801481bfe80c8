"""From a file's bytes to RGB pixels: orientation, colour, and size as torchvision resizes and crops."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.errors import DataError, choose

Pixels = npt.NDArray[np.uint8]

_SUFFIXES = "jpg jpeg jpe jfif png bmp gif webp tif tiff ppm pgm pbm pnm jp2 avif tga mpo"
SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Only formats that Pillow decodes by itself: EPS would start Ghostscript on a file from anywhere.
_FORMATS = "JPEG MPO PNG BMP DIB GIF WEBP TIFF PPM JPEG2000 AVIF TGA ICO PCX"
Image.init()
FORMATS = tuple(name for name in _FORMATS.split() if name in Image.OPEN)
MAX_PIXELS = 178_956_970  # where Pillow, too, refuses an image as a decompression bomb
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 4096  # bytes: some cameras write more after the end
DECODER = 1  # part of every cache key; raise it when the same bytes would give other pixels

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class UndecodableError(Exception):
    """These bytes are no image that can be used; the message says why, in a few words."""


@dataclass(frozen=True)
class View:
    """How an image is brought to size.

    Args:
        resize: length of the shorter side, in pixels, the aspect ratio kept.
        crop: side of the square cut from the centre (padded with black where the image is smaller);
            None keeps the whole image.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", antialiased.
    """

    resize: int
    crop: int | None
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.resize < 1 or (self.crop is not None and self.crop < 1):
            raise DataError(f"a view needs at least 1 pixel, not resize {self.resize}, crop {self.crop}")
        choose("interpolation", self.interpolation, INTERPOLATIONS)


def decode(data: bytes | Pixels, view: View | None = None) -> Pixels:
    """Return uint8 [h, w, 3] of an encoded image (or of pixels [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]).

    Raises:
        UndecodableError: with the reason.
    """
    try:
        image = to_rgb(_from_array(data) if isinstance(data, np.ndarray) else open_image(data))
        return np.asarray(image if view is None else bring_to_size(image, view), dtype=np.uint8)
    except UndecodableError:
        raise
    except MemoryError as error:
        raise UndecodableError("needs more memory than there is") from error
    except Exception as error:  # Pillow's decoders raise anything on damaged files; the reason is passed on
        raise UndecodableError(_reason(error)) from error


def decode_file(path: str | Path, view: View | None = None) -> Pixels:
    """Return uint8 [h, w, 3] of an image file.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    try:
        with quiet_pillow():
            return decode(Path(path).read_bytes(), view)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UndecodableError as error:
        raise DataError(f"{path}: {error}") from error


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's remarks on odd files off the screen; enter it around threads, not inside them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        yield


def check(data: bytes) -> str | None:
    """Return why these bytes cannot be an image, or None.

    Only the header is read; but an image without its end is decoded, to see whether something is missing.
    """
    try:
        with open_image(data) as image:
            kind = image.format or ""
        if not _has_its_end(data, kind):
            decode(data)
    except UndecodableError as error:
        return str(error)
    return None


def open_image(data: bytes) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        UndecodableError: zero bytes, not an image, or a decompression bomb.
    """
    if not data:
        raise UndecodableError("has zero bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # as above: the reason is passed on
        raise UndecodableError(_reason(error)) from error
    if image.size[0] * image.size[1] > MAX_PIXELS:
        raise UndecodableError(_bomb(*image.size))
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an upright image in mode RGB: first frame, alpha on white, 16 bits to 8 by the upper byte."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def bring_to_size(image: Image.Image, view: View) -> Image.Image:
    """Resize the shorter side to `view.resize`, then cut the centre square, as torchvision does."""
    width, height = image.size
    short, long = sorted((width, height))
    if short != view.resize:
        other = int(view.resize * long / short)
        size = (view.resize, other) if width <= height else (other, view.resize)
        image = image.resize(size, INTERPOLATIONS[view.interpolation])
    return image if view.crop is None else _centre(image, view.crop)


def _has_its_end(data: bytes, kind: str) -> bool:
    """Say whether the mark that ends a file of this format is in its last bytes."""
    if kind == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    if kind == "GIF":
        return data.rstrip(b"\0").endswith(b";")
    mark = _ENDS.get(kind)
    return mark is None or mark in data[-_TAIL:]


def _centre(image: Image.Image, crop: int) -> Image.Image:
    width, height = image.size
    if width < crop or height < crop:
        left, top = max(0, (crop - width) // 2), max(0, (crop - height) // 2)
        padded = Image.new("RGB", (max(width, crop), max(height, crop)))
        padded.paste(image, (left, top))
        image = padded
        width, height = image.size
    left, top = round((width - crop) / 2.0), round((height - crop) / 2.0)
    return image.crop((left, top, left + crop, top + crop))


def _to_8_bits(values: npt.NDArray[np.generic]) -> Pixels:
    numbers = values.astype(np.float64)
    if np.issubdtype(values.dtype, np.floating):
        numbers = np.nan_to_num(numbers)
        scale = 255.0 if numbers.size and numbers.min() >= 0 and numbers.max() <= 1 else 1.0
        return np.clip(np.rint(numbers * scale), 0, 255).astype(np.uint8)
    deep = values.dtype.itemsize == 2 or (numbers.size > 0 and numbers.max() > 255)
    return np.clip(numbers // 256 if deep else numbers, 0, 255).astype(np.uint8)


def _from_array(pixels: Pixels) -> Image.Image:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise UndecodableError(f"is {pixels.dtype} {list(pixels.shape)}, not uint8 [height, width, 1, 3 or 4]")
    if 0 in pixels.shape:
        raise UndecodableError("has no pixels")
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and channels == 1 else pixels)


def _bomb(width: int, height: int) -> str:
    return f"is a decompression bomb: {width} × {height} pixels, more than {MAX_PIXELS:,}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no image"
    if isinstance(error, Image.DecompressionBombError):
        return f"is a decompression bomb: more than {MAX_PIXELS:,} pixels"
    text = str(error).strip().splitlines()
    said = text[0] if text else type(error).__name__
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return f"is cut short ({said})"
    return f"cannot be decoded ({said})"

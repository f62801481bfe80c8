"""From any picture to RGB pixels: orientation, colour, depth, and size as torchvision resizes and crops.

Every image goes through `decode`, so that the same picture gives the same pixels as a path, as
bytes, as an open file, as a PIL image and as an array.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.data.decoding.colour import to_srgb
from headstart.data.decoding.depth import to_8_bits
from headstart.data.decoding.pictures import Picture, one_picture
from headstart.errors import DataError, ImageTypeError, choose

Pixels = npt.NDArray[np.uint8]

_SUFFIXES = "jpg jpeg jpe jfif png bmp gif webp tif tiff ppm pgm pbm pnm jp2 avif tga mpo"
SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Only formats that Pillow decodes by itself: EPS would start Ghostscript on a file from anywhere.
_FORMATS = "JPEG MPO PNG BMP DIB GIF WEBP TIFF PPM JPEG2000 AVIF TGA ICO PCX"
Image.init()
FORMATS = tuple(name for name in _FORMATS.split() if name in Image.OPEN)
MAX_PIXELS = 178_956_970  # where Pillow, too, refuses an image as a decompression bomb
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
STRIP = 16  # times as long as wide
_TAIL = 4096  # bytes: some cameras write more after the end
DECODER = 2  # part of every cache key; raise it when the same bytes would give other pixels

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class UndecodableError(Exception):
    """These bytes are not a usable image; the message says why, in a few words."""


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


def decode(picture: Picture, view: View | None = None) -> Pixels:
    """Return uint8 [h, w, 3] of a path, encoded bytes, an open file, a PIL image, an array or a tensor.

    Raises:
        UndecodableError: with the reason.
        ImageTypeError: it is none of these.
    """
    try:
        image = _upright_rgb(content_of(picture))
        return np.asarray(image if view is None else bring_to_size(image, view), dtype=np.uint8)
    except (UndecodableError, ImageTypeError):
        raise
    except MemoryError as error:
        raise UndecodableError("needs more memory than there is") from error
    except Exception as error:  # Pillow's decoders raise anything on damaged files; the reason is passed on
        raise UndecodableError(_reason(error)) from error


def content_of(picture: Picture) -> bytes | Pixels:
    """Return what identifies a picture: the bytes of a file, or uint8 pixels [h, w] or [h, w, 3 or 4] of all else.

    Raises:
        UndecodableError: its file cannot be read, or its pixels cannot be loaded.
        ImageTypeError: it is not an image.
    """
    found: Any = one_picture(picture)
    if isinstance(found, str | Path):
        try:
            return Path(found).expanduser().read_bytes()
        except OSError as error:
            raise UndecodableError(f"cannot be read ({error.strerror})") from error
    if not isinstance(found, Image.Image):
        content: bytes | Pixels = found
        return content
    try:
        return np.asarray(to_rgb(ImageOps.exif_transpose(found)), dtype=np.uint8)
    except Exception as error:  # as above: the reason is passed on
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
    """Return an image in mode RGB and sRGB: first frame, alpha on white, deep numbers in 8 bits (see `depth`)."""
    found = image.info.get("icc_profile")
    profile = found if isinstance(found, bytes) else None
    if image.mode in ("CMYK", "L") and "transparency" not in image.info:
        image = to_srgb(image, profile)  # these profiles speak of this mode, not of RGB
        return image.convert("RGB")
    return to_srgb(_without_alpha(image), profile)


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def bring_to_size(image: Image.Image, view: View) -> Image.Image:
    """Resize the shorter side to `view.resize`, then cut the centre square, as torchvision does.

    Of an image over 16 times as long as wide only the middle is resized, so that a strip of one line of pixels
    does not take gigabytes.
    """
    image = _middle_of_strip(image, max(STRIP, 2 * ((view.crop or 0) // view.resize + 1)))
    width, height = image.size
    short, long = sorted((width, height))
    if short != view.resize:
        other = int(view.resize * long / short)
        size = (view.resize, other) if width <= height else (other, view.resize)
        image = image.resize(size, INTERPOLATIONS[view.interpolation])
    return image if view.crop is None else _centre(image, view.crop)


def _middle_of_strip(image: Image.Image, ratio: int) -> Image.Image:
    width, height = image.size
    longest = ratio * min(width, height)
    if max(width, height) <= longest:
        return image
    across, down = min(width, longest), min(height, longest)
    left, top = (width - across) // 2, (height - down) // 2
    return image.crop((left, top, left + across, top + down))


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


def _upright_rgb(content: bytes | Pixels) -> Image.Image:
    if isinstance(content, np.ndarray):
        if 0 in content.shape:
            raise UndecodableError("has no pixels")
        return to_rgb(Image.fromarray(content))
    image = open_image(content)
    ImageOps.exif_transpose(image, in_place=True)
    return to_rgb(image)


def _bomb(width: int, height: int) -> str:
    return f"is a decompression bomb: {width} × {height} pixels, more than {MAX_PIXELS:,}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"is a decompression bomb: more than {MAX_PIXELS:,} pixels"
    text = str(error).strip().splitlines()
    said = text[0] if text else type(error).__name__
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return f"is cut short ({said})"
    return f"cannot be decoded ({said})"

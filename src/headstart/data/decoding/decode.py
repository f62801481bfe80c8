"""From any picture to RGB pixels: orientation, colour, depth, and size as torchvision resizes and crops.

Every image goes through `decode`, so that the same picture gives the same pixels as a path, as
bytes, as an open file, as a PIL image and as an array.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, _imaging

from headstart.addresses import as_given, is_address, needs_path
from headstart.bands import BandChoice, Bands
from headstart.data.decoding.band_numbers import BandKind, numbers_of, other_bands, shown
from headstart.data.decoding.bounds import BAND, ROOM, check_bytes, check_header, memory_is_short, memory_of
from headstart.data.decoding.bounds import MAX_PIXELS as MAX_PIXELS
from headstart.data.decoding.colour import to_srgb
from headstart.data.decoding.damage import check_blocks, check_end, without_damage
from headstart.data.decoding.deep_colour import add_lower_bits, deep_mode
from headstart.data.decoding.depth import to_8_bits
from headstart.data.decoding.faults import LacksMemoryError
from headstart.data.decoding.faults import UndecodableError as UndecodableError
from headstart.data.decoding.formats import format_fault, plugin_formats
from headstart.data.decoding.jpeg import load_jpeg
from headstart.data.decoding.pictures import Picture, one_picture
from headstart.data.decoding.tiff_jpeg import check_jpegs
from headstart.data.decoding.view import INTERPOLATIONS as INTERPOLATIONS
from headstart.data.decoding.view import View as View
from headstart.data.decoding.view import bring_to_size
from headstart.data.image_files import read_file
from headstart.errors import DataError

Pixels = npt.NDArray[np.uint8]

_SUFFIXES = "jpg jpeg jpe jfif png bmp gif webp tif tiff ppm pgm pbm pnm jp2 avif tga mpo heic heif hif jxl"
SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Only formats that Pillow decodes by itself, and not when it opens them: EPS would start Ghostscript, an ICO may be
# of any size.
_FORMATS = "JPEG MPO PNG BMP DIB GIF WEBP TIFF PPM JPEG2000 AVIF TGA PCX"
Image.init()
FORMATS = tuple(name for name in _FORMATS.split() if name in Image.OPEN)
_ORIENTATION = 0x0112  # in EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DECODER = 5  # part of every cache key; raise it when the same bytes would give other pixels, or another verdict
BAND_DECODER = 2  # the same for pictures that are read in bands, whose keys have both
CHECK = 4  # part of the key of what is remembered of a file; raise it when `check` would give another verdict
with contextlib.suppress(OSError, AttributeError):  # libtiff writes its errors on the screen; Pillow raises them too
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
logging.getLogger("PIL.TiffImagePlugin").addHandler(logging.NullHandler())  # what nobody logs is not printed instead


def decode(picture: Picture, view: View | None = None, *, checked: bool = False) -> Pixels:
    """Return uint8 [h, w, 3], or of bands [h, w, c], of a path, bytes, an open file, a PIL image, an array or tensor.

    Args:
        picture: what is decoded.
        view: how it is brought to size; by default it is not.
        checked: `check` found nothing wrong with it, so that its blocks are not looked at again.

    Raises:
        UndecodableError: with the reason; LacksMemoryError where it is only that too little memory is free.
        ImageTypeError: it is none of these.
    """
    if view is not None and view.bands is not None:
        return _band_pixels(picture, view, view.bands)
    content = content_of(picture)
    if isinstance(content, np.ndarray):
        with _reasons(content.nbytes):
            if 0 in content.shape:
                raise UndecodableError("has no pixels")
            return _pixels(to_rgb(Image.fromarray(content)), view)
    image = open_image(content)
    size = memory_of(image)
    with ROOM.of(size), _reasons(size):
        load_whole(image, content)
        if not checked:
            check_blocks(content, image)
        image = upright(image)
        return _pixels(to_rgb(image), view)


def _band_pixels(picture: Picture, view: View, bands: Bands) -> Pixels:
    """Return uint8 [h, w, bands], each band scaled by its own range before it is brought to size."""
    raw = isinstance(picture, np.ndarray) and picture.ndim == 3
    content: Any = picture if raw else content_of(picture)
    with _reasons(len(content)):
        found = numbers_of(content, _opened_whole)
        if why := other_bands(found, bands.choice):
            raise UndecodableError(why)
        sized = [np.asarray(bring_to_size(Image.fromarray(plane), view)) for plane in bands.scaled(found.numbers)]
        whole: Pixels = np.clip(np.rint(np.stack(sized, axis=-1)), 0, 255).astype(np.uint8)
        return whole


def band_numbers(data: bytes | Pixels) -> npt.NDArray[Any]:
    """Return the numbers of all bands, [h, w, bands]: a TIFF's as they are, else those that Pillow reads.

    Raises:
        UndecodableError: it cannot be decoded.
    """
    with _reasons(len(data)):
        return numbers_of(data, _opened_whole).numbers


def _opened_whole(data: bytes) -> Image.Image:
    image = open_image(data)
    with ROOM.of(memory_of(image)):
        load_whole(image, data)
        check_blocks(data, image)
        return upright(image)


def seen_by_people(data: bytes | Pixels, bands: BandChoice | Bands | None) -> Pixels:
    """Return what people see of a picture, uint8 [h, w, 3].

    Args:
        data: the picture.
        bands: its bands, of which three are shown: measured ones between the percentiles of all pictures, so that a
            dark picture is dark beside a bright one; others between the percentiles of this picture. None: it is an
            ordinary picture.

    Raises:
        UndecodableError: it cannot be decoded, or has other bands than measured ones.
    """
    if bands is None:
        return decode(data)
    with _reasons(len(data)):
        found = numbers_of(data, _opened_whole)
        if isinstance(bands, BandChoice):
            return shown(found.numbers, bands)
        if why := other_bands(found, bands.choice):
            raise UndecodableError(why)
        return bands.picture(np.rint(np.moveaxis(bands.scaled(found.numbers), 0, -1)).astype(np.uint8))


def check_bands(data: bytes | Pixels) -> tuple[str, BandKind | None]:
    """Return why these bytes cannot be a picture of bands, or "" and its kind.

    Raises:
        LacksMemoryError: that could not be found out now.
    """
    try:
        with _reasons(len(data)):
            return "", numbers_of(data, _opened_whole).kind
    except LacksMemoryError:
        raise
    except UndecodableError as error:
        return str(error), None


def load_whole(image: Image.Image, data: bytes) -> None:
    """Decode the pixels of an opened image, which may have been told to decode a fraction of them.

    Raises:
        UndecodableError: a part of them is missing or damaged.
    """
    if image.format in ("JPEG", "MPO"):
        load_jpeg(image, data)
        return
    check_end(data, image)
    if image.format == "TIFF":
        check_jpegs(data, image)
    deep = deep_mode(image)
    image.load()
    if deep:
        add_lower_bits(image, deep, lambda: open_image(data))


def upright(image: Image.Image) -> Image.Image:
    """Return the image as its EXIF orientation says; where that is damaged, as it is."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # whatever is wrong with these facts about the picture, the picture is sound
        return image
    return image if turn is None else image.transpose(turn)


@contextlib.contextmanager
def _reasons(size: int) -> Iterator[None]:
    """Turn all that is raised into the reason why an image of this size in memory cannot be decoded."""
    try:
        yield
    except UndecodableError:
        raise
    except MemoryError as error:
        raise LacksMemoryError from error
    except Exception as error:  # Pillow's decoders raise anything on damaged files; the reason is passed on
        if "out of memory" in str(error).lower() or memory_is_short(size):
            raise LacksMemoryError from error
        raise UndecodableError(_reason(error)) from error


def _pixels(image: Image.Image, view: View | None) -> Pixels:
    """Return an RGB image at its size as an array, with no second copy of a large one."""
    image = image if view is None else bring_to_size(image, view)
    if image.width * image.height <= BAND:
        return np.asarray(image, dtype=np.uint8)
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top, bottom in _bands(image):
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def content_of(picture: Picture) -> bytes | Pixels:
    """Return what identifies a picture: the bytes of a file, or uint8 pixels [h, w] or [h, w, 3 or 4] of all else.

    Raises:
        UndecodableError: its file cannot be read, or its pixels cannot be loaded.
        ImageTypeError: it is not an image.
    """
    found: Any = one_picture(picture)
    if isinstance(found, str | Path):
        try:
            return read_file(Path(found).expanduser())
        except OSError as error:
            if is_address(str(found)):
                raise UndecodableError(needs_path(found)) from error
            if isinstance(error, FileNotFoundError):
                raise UndecodableError("no such file or folder") from error
            raise UndecodableError(f"cannot be read ({error.strerror or error})") from error
    if not isinstance(found, Image.Image):
        content: bytes | Pixels = found
        return content
    if file := _deep_file(found):
        return file
    with _reasons(found.size[0] * found.size[1] * 8):
        found.load()
        return _pixels(to_rgb(upright(found)), None)


def _deep_file(image: Image.Image) -> bytes | None:
    """Return the file of a PIL image that Pillow would decode with fewer bits than the file has, or None."""
    file = getattr(image, "fp", None)
    if file is None or deep_mode(image) is None or image.tell():
        return None
    try:
        file.seek(0)
        found: bytes = file.read()
    except (OSError, ValueError):  # what Pillow says of it is the reason
        return None
    image.fp = io.BytesIO(found)  # type: ignore[attr-defined]  # not loaded, so that it is read the same the next time
    if getattr(image, "_exclusive_fp", False):  # Pillow opened it
        file.close()
    return found


def decode_file(path: str | Path, view: View | None = None) -> Pixels:
    """Return uint8 [h, w, 3] of an image file.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    try:
        with quiet_pillow():
            return decode(read_file(path), view)
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder, not an image") from error
    except OSError as error:
        if is_address(str(path)):
            raise DataError(f"{as_given(path)}: {needs_path(path)}") from error
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
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

    Only the structure of the file is read; but an image whose end is unclear is decoded.

    Raises:
        LacksMemoryError: that could not be done now.
    """
    try:
        with open_image(data) as image:
            unclear = not check_end(data, image)
            size = memory_of(image)
            with ROOM.of(size), _reasons(size):
                check_blocks(data, image)
        if unclear:
            decode(data)
    except LacksMemoryError:
        raise
    except UndecodableError as error:
        return str(error)
    return None


def open_image(data: bytes) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        UndecodableError: zero bytes, not an image, out of bounds (see `bounds`), or a checksum is wrong.
    """
    check_bytes(data)
    data = without_damage(data)
    with _reasons(len(data)):
        if fault := format_fault(data):
            raise UndecodableError(fault)
        image = Image.open(io.BytesIO(data), formats=(*FORMATS, *plugin_formats(data)))
        check_header(image)
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
        return _by_bands(image, _on_white, "RGB")
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _by_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image], mode: str) -> Image.Image:
    """Convert an image band by band, so that intermediate results take little memory."""
    if image.width * image.height <= BAND:
        return convert(image)
    whole = Image.new(mode, image.size)
    for top, bottom in _bands(image):
        band = image.crop((0, top, image.width, bottom))
        whole.paste(convert(band), (0, top))
    return whole


def _bands(image: Image.Image) -> list[tuple[int, int]]:
    """Return (top, bottom) of bands of at most `BAND` pixels, or of one line."""
    rows = max(1, BAND // max(1, image.width))
    return [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]


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

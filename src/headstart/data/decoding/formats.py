"""Formats that Pillow reads only with a plugin, or not at all: told by their first bytes, and said what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from functools import cache

from PIL import Image, TiffImagePlugin, UnidentifiedImageError, features

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")  # ISO 23008-12
_AVIF = (b"avif", b"avis")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BIG_ENDIAN_BIG = b"MM\0+"
_BITS, _PHOTOMETRIC, _CHANNELS, _STRIPS, _TILES = 258, 262, 277, 279, 325  # tags of TIFF; the last two are of sizes
_CMYK = 5  # of the photometric interpretation
_MOST = 4  # channels: red, green, blue and alpha


def format_of(data: bytes) -> str | None:
    """Return "HEIC", "AVIF", "JPEG XL" or "TIFF" by the first bytes of a file, or None."""
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[start : start + 4] for start in range(16, min(_size(data), 64), 4))]
        if any(brand in _AVIF for brand in brands):
            return "AVIF"
        return "HEIC" if any(brand in _HEIC for brand in brands) else None
    if data.startswith(_JPEG_XL):
        return "JPEG XL"
    return "TIFF" if data.startswith(_TIFF) else None


def plugin_formats(data: bytes) -> tuple[str, ...]:
    """Return the names of the formats that a plugin adds for this file; the plugin is registered."""
    if format_of(data) != "HEIC" or not heif_version():
        return ()
    import pillow_heif

    pillow_heif.register_heif_opener()
    return ("HEIF",)


def format_fault(data: bytes) -> str | None:
    """Return why a file of one of these formats cannot be read here and what to do, or None."""
    kind = format_of(data)
    if kind == "HEIC" and not heif_version():
        return "is HEIC: pip install 'headstart[heic]'"
    if kind == "AVIF" and not features.check("avif"):
        return "is AVIF, which this Pillow was built without: pip install --upgrade --force-reinstall pillow"
    if kind == "JPEG XL":
        return "is JPEG XL, which cannot be read; convert it to PNG, for instance with djxl"
    return _tiff_fault(data) if kind == "TIFF" else None


@cache
def heif_version() -> str:
    """Return the version of the package that reads HEIC, or "" where it is not installed."""
    if importlib.util.find_spec("pillow_heif") is None:
        return ""
    return importlib.metadata.version("pillow-heif")


def _size(data: bytes) -> int:
    """Return the size of the first box of an ISO file."""
    return int.from_bytes(data[:4], "big")


def _tiff_fault(data: bytes) -> str | None:
    if data.startswith(_BIG_ENDIAN_BIG):
        return "is a big-endian BigTIFF, which cannot be read; save it as an ordinary TIFF"
    try:
        tags = _tags(data)
    except Exception:  # damaged; what is wrong with it shows when it is decoded
        return None
    if not (_STRIPS in tags or _TILES in tags):  # its directory is cut short
        return None
    channels, bits = int(tags.get(_CHANNELS, 1)), tags.get(_BITS, 1)
    if channels > _MOST and not (tags.get(_PHOTOMETRIC) == _CMYK and channels == _MOST + 1):
        asked = "read them as bands (data.bands in a study, --bands on the command line), or save three as RGB"
        return f"is a TIFF of {channels} channels; {asked}"
    try:
        Image.open(io.BytesIO(data), formats=("TIFF",)).close()
    except UnidentifiedImageError:
        depth = max(bits) if isinstance(bits, tuple) else bits
        kind = f"{channels} channels of {depth} bits" if channels > 1 else f"{depth} bits"
        return f"is a TIFF of {kind} in a layout that cannot be read; save it as RGB of 8 bits or as grey"
    except Exception:  # as above
        return None
    return None


def _tags(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the first directory of a TIFF."""
    big = data[2:3] == b"+"
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if big else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags

"""How long a file of a format without checksums says that it is: bytes that were put into it come out at its end."""

from __future__ import annotations

from typing import Any

from PIL import Image

_BANDS = {"RGB": 3, "L": 1, "I": 1}
_PROFILED = 124  # bytes of the header of a BMP from which on a colour profile may follow the pixels


def is_longer_than_it_says(data: bytes, image: Image.Image) -> bool:
    """Return whether anything but zeros follows what the file of an opened image says is its end.

    Of formats that have no such end, or whose files are often continued (JPEG, PNG, GIF, TIFF, HEIC), it is False.
    """
    find = _ENDS.get(image.format or "")
    end = None if find is None else find(data, image)
    return end is not None and bool(data[end:].strip(b"\0"))


def webp_end(data: bytes) -> int:
    """Return the end of a WebP, by its header."""
    return int.from_bytes(data[4:8], "little") + 8


def _webp(data: bytes, image: Image.Image) -> int | None:
    return webp_end(data)


def _bmp(data: bytes, image: Any) -> int | None:
    name, (_, _, _, height), offset, args = image.tile[0]
    if name != "raw" or int.from_bytes(data[14:18], "little") >= _PROFILED:
        return None
    end = offset + int(args[1]) * int(height)
    return max(int(end), int.from_bytes(data[2:6], "little"))


def _ppm(data: bytes, image: Any) -> int | None:
    """Return the end of the picture and of the space after it; None where another picture follows, or it is text."""
    name, (_, _, width, height), offset, args = image.tile[0]
    if name == "raw" and args == "1;I":
        row = -(-width // 8)
    elif name == "raw" and args in ("RGB", "L", "I;16B"):
        row = width * {"RGB": 3, "L": 1, "I;16B": 2}[args]
    elif name == "ppm":
        row = width * _BANDS[image.mode] * (1 if args[1] < 256 else 2)
    else:
        return None
    end = int(offset + row * height)
    more = data[end:].lstrip(b"\0\t\n\r ")
    return None if more.startswith(b"P") else len(data) - len(more)


def _avif(data: bytes, image: Image.Image) -> int | None:
    """Return the end of the last box; None where that is the end of the file, or is missing."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if not data[position + 4 : position + 8].isalpha():  # the name of a box
            return position
        if size < 8 or position + size > len(data):  # it reaches to the end of the file, or is cut short
            return None
        position += size
    return position


_ENDS = {"WEBP": _webp, "BMP": _bmp, "PPM": _ppm, "AVIF": _avif}

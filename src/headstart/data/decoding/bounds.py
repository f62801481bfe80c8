"""How large an image may be, known from its header before anything is allocated, and how many are decoded at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.decoding.deep_colour import deep_mode
from headstart.data.decoding.faults import UndecodableError
from headstart.data.image_files import MAX_BYTES, too_many

MAX_PIXELS = 178_956_970  # where Pillow, too, refuses an image as a decompression bomb
MAX_SIDE = 1 << 20  # px
MAX_MEMORY = 3 << 29  # bytes at the height of decoding, 1.5 GiB: of one image, and of all that are decoded at once

BAND = 1 << 22  # pixels that are converted at a time

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # bytes a pixel; other modes: 4
_RGB = 4  # bytes a pixel of the RGB copy that is made of what was decoded
# Bytes a pixel that a format's library takes beside Pillow's image.
_LIBRARY = {"WEBP": 16, "AVIF": 14, "HEIF": 14, "JPEG2000": 16, "GIF": 4}
_COPIES = 20  # bytes a pixel of a band of a picture with alpha, while it is laid on white
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_COEFFICIENTS = 6  # of a progressive JPEG, which is kept whole until its last scan was read
_TILE, _STRIP = (322, 323), 278  # TIFF: width and length of a tile, rows of a strip


def check_bytes(data: bytes) -> None:
    """Refuse encoded data whose length, or whose canvas where opening allocates it, is out of bounds."""
    if not data:
        raise UndecodableError("has zero bytes")
    if len(data) > MAX_BYTES:
        raise UndecodableError(too_many(len(data)))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = webp_size(data)
        if size is not None:
            _check_size(*size)
            _check_memory(size[0] * size[1] * (_LIBRARY["WEBP"] + 2 * _RGB))


def check_header(image: Image.Image) -> None:
    """Refuse an opened, not yet decoded image that is too large, too long or takes too much memory."""
    _check_size(*image.size)
    _check_memory(memory_of(image))


def memory_of(image: Image.Image) -> int:
    """Return about how many bytes decoding takes at its height."""
    pixels = image.size[0] * image.size[1]
    kind = str(image.format)
    each = _STORED.get(image.mode, 4) + _RGB + _LIBRARY.get(kind, 0)
    if image.info.get("progressive"):
        each += _COEFFICIENTS
    if image.mode in ("I", "F"):
        each += 5
    elif image.mode.startswith("I"):
        each += 1  # its numbers in 8 bits
    if deep_mode(image):
        each += _RGB  # the file is read again for the lower eight bits
    alpha = image.mode in _ALPHA or "transparency" in image.info
    return pixels * each + _units(image) + (_COPIES * min(pixels, BAND) if alpha else 0)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a WebP's header; None where it has none."""
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    return None


def _units(image: Image.Image) -> int:
    """Return the bytes of the largest part that is decoded at once beside the image: a tile or strip of a TIFF."""
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        width, rows = (_whole(tags.get(tag)) for tag in _TILE)
        if not width:
            width, rows = image.size[0], min(_whole(tags.get(_STRIP)), image.size[1])
        return 8 * width * rows
    return 0


def _whole(value: Any) -> int:
    value = value[0] if isinstance(value, tuple) and value else value
    return int(value) if isinstance(value, int | float) else 0


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UndecodableError(
            f"is a decompression bomb: {width} × {height} pixels, more than {MAX_PIXELS:,}; make it smaller"
        )
    if max(width, height) > MAX_SIDE:
        raise UndecodableError(f"is {width} × {height} pixels: a side is longer than {MAX_SIDE:,}")


def _check_memory(size: int) -> None:
    if size > MAX_MEMORY:
        raise UndecodableError(
            f"would take {size / 1e9:.1f} GB of memory to decode, more than {MAX_MEMORY / 1e9:.1f} GB; make it smaller"
        )


class _Room:
    """Memory that decoding may take at once, shared by the threads of this process."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Hold this many bytes; wait while other threads hold too many of them."""
        with self._changed:
            while self._taken and self._taken + size > MAX_MEMORY:
                self._changed.wait()
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew: the threads that held memory stayed in the process that this one was forked from."""
        self.__init__()  # type: ignore[misc]


ROOM = _Room()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ROOM.forget)


def memory_is_short(size: int) -> bool:
    """Return whether this many bytes cannot be allocated now; the pages are not touched."""
    try:
        np.empty(size, dtype=np.uint8)
    except MemoryError:
        return True
    return False

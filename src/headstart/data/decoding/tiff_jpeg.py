"""The JPEGs in a TIFF: libtiff reads what it finds of them, so their ends are looked at here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, UnidentifiedImageError

from headstart.data.decoding.bounds import check_header
from headstart.data.decoding.jpeg import load_jpeg

_COMPRESSION, _JPEG, _TABLES = 259, 7, 347  # tags of TIFF, and the second one's value
_PLACES = ((273, 279), (324, 325))  # offsets and sizes of strips, and of tiles
_END = b"\xff\xd9"


def jpegs_in(data: bytes, image: Any) -> Iterator[tuple[bytes, Image.Image]]:
    """Yield the strips or tiles of an opened TIFF as JPEG files, with each one opened, where they are JPEGs."""
    tags = image.tag_v2
    if tags.get(_COMPRESSION) != _JPEG:
        return
    tables = tags.get(_TABLES, b"")
    for offsets, sizes in ((tags.get(place), tags.get(size)) for place, size in _PLACES):
        for offset, size in zip(offsets or (), sizes or (), strict=False):
            part = data[offset : offset + size]
            if size:
                part = (part if not tables else tables.removesuffix(_END) + part[2:]) + _END  # some writers omit it
                if (opened := _opened(part)) is not None:
                    yield part, opened


def check_jpegs(data: bytes, image: Any) -> None:
    """Decode the strips or tiles of an opened TIFF, where they are JPEGs, to see whether they are complete.

    Raises:
        UndecodableError: a part of one is missing or left over.
    """
    for part, opened in jpegs_in(data, image):
        check_header(opened)
        load_jpeg(opened, part)


def _opened(data: bytes) -> Image.Image | None:
    """Return an opened JPEG; None where it is a kind of JPEG that only libtiff reads."""
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG",))
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None

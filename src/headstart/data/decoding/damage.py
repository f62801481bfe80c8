"""Damage that a file shows without its pixels: checksums, ends, tails of zeros, blocks that no picture has."""

from __future__ import annotations

import zlib

from PIL import Image

from headstart.data.decoding.faults import UndecodableError
from headstart.data.decoding.jpeg_means import check_means
from headstart.data.decoding.said_length import is_longer_than_it_says, webp_end
from headstart.data.decoding.tiff_jpeg import jpegs_in

_PNG = b"\x89PNG\r\n\x1a\n"
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_ZEROS = bytes(64)  # compressed data never end so


def without_damage(data: bytes) -> bytes:
    """Return an encoded image as it is, or a PNG without the damaged chunks that do not matter to its pixels.

    Raises:
        UndecodableError: its pixels are damaged.
    """
    if not data.startswith(_PNG):
        return data
    position, kept, kind = len(_PNG), [(0, len(_PNG))], b""
    view = memoryview(data)
    while position + 12 <= len(data) and kind != b"IEND":
        stop = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if stop > len(data):
            raise UndecodableError("is cut short (a part is missing)")
        if zlib.crc32(view[position + 4 : stop - 4]).to_bytes(4, "big") == data[stop - 4 : stop]:
            kept.append((position, stop))
        elif kind in _CRITICAL or not kind.isalpha() or not kind[0] & 0x20:
            raise UndecodableError("is damaged: a checksum is wrong")
        position = stop
    if kind != b"IEND":
        raise UndecodableError("is cut short (it has no end)")
    if sum(stop - start for start, stop in kept) == position:
        return data
    return b"".join(data[start:stop] for start, stop in kept)


def check_blocks(data: bytes, image: Image.Image) -> None:
    """Look at the structure of an opened JPEG, or of those in a TIFF, and at the mean of each of its blocks.

    Raises:
        UndecodableError: a part is missing, or no picture has such blocks.
    """
    if image.format in ("JPEG", "MPO"):
        check_means(data, image)
    elif image.format == "TIFF":
        for part, opened in jpegs_in(data, image):
            check_means(part, opened)


def check_end(data: bytes, image: Image.Image) -> bool:
    """Return whether the end of an opened image's file shows that it is complete; False where only decoding can tell.

    Raises:
        UndecodableError: its end is missing, or more than its end.
    """
    kind = image.format
    if kind in ("JPEG", "MPO"):
        return True
    length = webp_end(data) if kind == "WEBP" else len(data)
    if kind in ("WEBP", "AVIF", "JPEG2000") and data.endswith(_ZEROS, 0, length):
        raise UndecodableError("is damaged: its end is all zeros")
    if is_longer_than_it_says(data, image):
        raise UndecodableError("is damaged: it is longer than it says")
    if kind == "WEBP":
        return len(data) >= length
    if kind == "GIF":
        return data.rstrip(b"\0").endswith(b";")
    return True

"""JPEG read scan by scan, so that a scan which ends early, or is longer than its picture, is seen.

libjpeg replaces what is missing by grey and skips what is left over, and Pillow does not pass its warnings on. But
its decoder takes data piece by piece and says how much it used. After the end of a scan it skips all that is not a
marker, and before that it stops at the first block that needs more data than there is. Stuffed ones (FF 00) after a
scan's data are therefore used up completely if the scan was complete, and are not a valid code if it was not.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from headstart.data.decoding.faults import UndecodableError
from headstart.data.decoding.jpeg_structure import scan_ends

MAX_WORK = 10**9  # pixels times scans, where there are more than 12 scans: each goes over the whole picture
_USUAL = 12  # scans of a progressive JPEG
_ONES = b"\xff\x00" * 8
_HELD = 4  # bytes before the end of a scan: some encoders pad it
_PREMATURE = "is damaged: its image data end too early"
_SURPLUS = "is damaged: image data are left over at its end"


def load_jpeg(image: Any, data: bytes) -> None:
    """Decode an opened JPEG completely.

    Raises:
        UndecodableError: a part is missing or left over, or it has too many scans.
    """
    ends, end = scan_ends(data)
    pixels = image.size[0] * image.size[1]
    if len(ends) > _USUAL and len(ends) * pixels > MAX_WORK:
        raise UndecodableError(f"is a decompression bomb: {len(ends)} scans of {pixels:,} pixels")
    name, extents, _, args = image.tile[0]
    image.load_prepare()
    decoder: Any = Image._getdecoder(image.mode, name, args, image.decoderconfig)  # type: ignore[attr-defined]
    try:
        decoder.setimage(image.im, extents)
        _feed(decoder, data, ends, end)
    finally:
        decoder.cleanup()
    image.tile = []
    image.load_end()


def _feed(decoder: Any, data: bytes, ends: list[int], end: int) -> None:
    """Give the decoder one scan after the other."""
    rest, start = b"", 0
    for stop in ends:
        held = max(start, stop - _HELD)
        rest, before = _give(decoder, rest + data[start:held])
        rest, after = (rest, None) if before is None else _give(decoder, rest + data[held : held + 1])
        # In the midst of a scan the decoder takes several bytes at a time: never all of it twice in a row.
        whole = held > start and 0xFF not in (data[held - 1], data[held])
        if after is None or (before and after and whole):
            raise UndecodableError(_SURPLUS)
        rest, all_used = _give(decoder, rest + data[held + 1 : stop] + _ONES)
        if all_used is None:
            return  # a picture of one scan is complete with its last line
        rest, still = _give(decoder, rest + _ONES[:2])
        if not (all_used and still):
            raise UndecodableError(_PREMATURE)
        start = stop
    if _give(decoder, rest + data[start:end])[1] is not None:
        raise UndecodableError(_PREMATURE)


def _give(decoder: Any, data: bytes) -> tuple[bytes, bool | None]:
    """Return what the decoder left of the data, and whether it used all; None where the picture is complete."""
    used, error = decoder.decode(data)
    if used < 0 and error < 0:
        raise MemoryError if error == -9 else UndecodableError("cannot be decoded (broken data stream)")
    if used < 0:
        return b"", None
    return data[used:], used == len(data)

"""The mean of each block of a JPEG, held to what pictures can have: none is brighter than white or darker than black.

A block's mean is stored as the difference from the block before. Damaged codes usually get back into step after a few
bytes, so that all that follows is valid, but too bright or too dark by what went wrong between: no decoder objects. In
the decoded picture this cannot be seen, since libjpeg cuts what is out of range. So the JPEG is decoded once more at an
eighth of its size, which takes the means alone, with quantisation tables under which twice the range fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from headstart.data.decoding.faults import UndecodableError
from headstart.data.decoding.jpeg_structure import FRAMES, PROGRESSIVE, SCAN, STEPS, scan_ends, segments

_WHITE = 1024  # 8 times the mean of a white block, which is 128 above the middle
_MARGIN = 64  # 8 grey levels: what an encoder that does not round well may add
_ROOM = 96  # levels above and below the middle, of 127, that are given to what is allowed
_MODES = {"L": "L", "RGB": "YCbCr"}
_OUT_OF_RANGE = "is damaged: a part is brighter than white or darker than black"


@dataclass
class _Means:
    """A JPEG whose blocks have no detail, and levels that do not exceed `most`.

    Args:
        data: its bytes.
        steps: by quantisation table, the step of the means in the file, and here.
        size: width and height in pixels.
        tables: the quantisation table of each component.
        shift: the lower bits of the means that are not read.
    """

    data: bytearray
    steps: dict[int, tuple[int, int]] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    tables: list[int] = field(default_factory=list)
    shift: int = 0

    def most(self, table: int) -> int:
        """Return the highest allowed level above or below the middle."""
        step, here = self.steps[table]
        return (_allowed(step) + (1 << self.shift) - 1) * here // 8 + 1


def check_means(data: bytes, image: Any) -> None:
    """Look at the mean of each block of an opened JPEG; of CMYK, and of RGB that is stored as such, nothing is said.

    Raises:
        UndecodableError: a block's mean is out of range, or see `scan_ends`.
    """
    ends, end = scan_ends(data)
    mode = _MODES.get(image.mode)
    means = _means(data[:end], ends)
    if mode is None or means is None or means.size != image.size:
        return
    small = Image.core.new(mode, tuple(-(-side // 8) for side in means.size))  # type: ignore[attr-defined]
    if not _is_decoded(small, mode, bytes(means.data)):
        return
    for number, table in enumerate(means.tables[: small.bands]):
        darkest, brightest = small.getband(number).getextrema()
        if max(128 - darkest, brightest - 128) > means.most(table):
            raise UndecodableError(_OUT_OF_RANGE)


def _means(data: bytes, ends: list[int]) -> _Means | None:
    """Return what is decoded to see the means; None where a quantisation table is given twice."""
    found, progressive = _Means(bytearray(data)), False
    for marker, start, stop in segments(data, ends):
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
            height, width = (int.from_bytes(data[at : at + 2], "big") for at in (start + 1, start + 3))
            found.size = width, height
            found.tables = [data[at] for at in range(start + 8, stop, 3)]
        elif marker == STEPS:
            if not _without_detail(found, start, stop):
                return None
        elif marker == SCAN and progressive:
            if data[stop - 3]:  # the first scan of details: those of the means are before it
                found.data[start - 4 :] = b"\xff\xd9"
                break
            found.shift = max(found.shift, data[stop - 1] & 15)
    return found if found.steps.keys() >= set(found.tables) else None


def _without_detail(means: _Means, start: int, stop: int) -> bool:
    """Rewrite quantisation tables so that nothing but the means remains; say whether they are new and sound."""
    data = means.data
    while start < stop:
        width, table = 2 if data[start] >> 4 else 1, data[start] & 15
        step = int.from_bytes(data[start + 1 : start + 1 + width], "big")
        if table in means.steps or not step or start + 1 + 64 * width > stop:
            return False
        here = min(255, max(1, 8 * _ROOM // _allowed(step)))
        means.steps[table] = step, here
        data[start + 1 : start + 1 + 64 * width] = here.to_bytes(width, "big") + bytes(63 * width)
        start += 1 + 64 * width
    return True


def _allowed(step: int) -> int:
    """Return the most steps that the mean of a block can be from the middle."""
    return (_WHITE + _MARGIN) // step + 1


def _is_decoded(small: Any, mode: str, data: bytes) -> bool:
    decoder: Any = Image._getdecoder(mode, "jpeg", (mode, ""), (8, 0))  # type: ignore[attr-defined]
    try:
        decoder.setimage(small, (0, 0, *small.size))
        used, error = decoder.decode(data)
    finally:
        decoder.cleanup()
    if error == -9:
        raise MemoryError
    return bool(used < 0 and error == 0)

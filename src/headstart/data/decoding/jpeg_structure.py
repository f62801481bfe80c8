"""What a JPEG's markers show without decoding it: where its scans end, impossible tables, missing restart markers.

The tables are held to what the JPEG readers of guetzli and libjxl accept: libjpeg decodes with any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from headstart.data.decoding.faults import UndecodableError
from headstart.data.decoding.jpeg_steps import is_altered

_MARKER = re.compile(rb"\xff[\x01-\xfe]")  # not a stuffed byte, not a fill byte
_PICTURE_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # one that ends a scan: not a restart
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_CYCLE = b"".join(bytes((0xFF, 0xD0 + number)) for number in range(8))
STEPS, SCAN, END = 0xDB, 0xDA, 0xD9
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # those that libjpeg decodes
PROGRESSIVE = frozenset({0xC2, 0xCA})
_TABLES = {0xC4: "code", STEPS: "quantisation"}
_INTERVAL = 0xDD


def scan_ends(data: bytes) -> tuple[list[int], int]:
    """Return where the data of each scan end, and the end of the picture.

    Raises:
        UndecodableError: there is no end of the picture, a table is impossible, or a restart marker is missing, out of
            order or superfluous.
    """
    position = 2
    ends: list[int] = []
    frame, interval = b"", 0
    while (found := _segment(data, position)) is not None:
        marker, start, position = found
        if marker == END:
            return ends, position
        if marker in _TABLES:
            if fault := _fault(_TABLES[marker], data[start:position]):
                raise UndecodableError(f"is damaged: a {_TABLES[marker]} table is {fault}")
        elif marker in FRAMES:
            frame = data[start:position]
        elif marker == _INTERVAL:
            interval = int.from_bytes(data[start:position], "big")
        elif marker == SCAN:
            end = _scan_end(data, position, _restarts(frame, data[start:position], interval))
            if end is None:
                break
            ends.append(position := end)
    raise UndecodableError("is cut short (it has no end)")


def segments(data: bytes, ends: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment and where its content starts and stops.

    Args:
        ends: where the data of each scan end.
    """
    position, following = 2, iter(ends)
    while (found := _segment(data, position)) is not None:
        yield found
        if found[0] == END:
            return
        position = next(following) if found[0] == SCAN else found[2]


def _segment(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Return the next marker, and where its content starts and stops; None where there is no further one."""
    length = len(data)
    while (position := data.find(b"\xff", position)) >= 0:
        while position < length and data[position] == 0xFF:
            position += 1
        if position >= length:
            return None
        marker = data[position]
        position += 1
        if marker == END:
            return marker, position, position
        if marker not in (0, 1) and not 0xD0 <= marker <= 0xD8:
            return marker, position + 2, position + int.from_bytes(data[position : position + 2], "big")
    return None


def _scan_end(data: bytes, start: int, restarts: int | None) -> int | None:
    """Return where the data of a scan end, None if they do not.

    Args:
        restarts: how many restart markers are in it; None if that is unknown.
    """
    found = (_MARKER if restarts == 0 else _PICTURE_MARKER).search(data, start)
    if found is None:
        return None
    if restarts == 0:
        if _RESTART.match(found.group()):
            raise UndecodableError("is damaged: a restart marker is out of place")
    elif restarts is not None:
        markers = b"".join(_RESTART.findall(data, start, found.start()))
        right = (_CYCLE * (restarts // 8 + 1))[: 2 * restarts + 2]
        if markers not in (right, right[:-2]):  # some encoders write one after the last part, too
            raise UndecodableError("is damaged: a restart marker is missing or out of order")
    return found.start()


def _restarts(frame: bytes, scan: bytes, interval: int) -> int | None:
    """Return how many restart markers separate the parts of a scan; None where the header does not say it."""
    if interval == 0:
        return 0
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    parts = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame) - 2, 3)}
    if not height or not width or not scan or scan[1] not in parts or not all(map(all, parts.values())):
        return None
    across, down = (max(part[side] for part in parts.values()) for side in (0, 1))
    if scan[0] == 1:  # its units are the blocks of this part alone
        own = parts[scan[1]]
        width, height = -(-width * own[0] // across), -(-height * own[1] // down)
        across = down = 1
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return -(-units // interval) - 1


@lru_cache(maxsize=64)  # most pictures have the same ones
def _fault(kind: str, content: bytes) -> str:
    """Return what is wrong with the tables of a segment; "" if nothing is."""
    if kind == "code":
        return "impossible" if _codes_are_impossible(content) else ""
    return _fault_of_steps(content)


def _codes_are_impossible(content: bytes) -> bool:
    """Return whether one of the tables gives two codes to the same symbol."""
    while len(content) >= 17:
        symbols = content[17 : 17 + sum(content[1:17])]
        if len(set(symbols)) < len(symbols):
            return True
        content = content[17 + len(symbols) :]
    return False


def _fault_of_steps(content: bytes) -> str:
    """Report a step of one of the tables that is zero, or a few that are altered; "" if there is none."""
    while content:
        size = 2 if content[0] >> 4 else 1
        steps = content[1 : 1 + 64 * size]
        if any(not any(steps[at : at + size]) for at in range(0, len(steps), size)):
            return "impossible"
        if size == 1 and len(steps) == 64 and is_altered(steps):
            return "altered"
        content = content[1 + 64 * size :]
    return ""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import UndecodableError, check, decode
from headstart.data.decoding.jpeg_structure import scan_ends
from tests.data.decoding.test_jpeg import encoded

RESTARTS = re.compile(rb"\xff[\xd0-\xd7]")
Harm = Callable[[bytearray], object]


def with_segment(data: bytes, marker: int, harm: Harm) -> bytes:
    """Return the JPEG with the content of its first segment of this kind changed."""
    at = data.index(bytes((0xFF, marker))) + 4
    stop = at - 2 + int.from_bytes(data[at - 2 : at], "big")
    content = bytearray(data[at:stop])
    harm(content)
    return data[:at] + bytes(content) + data[stop:]


def refused(data: bytes, why: str) -> None:
    assert why in str(check(data))
    with pytest.raises(UndecodableError, match=why):
        decode(data)


def test_a_symbol_with_two_codes_is_impossible() -> None:
    refused(with_segment(encoded(), 0xC4, lambda table: table.__setitem__(20, table[21])), "a code table is impossible")


@pytest.mark.parametrize("place", [1, 30, 64])
def test_a_quantisation_step_of_zero_is_impossible(place: int) -> None:
    refused(
        with_segment(encoded(), 0xDB, lambda table: table.__setitem__(place, 0)), "quantisation table is impossible"
    )


def test_steps_of_16_bits_may_have_a_byte_of_zero() -> None:
    steps = bytes((0x10,)) + b"".join(step.to_bytes(2, "big") for step in range(200, 264))
    segment = b"\xff\xdb" + (len(steps) + 2).to_bytes(2, "big") + steps
    ends = b"\xff\xd8" + segment + b"\xff\xd9"
    assert scan_ends(ends) == ([], len(ends))
    with pytest.raises(UndecodableError, match="impossible"):
        scan_ends(ends.replace(b"\x00\xc8", b"\0\0"))


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 3}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_restart_markers_are_counted(mode: str, kind: dict[str, object], options: dict[str, object]) -> None:
    """In every scan, of several components and of one, with whole and with halved colours."""
    data = encoded(mode, **kind, **options)
    assert decode(data).shape == (157, 203, 3)
    places = [found.start() for found in RESTARTS.finditer(data, data.index(b"\xff\xda"))]
    assert len(places) > 5
    for place in places[0], places[len(places) // 2], places[-1]:
        lost = data[:place] + data[place + 2 :]
        refused(lost, "restart marker")
        refused(data[: place + 1] + bytes((0xD0 + (data[place + 1] + 3) % 8,)) + data[place + 2 :], "restart marker")
        refused(data[:place] + data[place : place + 2] * 2 + data[place + 2 :], "restart marker")


def test_a_restart_marker_after_the_last_part_is_usual() -> None:
    data = encoded(restart_marker_rows=2)  # 203 × 157: 10 rows of 16, 5 parts
    more = data[:-2] + b"\xff\xd4" + data[-2:]
    assert check(more) is None
    np.testing.assert_array_equal(decode(more), decode(data))
    refused(data[:-2] + b"\xff\xd5" + data[-2:], "restart marker")


def test_a_restart_marker_without_an_interval_is_out_of_place() -> None:
    data = encoded()
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    refused(data[:middle] + b"\xff\xd3" + data[middle:], "a restart marker is out of place")


def test_a_height_that_is_told_after_the_scan_leaves_restarts_uncounted() -> None:
    data = encoded(restart_marker_rows=2)
    unknown = with_segment(data, 0xC0, lambda frame: frame.__setitem__(slice(1, 3), b"\0\0"))
    assert scan_ends(unknown) == scan_ends(data)


def test_arithmetic_coding_has_no_code_tables() -> None:
    data = encoded("L")
    arithmetic = data.replace(b"\xff\xc0", b"\xff\xc9")  # only its markers are read
    assert scan_ends(arithmetic) == scan_ends(data)


def test_a_picture_of_one_colour_is_sound() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(file, "JPEG", quality=100, restart_marker_blocks=1)
    assert check(file.getvalue()) is None
    assert decode(file.getvalue()).min() >= 254

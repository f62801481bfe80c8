from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import UndecodableError, decode
from tests.data.decoding.test_jpeg import picture

OFFSETS, SIZES = 273, 279


def encoded(mode: str, strip_size: int = 1 << 18) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, "TIFF", compression="jpeg", strip_size=strip_size)
    return file.getvalue()


def strips(data: bytes) -> list[tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        return list(zip(image.tag_v2[OFFSETS], image.tag_v2[SIZES], strict=True))


@pytest.mark.parametrize("strip_size", [1 << 18, 1 << 13])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_whole_tiff_gives_the_pixels_of_pillow(mode: str, strip_size: int) -> None:
    data = encoded(mode, strip_size)
    assert len(strips(data)) > 1 or strip_size > 1 << 13
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_strip_that_ends_too_early_is_damaged(mode: str) -> None:
    data = encoded(mode, 1 << 13)
    offset, size = strips(data)[1]
    for start in offset + size // 3, offset + size - 40:
        cut = data[:start] + b"\xff\xd9" + data[start + 2 :]
        with pytest.raises(UndecodableError, match="end too early"):
            decode(cut)


def test_a_strip_without_its_end_is_whole() -> None:
    data = encoded("RGB")
    ((offset, size),) = strips(data)
    stop = offset + size
    assert data[stop - 2 : stop] == b"\xff\xd9"
    np.testing.assert_array_equal(decode(data[: stop - 2] + b"\0\0" + data[stop:]), decode(data))


def test_most_changed_bytes_of_a_strip_are_seen() -> None:
    data, rng = encoded("RGB"), random.Random(0)
    ((offset, size),) = strips(data)
    refused = 0
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(5):
            changed[rng.randrange(offset + 40, offset + size - 2)] = rng.randrange(256)
        try:
            decode(bytes(changed))
        except UndecodableError:
            refused += 1
    assert refused > 35

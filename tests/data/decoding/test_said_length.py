from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import UndecodableError, check, decode, open_image
from headstart.data.decoding.said_length import is_longer_than_it_says, webp_end

LONGER = "is damaged: it is longer than it says"
KINDS: list[tuple[str, str]] = [
    *(("BMP", mode) for mode in ("RGB", "RGBA", "P", "L", "1")),
    *(("PPM", mode) for mode in ("RGB", "L", "1", "I;16")),
    ("AVIF", "RGB"),
    ("WEBP", "RGB"),
]


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(1, 255, (21, 35, 3), dtype=np.uint8)
    image = (
        Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    )
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(("format", "mode"), KINDS)
@pytest.mark.parametrize("more", [8, 200])
def test_bytes_put_into_a_picture_make_it_longer_than_it_says(format: str, mode: str, more: int) -> None:
    data = encoded(format, mode)
    assert check(data) is None and decode(data).shape == (21, 35, 3)
    middle = len(data) - 20
    longer = data[:middle] + bytes([0x35] * more) + data[middle:]
    assert check(longer) == LONGER
    with pytest.raises(UndecodableError, match="longer"):
        decode(longer)


@pytest.mark.parametrize(("format", "mode"), [kind for kind in KINDS if kind[0] != "AVIF"])
def test_zeros_may_follow(format: str, mode: str) -> None:
    data = encoded(format, mode)
    np.testing.assert_array_equal(decode(data + bytes(700)), decode(data))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF"])
def test_formats_that_are_often_continued_may_be_longer(format: str) -> None:
    data = encoded(format)
    assert not is_longer_than_it_says(data + b"more", open_image(data + b"more"))


def test_a_bmp_whose_header_says_more_is_as_long_as_it_says() -> None:
    data = bytearray(encoded("BMP")) + b"more"
    data[2:6] = len(data).to_bytes(4, "little")
    assert check(bytes(data)) is None


def test_the_profile_of_a_bmp_may_follow_its_pixels() -> None:
    plain = encoded("BMP")
    size = (14 + 124).to_bytes(4, "little")
    header = (124).to_bytes(4, "little") + plain[18:54] + bytes(84)
    data = plain[:10] + size + header + plain[54:] + b"the profile"
    np.testing.assert_array_equal(decode(data), decode(plain))


def test_a_bmp_of_runs_has_no_said_length() -> None:
    rows = b"\x04\x07\0\0\x04\x08\0\x01"
    colours = b"".join(bytes((shade, shade, shade, 0)) for shade in range(256))
    header = b"BM" + (14 + 40 + 1024 + len(rows)).to_bytes(4, "little") + bytes(4) + (1078).to_bytes(4, "little")
    facts = (40).to_bytes(4, "little") + (4).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"\1\0\x08\0\1\0\0\0"
    data = header + facts.ljust(40, b"\0") + colours + rows
    assert decode(data)[..., 0].tolist() == [[8] * 4, [7] * 4]
    assert not is_longer_than_it_says(data + b"more", open_image(data))


def test_another_picture_may_follow_in_a_ppm() -> None:
    data = encoded("PPM")
    for more in (data, b"\n" + data, b" \r\n"):
        np.testing.assert_array_equal(decode(data + more), decode(data))


@pytest.mark.parametrize(("highest", "size"), [(100, 1), (255, 1), (1000, 2), (65535, 2)])
def test_a_ppm_of_any_depth(highest: int, size: int) -> None:
    data = b"P6 3 2 %d\n" % highest + b"\x07" * (18 * size)
    assert check(data) is None
    assert check(data + b"\x07") == LONGER


def test_a_ppm_of_text_has_no_said_length() -> None:
    assert check(b"P3 2 1 255\n1 2 3 4 5 6 # the end") is None


def test_an_avif_that_is_cut_short_is_not_called_too_long() -> None:
    data = encoded("AVIF")
    assert not is_longer_than_it_says(data[:-30], open_image(data))
    to_the_end = data.replace(data[data.index(b"mdat") - 4 :][:8], bytes(4) + b"mdat")
    assert not is_longer_than_it_says(to_the_end + b"more", open_image(data))


def test_the_end_of_a_webp_is_in_its_header() -> None:
    data = encoded("WEBP")
    assert webp_end(data) == len(data)

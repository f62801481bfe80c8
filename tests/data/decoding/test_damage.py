from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.damage import check_end, without_damage
from headstart.data.decoding.decode import UndecodableError, check, decode, quiet_pillow


def encoded(format: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).convert(mode).save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    facts = Image.Exif()
    facts[0x0112], facts[0x010F] = orientation, "a maker of cameras" * 5
    return facts.tobytes()


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "RGBA"])
def test_every_changed_byte_of_a_png_is_seen(mode: str) -> None:
    data = encoded(mode=mode)
    assert without_damage(data) is data
    for at in random.Random(0).sample(range(8, len(data)), 200):
        with pytest.raises(UndecodableError, match=r"damaged|cut short"):
            decode(changed(data, at))
        assert check(changed(data, at)) is not None


def test_a_damaged_chunk_that_has_no_pixels_is_left_out_of_a_png() -> None:
    data = encoded(exif=exif(6))
    at = data.find(b"a maker")
    np.testing.assert_array_equal(decode(data), np.rot90(decode(encoded()), -1))
    np.testing.assert_array_equal(decode(changed(data, at)), decode(encoded()))
    assert check(changed(data, at)) is None
    assert without_damage(data + b"more") == data + b"more"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_pictures_of_which_only_the_exif_is_damaged_are_kept(format: str) -> None:
    facts = exif(1)
    data = encoded(format, exif=facts)
    whole, rng = decode(data), random.Random(0)
    body = facts.removeprefix(b"Exif\0\0")
    start = data.find(body)
    assert start > 0
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 5, 30))):
            damaged[start + rng.randrange(len(body))] = rng.randrange(256)
        with quiet_pillow():
            found = decode(bytes(damaged))
        assert sorted(found.shape) == sorted(whole.shape)  # it may be turned
        assert found.sum() == whole.sum()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_tail_of_zeros_is_seen(format: str) -> None:
    data = encoded(format)
    for share in (0.5, 0.9):
        kept = int(len(data) * share)
        assert check(data[:kept] + bytes(len(data) - kept)) is not None


def test_a_webp_is_as_long_as_it_says() -> None:
    data = encoded("WEBP")
    assert check(data + bytes(9)) is None
    assert check(data[:99] + b"more" + data[99:]) == "is damaged: it is longer than it says"


@pytest.mark.parametrize("format", ["BMP", "PPM", "TIFF"])
def test_black_at_the_end_of_plain_pixels_is_no_damage(format: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, format)
    assert check(file.getvalue()) is None
    with Image.open(file) as image:
        assert check_end(file.getvalue(), image)


def test_a_bomb_in_the_text_of_a_png_is_refused() -> None:
    packed = b"k\0\0" + zlib.compress(bytes(1 << 27), 9)
    text = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    data = encoded()
    assert "too large" in str(check(data[:33] + text + data[33:]))


def test_libtiff_says_nothing_on_the_screen() -> None:
    data = bytearray(encoded("TIFF", compression="tiff_lzw"))
    data[60:160] = bytes(range(100))
    code = """
import sys
from headstart.data.decoding.decode import UndecodableError, decode
try:
    decode(sys.stdin.buffer.read())
except UndecodableError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], input=bytes(data), capture_output=True, check=True
    )
    assert b"cannot be decoded" in done.stdout and done.stderr == b""

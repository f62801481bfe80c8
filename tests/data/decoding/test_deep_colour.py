from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from headstart.data.decoding import deep_colour
from headstart.data.decoding.decode import decode
from headstart.data.decoding.deep_colour import deep_mode
from headstart.data.decoding.digests import examine
from headstart.data.readers import FileReader

Numbers = npt.NDArray[np.uint16]
EIGHT = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint16)


def png(numbers: Numbers) -> bytes:
    """Encode uint16 [h, w, 2 (grey and alpha), 3 or 4] as the specification of PNG says, without Pillow."""
    height, width, channels = numbers.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in numbers)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def tiff(numbers: Numbers, order: str = "<") -> bytes:
    """Encode uint16 [h, w, 3] as one uncompressed strip."""
    height, width, channels = numbers.shape
    start = 8 + 2 + 12 * 9 + 4  # behind the directory
    shorts = {256: width, 257: height, 259: 1, 262: 2, 277: channels, 278: height}
    longs = {258: start, 273: start + 2 * channels, 279: numbers.size * 2}
    out = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 9)
    for tag in sorted({**shorts, **longs}):
        if tag in shorts:
            out += struct.pack(f"{order}HHIHH", tag, 3, 1, shorts[tag], 0)
        else:
            out += struct.pack(f"{order}HHII", tag, *((3, channels) if tag == 258 else (4, 1)), longs[tag])
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    return out + struct.pack(f"{order}I", 0) + bits + numbers.astype(f"{order}u2").tobytes()


def tiff_with_alpha(numbers: Numbers, kind: int = 2) -> bytes:
    """Encode uint16 [h, w, 4] as one uncompressed strip; kind 1 of alpha: the colours are multiplied by it."""
    height, width, channels = numbers.shape
    start = 8 + 2 + 12 * 10 + 4
    entries = {256: width, 257: height, 258: start, 259: 1, 262: 2, 273: start + 8, 277: 4, 278: height}
    entries |= {279: numbers.size * 2, 338: kind}
    out = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries.items():
        out += struct.pack(
            "<HHII", tag, 3 if tag == 258 else 4 if tag in (273, 279) else 3, 4 if tag == 258 else 1, value
        )
    return out + struct.pack("<I", 0) + struct.pack("<4H", *[16] * channels) + numbers.astype("<u2").tobytes()


def deflated_tiff(numbers: Numbers) -> bytes:
    """Return the TIFF with its strip compressed, as libtiff reads it."""
    plain = tiff(numbers)
    head, packed = plain[: -numbers.size * 2], zlib.compress(plain[-numbers.size * 2 :])
    head = head.replace(struct.pack("<HHIHH", 259, 3, 1, 1, 0), struct.pack("<HHIHH", 259, 3, 1, 8, 0))
    return (
        head.replace(struct.pack("<HHII", 279, 4, 1, numbers.size * 2), struct.pack("<HHII", 279, 4, 1, len(packed)))
        + packed
    )


ENCODERS: dict[str, Callable[[Numbers], bytes]] = {
    "PNG": png,
    "TIFF": tiff,
    "TIFF of the other order": lambda numbers: tiff(numbers, ">"),
    "compressed TIFF": deflated_tiff,
}


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colour_of_any_depth_in_16_bits_keeps_its_upper_eight_bits(kind: str, bits: int) -> None:
    numbers = (EIGHT << (bits - 8)) + (np.arange(3, dtype=np.uint16) if bits > 9 else np.uint16(0))
    np.testing.assert_array_equal(decode(ENCODERS[kind](numbers)), EIGHT)


def test_alpha_is_of_16_bits_whatever_the_colours_are() -> None:
    opaque, clear = np.full((40, 30, 1), 65535, np.uint16), np.zeros((40, 30, 1), np.uint16)
    coloured = decode(png(np.concatenate([EIGHT << 4, opaque], axis=-1)))
    np.testing.assert_array_equal(coloured, EIGHT)
    assert (decode(png(np.concatenate([EIGHT << 4, clear], axis=-1))) == 255).all()
    grey = decode(png(np.concatenate([EIGHT[..., :1] << 4, opaque], axis=-1)))
    np.testing.assert_array_equal(grey, np.repeat(EIGHT[..., :1], 3, axis=-1))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("alpha_bits", [8, 10, 12, 14, 16])
def test_alpha_has_no_say_in_the_depth_of_the_colours(bits: int, alpha_bits: int) -> None:
    colours = EIGHT << (bits - 8)
    alpha = np.arange(EIGHT[..., 0].size, dtype=np.uint16).reshape(40, 30, 1) % 256
    numbers = np.concatenate([colours, alpha << (alpha_bits - 8)], axis=-1)
    wide = alpha << (alpha_bits - 8) >> (max(bits, alpha_bits) - 8)
    share = wide.astype(np.float64) / 255
    expected = EIGHT * share + 255 * (1 - share)
    for way in (png(numbers), tiff_with_alpha(numbers), numbers):
        assert np.abs(decode(way) - expected).max() <= 1
    np.testing.assert_array_equal(decode(png(numbers)), decode(numbers))
    np.testing.assert_array_equal(decode(tiff_with_alpha(numbers)), decode(numbers))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_that_are_written_multiplied_by_alpha_are_composited_once(bits: int) -> None:
    top = 2**bits - 1
    share = np.linspace(0.25, 1, 40 * 30).reshape(40, 30, 1)
    numbers = np.rint(np.concatenate([EIGHT / 255 * share, share], axis=-1) * top).astype(np.uint16)
    expected = EIGHT * share + 255 * (1 - share)
    assert np.abs(decode(tiff_with_alpha(numbers, kind=1)) - expected).max() <= (2 if bits < 16 else 5)


def test_a_dark_picture_is_the_same_by_every_way_in(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(EIGHT << 4))
    with path.open("rb") as file:
        for way in (path, path.read_bytes(), io.BytesIO(path.read_bytes()), file, Image.open(path), EIGHT << 4):
            np.testing.assert_array_equal(decode(way), EIGHT)


def test_a_picture_is_read_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_colour, "_BAND", 100)
    numbers = EIGHT << 4
    numbers[:-3] >>= 4  # the last band decides on the depth
    np.testing.assert_array_equal(decode(png(numbers)), numbers >> 4)


def test_its_depth_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(EIGHT << 4))
    Image.fromarray(EIGHT.astype(np.uint8)).save(tmp_path / "b.png")
    assert examine(FileReader(tmp_path, ["a.png", "b.png"])).depths == {0: "16 bits"}


def test_an_open_image_is_read_the_same_every_time_and_can_be_used_afterwards() -> None:
    image = Image.open(io.BytesIO(png(EIGHT)))
    first, again = decode(image), decode(image)
    assert np.array_equal(first, again) and first.max() > 15
    image.load()
    assert image.size == (first.shape[1], first.shape[0])


def test_only_colour_of_16_bits_that_is_not_decoded_is_deep() -> None:
    image = Image.open(io.BytesIO(png(EIGHT)))
    assert deep_mode(image) == "RGB;16B"
    image.load()
    assert deep_mode(image) is None and deep_mode(Image.new("RGB", (2, 2))) is None

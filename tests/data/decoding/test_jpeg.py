from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding import jpeg
from headstart.data.decoding.decode import UndecodableError, check, decode, open_image
from headstart.data.decoding.jpeg import load_jpeg
from headstart.data.decoding.jpeg_structure import scan_ends

KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "full colour": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
}


def picture(mode: str = "RGB", width: int = 203, height: int = 157) -> Image.Image:
    """Return a picture with smooth and rough parts."""
    rows, columns = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    layers = [(rows * 2 + columns * k) % 256 for k in (1, 2, 3)]
    pixels = np.stack(layers, axis=-1) * 0.8 + rng.integers(0, 50, (height, width, 1))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encoded(mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_gives_the_pixels_of_pillow(kind: str, mode: str) -> None:
    data = encoded(mode, **KINDS[kind])
    image = open_image(data)
    load_jpeg(image, data)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (17, 31), (300, 8)])
@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_jpegs_of_every_size_are_whole(kind: str, size: tuple[int, int], quality: int) -> None:
    file = io.BytesIO()
    for image in (picture(width=size[0], height=size[1]), Image.new("RGB", size, "white")):
        file.seek(0)
        file.truncate()
        image.save(file, "JPEG", quality=quality, **KINDS[kind])
        data = file.getvalue()
        np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["baseline", "progressive", "optimised", "full colour"])
def test_a_jpeg_cut_short_whose_end_was_put_back_is_damaged(kind: str) -> None:
    data = encoded(**KINDS[kind])
    for share in (0.5, 0.7, 0.9):
        start = data.rfind(b"\xff\xda") + 20  # of the last scan
        cut = data[: start + int(share * (len(data) - start))].rstrip(b"\xff") + b"\xff\xd9"
        assert check(cut) is None  # its structure is sound
        with pytest.raises(UndecodableError, match="end too early"):
            decode(cut)


@pytest.mark.parametrize("kind", ["baseline", "progressive", "optimised", "full colour"])
def test_a_jpeg_with_more_data_than_its_picture_needs_is_damaged(kind: str) -> None:
    data = encoded(**KINDS[kind])
    ends, _ = scan_ends(data)
    more = data[: ends[-1]] + bytes(range(1, 200)) + data[ends[-1] :]
    with pytest.raises(UndecodableError, match="left over"):
        decode(more)


def test_a_zeroed_stretch_is_seen() -> None:
    data = bytearray(encoded())
    data[-400:-100] = bytes(300)
    with pytest.raises(UndecodableError, match="damaged"):
        decode(bytes(data))


def test_what_follows_the_end_does_not_matter() -> None:
    data = encoded()
    np.testing.assert_array_equal(decode(data + bytes(5000)), decode(data))
    np.testing.assert_array_equal(decode(data + data[:999]), decode(data))
    assert check(data + bytes(5000)) is None


def test_some_padding_before_the_end_is_usual() -> None:
    data = encoded()
    np.testing.assert_array_equal(decode(data[:-2] + b"\xff\xff\xff" + data[-2:]), decode(data))
    np.testing.assert_array_equal(decode(data[:-2] + bytes(2) + data[-2:]), decode(data))


def test_a_picture_without_an_end_is_cut_short() -> None:
    with pytest.raises(UndecodableError, match="has no end"):
        scan_ends(encoded()[:-2])
    assert scan_ends(b"\xff\xd8\xff\xd9") == ([], 4)


def test_too_many_scans_of_a_large_picture_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(progressive=True)
    ends, _ = scan_ends(data)
    start = ends[-2]
    many = data[:start] + data[start : ends[-1]] * 5 + data[ends[-1] :]
    monkeypatch.setattr(jpeg, "MAX_WORK", 100_000)
    with pytest.raises(UndecodableError, match="decompression bomb: 14 scans of 31,871 pixels"):
        decode(many)


def test_most_changed_bytes_of_the_picture_are_seen() -> None:
    """Of random bytes most change how many blocks there are; those that do not cannot be seen in the file."""
    data, rng = encoded(), random.Random(0)
    refused = 0
    for _ in range(100):
        changed = bytearray(data)
        for _ in range(5):
            changed[rng.randrange(700, len(data) - 2)] = rng.randrange(256)
        try:
            decode(bytes(changed))
        except UndecodableError:
            refused += 1
    assert refused > 60


@pytest.mark.realdata
def test_no_photograph_is_refused(real_images: Path) -> None:
    for path in sorted((real_images / "caltech101").glob("*/*.jpg"))[::120]:
        np.testing.assert_array_equal(decode(path), np.asarray(Image.open(path).convert("RGB")))

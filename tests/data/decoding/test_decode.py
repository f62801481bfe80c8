from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

from headstart.data.decoding.decode import (
    MAX_PIXELS,
    UndecodableError,
    View,
    check,
    decode,
    decode_file,
    quiet_pillow,
)
from headstart.errors import DataError, SpecError


def save(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (37, 91), (64, 64), (20, 24), (501, 333)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (73, 64), (64, 64), (40, 56)])
def test_a_view_gives_the_numbers_of_torchvision(
    size: tuple[int, int], interpolation: str, resize: int, crop: int
) -> None:
    image = noise(*size)
    mode = InterpolationMode(interpolation)
    oracle = v2.Compose([v2.Resize(resize, interpolation=mode, antialias=True), v2.CenterCrop(crop)])
    expected = np.asarray(oracle(image))
    np.testing.assert_array_equal(decode(save(image), View(resize, crop, interpolation)), expected)


def test_a_view_without_a_crop_keeps_the_whole_image() -> None:
    assert decode(save(noise(300, 200)), View(50, None)).shape == (50, 75, 3)


@pytest.mark.parametrize("crop", [224, None])
def test_of_a_strip_only_the_middle_is_resized(crop: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    strip = np.zeros((1, 8000, 3), dtype=np.uint8)
    strip[:, 3992:4008] = 200
    sizes = []
    plain = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *rest: sizes.append(size) or plain(self, size, *rest))
    for picture in (strip, strip.transpose(1, 0, 2)):
        assert (decode(picture, View(256, crop)) == 200).all()
    assert max(width * height for width, height in sizes) == 16 * 256**2


def test_an_image_16_times_as_long_as_wide_is_resized_whole() -> None:
    image = noise(160, 10)
    oracle = v2.Compose([v2.Resize(20, antialias=True), v2.CenterCrop(20)])
    np.testing.assert_array_equal(decode(save(image), View(20, 20, "bilinear")), np.asarray(oracle(image)))
    assert decode(save(image), View(20, None)).shape == (20, 320, 3)


def test_no_view_keeps_the_pixels() -> None:
    image = noise(9, 7)
    np.testing.assert_array_equal(decode(save(image)), np.asarray(image))


def test_exif_orientation_is_applied() -> None:
    image = noise(8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying: to be turned a quarter clockwise
    got = decode(save(image, "PNG", exif=exif.tobytes()))
    np.testing.assert_array_equal(got, np.rot90(np.asarray(image), -1))


def test_sixteen_bits_become_the_upper_eight() -> None:
    values = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], dtype=np.uint16)
    for format in ("PNG", "TIFF"):
        got = decode(save(Image.fromarray(values), format))
        np.testing.assert_array_equal(got[0, :, 0], [0, 0, 1, 127, 255])
        assert got.shape == (1, 5, 3)


def test_twelve_bits_in_a_sixteen_bit_file_keep_their_grey_levels() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    got = decode(save(Image.fromarray(values)))[:, :, 0]
    np.testing.assert_array_equal(got, values >> 4)
    assert len(np.unique(got)) == 256


def test_floats_between_zero_and_one_are_scaled() -> None:
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(decode(save(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 128, 255])


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    got = decode(save(image, "TIFF"))
    np.testing.assert_array_equal(got[0, 0], [255, 0, 0])


def test_alpha_lies_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    np.testing.assert_array_equal(decode(save(image)), [[[255, 255, 255], [255, 0, 0]]])
    grey = Image.new("LA", (1, 1), (10, 0))
    np.testing.assert_array_equal(decode(save(grey)), [[[255, 255, 255]]])


def test_a_palette_and_its_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(save(image)), [[[0, 0, 255], [0, 255, 0]]])
    np.testing.assert_array_equal(decode(save(image, transparency=1)), [[[0, 0, 255], [255, 255, 255]]])


def test_a_transparent_colour_of_an_rgb_image_lies_on_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    np.testing.assert_array_equal(decode(save(image, transparency=(1, 2, 3))), [[[255, 255, 255], [9, 9, 9]]])


def test_grayscale_and_one_bit_become_three_equal_channels() -> None:
    np.testing.assert_array_equal(decode(save(Image.new("L", (1, 1), 7))), [[[7, 7, 7]]])
    np.testing.assert_array_equal(decode(save(Image.new("1", (1, 1), 1))), [[[255, 255, 255]]])


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue", "green")]
    for format in ("GIF", "PNG", "WEBP"):
        data = save(
            frames[0],
            format,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if format == "WEBP" else {}),
        )
        np.testing.assert_array_equal(decode(data)[0, 0], [255, 0, 0])


def test_arrays_are_taken_as_they_are() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for pixels in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(decode(pixels)[:, :, 1], grey)


def test_zero_bytes_and_text_are_no_image() -> None:
    assert check(b"") == "has zero bytes"
    assert check(b"hello, this is text") == "is not an image"
    assert check(save(noise(3, 3))) is None


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    side = 20_000
    assert side * side > MAX_PIXELS

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    with quiet_pillow():
        assert "decompression bomb" in (check(bomb) or "")


def test_a_file_cut_short_says_so() -> None:
    for format in ("PNG", "JPEG"):
        data = save(noise(64, 64), format)
        assert "cut short" in (check(data[: len(data) // 2]) or "")
        assert check(data) is None
        with pytest.raises(UndecodableError, match="cut short"):
            decode(data[: len(data) // 2])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_whole_file_is_not_decoded_to_be_checked(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(noise(64, 64), format)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    assert check(data) is None
    assert check(data + bytes(100)) is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_file_cut_anywhere_is_refused_when_checked(format: str) -> None:
    data = save(noise(64, 64), format)
    for share in (0.5, 0.7, 0.9):
        assert check(data[: int(len(data) * share)]) is not None


def test_a_file_on_disk_that_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a b 'c' 写真.jpg"
    path.write_bytes(save(noise(5, 4), "JPEG"))
    assert decode_file(path, View(4, 4)).shape == (4, 4, 3)
    path.write_text("text")
    with pytest.raises(DataError, match=r"写真.jpg: is not an image"):
        decode_file(path)
    with pytest.raises(DataError, match="cannot be read"):
        decode_file(tmp_path / "absent.jpg")


def test_a_view_checks_its_numbers_and_its_interpolation() -> None:
    with pytest.raises(DataError, match="at least 1 pixel"):
        View(0, 10)
    with pytest.raises(SpecError, match="did you mean 'bicubic'"):
        View(10, 10, "bicubik")


@pytest.mark.realdata
def test_photographs_come_out_as_torchvision_gives_them(real_images: Path) -> None:
    oracle = v2.Compose([v2.Resize(256, interpolation=InterpolationMode.BICUBIC), v2.CenterCrop(224)])
    for path in sorted((real_images / "caltech101").glob("*/image_0007.jpg"))[::5]:
        expected = np.asarray(oracle(Image.open(path).convert("RGB")))
        np.testing.assert_array_equal(decode_file(path, View(256, 224)), expected)

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from headstart.data.decoding import formats
from headstart.data.decoding.decode import SUFFIXES, UndecodableError, check, decode, quiet_pillow
from headstart.data.decoding.formats import format_fault, format_of, heif_version, plugin_formats
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from tests.support.absent_packages import without

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)  # the head of a phone's picture
JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200)


@pytest.fixture(autouse=True)
def fresh() -> None:
    heif_version.cache_clear()


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", without(["pillow_heif"]))
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(channels: int, bits: int = 8, *, photometric: int = 1, order: str = "<", big: bool = False) -> bytes:
    """Return an uncompressed TIFF of 4 × 3 pixels, written by hand."""
    mark, wide = ("II" if order == "<" else "MM").encode(), "Q" if big else "I"
    values = bytes(4 * 3 * channels * bits // 8)
    start = 16 if big else 8
    place = start + len(values)
    many = struct.pack(f"{order}{channels}H", *[bits] * channels)
    where = place if len(many) > (8 if big else 4) else None
    entries = [
        *((256, 4, 1, 4), (257, 4, 1, 3), (258, 3, channels, many if where is None else where), (259, 3, 1, 1)),
        *((262, 3, 1, photometric), (273, 4, 1, start), (277, 3, 1, channels), (278, 4, 1, 3)),
        (279, 4, 1, len(values)),
    ]
    at = place + (len(many) if where else 0)
    head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else mark + struct.pack(f"{order}HI", 42, at)
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for tag, kind, count, value in entries:
        size = 8 if big else 4
        if isinstance(value, bytes):
            content = value
        else:
            content = struct.pack(f"{order}{wide if tag == 258 else {3: 'H', 4: 'I'}[kind]}", value)
        directory += struct.pack(f"{order}HH{wide}", tag, kind, count) + content.ljust(size, b"\0")
    return head + values + (many if where else b"") + directory + bytes(8 if big else 4)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (HEIC, "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf" + bytes(20), "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + bytes(20), "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1" + bytes(20), None),  # a film
        (JPEG_XL, "JPEG XL"),
        (b"\xff\x0a" + bytes(9), "JPEG XL"),
        (tiff(3), "TIFF"),
        (tiff(3, order=">", big=True), "TIFF"),
        (encoded("PNG"), None),
        (b"", None),
    ],
)
def test_formats_are_told_by_their_first_bytes(data: bytes, kind: str | None) -> None:
    assert format_of(data) == kind


def test_the_names_of_these_files_are_those_of_images() -> None:
    assert {".heic", ".heif", ".hif", ".avif", ".jxl", ".tif"} <= SUFFIXES


@pytest.mark.usefixtures("without_heif")
def test_what_cannot_be_read_is_named_with_what_to_do() -> None:
    assert check(HEIC) == "is HEIC: pip install 'headstart[heic]'" and plugin_formats(HEIC) == ()
    assert check(JPEG_XL) == "is JPEG XL, which cannot be read; convert it to PNG, for instance with djxl"
    with pytest.raises(UndecodableError, match=r"is HEIC: pip install 'headstart\[heic\]'"):
        decode(HEIC)


def test_avif_is_read_and_a_pillow_without_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if features.check("avif"):
        found = decode(encoded("AVIF", quality=100, subsampling="4:4:4"))
        assert found.shape == PIXELS.shape and np.abs(found.astype(int) - PIXELS).mean() < 6
    monkeypatch.setattr(formats.features, "check", lambda name: name != "avif")
    assert (check(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(20)) or "").startswith("is AVIF, which this Pillow")


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_read_with_the_extra(orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = np.add.outer(np.arange(24), np.arange(32))[..., None].repeat(3, axis=2).astype(np.uint8) * 4
    data = encoded("HEIF", smooth, quality=95, exif=exif.tobytes())
    upright = smooth if orientation == 1 else np.rot90(smooth, -1)
    found = decode(data)
    assert found.shape == upright.shape and np.abs(found.astype(int) - upright).mean() < 3
    assert check(data) is None and plugin_formats(data) == ("HEIF",) and heif_version()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("channels", "bits", "photometric", "says"),
    [
        (1, 8, 1, None),
        (3, 8, 2, None),
        (4, 8, 2, None),
        (
            6,
            8,
            2,
            "is a TIFF of 6 channels; read them as bands (data.bands in a study, --bands on the command line), or save",
        ),
        (
            13,
            16,
            1,
            "is a TIFF of 13 channels; read them as bands (data.bands in a study, --bands on the command line), or",
        ),
        (2, 16, 1, "is a TIFF of 2 channels of 16 bits in a layout that cannot be read"),
        (3, 32, 2, "is a TIFF of 3 channels of 32 bits in a layout that cannot be read"),
    ],
)
def test_a_tiff_of_more_channels_than_a_picture_is_named(
    channels: int, bits: int, photometric: int, says: str | None, order: str, big: bool
) -> None:
    data = tiff(channels, bits, photometric=photometric, order=order, big=big)
    if (order, big) == (">", True):
        says = "is a big-endian BigTIFF"
    with quiet_pillow():
        found = format_fault(data)
        assert found is None if says is None else found is not None and found.startswith(says)
        if says is None:  # damage has its own reason
            assert {format_fault(data[:size]) for size in range(len(data))} == {None}


def test_cmyk_with_a_further_channel_is_a_picture() -> None:
    assert "channels;" not in (format_fault(tiff(5, photometric=5)) or "")


@pytest.mark.usefixtures("without_heif")
def test_a_part_without_a_usable_image_says_why(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(2):
                place = tmp_path / part / name / str(number)
                if part == "test":
                    place.with_suffix(".heic").write_bytes(HEIC + bytes([number]))
                else:
                    Image.fromarray(PIXELS).save(place.with_suffix(".png"))
    with pytest.raises(DataError, match=r"no usable image in the part 'test': 4 HEIC: pip install 'headstart\[heic\]'"):
        load_dataset(tmp_path)
    for path in (tmp_path / "test" / "ant").iterdir():
        Image.fromarray(PIXELS).save(path.with_suffix(".png"))
    left_out = [skip for skip in load_dataset(tmp_path).skipped if skip.name.endswith(".heic")]
    assert {skip.reason for skip in left_out} == {"is HEIC: pip install 'headstart[heic]'"} and len(left_out) == 4


def test_what_was_seen_without_the_plugin_is_looked_at_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.data.decoding import digests

    keys = []
    for version in ("", "1.0", "1.1"):
        monkeypatch.setattr(digests, "heif_version", lambda version=version: version)
        keys.append(digests._key("a.heic|10|20"))
    assert len(set(keys)) == 3

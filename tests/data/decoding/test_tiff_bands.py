"""TIFF files of many bands: what is read is what was written, and what is damaged or too large is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.decoding import tiff_bands
from headstart.data.decoding.bounds import MAX_PIXELS
from headstart.data.decoding.faults import UndecodableError
from headstart.data.decoding.tiff_bands import read_tiff
from tests.support.multispectral import BANDS, scene, write_tiff

tifffile = pytest.importorskip("tifffile")


def encoded(numbers: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, numbers, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_the_numbers_are_those_that_were_written(compression: str | None, dtype: str) -> None:
    numbers = scene(1, 0).astype(dtype)
    data = encoded(numbers, planarconfig="contig", compression=compression)
    header, read = read_tiff(data)
    assert read.dtype == dtype and np.array_equal(read, numbers)
    assert (header.height, header.width, header.bands, header.dtype) == (24, 24, 13, dtype)


def test_bands_in_planes_in_pages_and_in_tiles_are_the_same() -> None:
    numbers = scene(1, 0, side=32)
    planes = np.ascontiguousarray(np.moveaxis(numbers, -1, 0))
    for data in (
        encoded(planes, planarconfig="separate"),
        encoded(planes, metadata=None),  # a page for each band
        encoded(numbers, planarconfig="contig", tile=(16, 16)),
        encoded(numbers, planarconfig="contig", bigtiff=True, byteorder=">"),
    ):
        assert np.array_equal(read_tiff(data)[1], numbers)


def test_one_band_is_one_band() -> None:
    numbers = scene(0, 0)[:, :, 3]
    assert read_tiff(encoded(numbers))[1].shape == (24, 24, 1)


def test_names_are_those_of_gdal(tmp_path: Path) -> None:
    write_tiff(tmp_path / "named.tif", scene(0, 0), BANDS)
    assert read_tiff((tmp_path / "named.tif").read_bytes())[0].names == BANDS
    write_tiff(tmp_path / "some.tif", scene(0, 0)[:, :, :3], ("red", "red"))
    assert read_tiff((tmp_path / "some.tif").read_bytes())[0].names == ("red", "1", "2")  # a name is given once


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_files_cut_short_are_refused(share: float, compression: str | None) -> None:
    data = encoded(scene(0, 0), planarconfig="contig", compression=compression)
    with pytest.raises(UndecodableError, match=r"cut short|not a TIFF|damaged|zero bytes"):
        read_tiff(data[: int(share * len(data))])


def test_damaged_compressed_pixels_are_refused() -> None:
    data = bytearray(encoded(scene(0, 0), planarconfig="contig", compression="deflate"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        start = file.pages.first.dataoffsets[0]
    data[start : start + 40] = b"\xff" * 40
    with pytest.raises(UndecodableError, match="cannot be decoded"):
        read_tiff(bytes(data))


def test_a_header_that_asks_for_too_much_is_refused_before_anything_is_allocated() -> None:
    data = bytearray(encoded(np.zeros((8, 8, 13), np.uint16), planarconfig="contig"))
    side = 1 << 16
    for tag in (256, 257):  # width and length
        place = data.index(struct.pack("<HH", tag, 3)) if struct.pack("<HH", tag, 3) in data else None
        if place is None:
            place = data.index(struct.pack("<HH", tag, 4))
        data[place : place + 12] = struct.pack("<HHII", tag, 4, 1, side)
    assert side * side > MAX_PIXELS
    with pytest.raises(UndecodableError, match="decompression bomb: 65536 × 65536"):
        read_tiff(bytes(data))


def test_memory_is_bounded_by_all_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(0, 0), planarconfig="contig")
    assert read_tiff(data)[0].memory == 3 * 24 * 24 * 13 * 2
    monkeypatch.setattr(tiff_bands, "MAX_MEMORY", 3 * 24 * 24 * 13 * 2 - 1)
    with pytest.raises(UndecodableError, match="of memory to decode"):
        read_tiff(data)


def test_a_band_without_a_finite_number_is_named() -> None:
    numbers = scene(0, 0).astype(np.float32)
    numbers[:, :, 4] = np.nan
    with pytest.raises(UndecodableError, match="no finite number in band 4"):
        read_tiff(encoded(numbers, planarconfig="contig"))


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(UndecodableError, match="a type that is not read"):
        read_tiff(encoded(np.zeros((8, 8), np.complex64)))


def test_the_extra_is_named_where_the_package_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_bands, "tifffile_version", lambda: "")
    with pytest.raises(UndecodableError, match=r"pip install 'headstart\[bands\]'"):
        read_tiff(encoded(scene(0, 0)))

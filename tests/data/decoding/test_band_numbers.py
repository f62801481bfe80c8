"""The numbers of all bands of a file: what Pillow reads of ordinary formats, and which kind of bands it is."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.bands import BandChoice
from headstart.data.band_statistics import bands_of
from headstart.data.decoding.band_numbers import BandKind, BandNumbers, kind_from, numbers_of, other_bands, shown
from headstart.data.decoding.decode import View, band_numbers, check_bands, decode
from tests.support.multispectral import BANDS, scene, write_tiff


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def unopened(data: bytes) -> Image.Image:
    raise AssertionError("a TIFF is not decoded by Pillow")


@pytest.mark.parametrize(
    ("values", "bands", "dtype"),
    [
        (np.arange(12, dtype=np.uint8).reshape(3, 4), 1, "uint8"),
        ((np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4), 1, "uint16"),
        (np.arange(36, dtype=np.uint8).reshape(3, 4, 3), 3, "uint8"),
        (np.arange(48, dtype=np.uint8).reshape(3, 4, 4), 4, "uint8"),
    ],
)
def test_other_formats_are_the_numbers_that_pillow_reads(values: np.ndarray, bands: int, dtype: str) -> None:
    read = band_numbers(png(values))
    assert np.array_equal(read, values.reshape(3, 4, bands)) and read.dtype == dtype
    assert check_bands(png(values)) == ("", BandKind(tuple(map(str, range(bands))), dtype))


def test_a_damaged_picture_says_why() -> None:
    fault, kind = check_bands(png(np.zeros((64, 64), np.uint8))[:-20])
    assert fault and kind is None


def test_kinds_are_written_for_people_and_read_back() -> None:
    kind = BandKind(("B01", "B02"), "uint16")
    assert str(kind) == "2 bands of uint16" and str(BandKind(("0",), "float32")) == "1 band of float32"
    assert kind_from(kind.described()) == kind


def test_a_constant_band_is_shown_black() -> None:
    numbers = np.stack([np.full((4, 4), 7.0), np.arange(16.0).reshape(4, 4)], axis=-1)
    picture = shown(numbers, BandChoice((0, 1), ("a", "b"), (0, 1, 1), 2, "float64"))
    assert not picture[:, :, 0].any() and picture[0, 0, 1] == 0 and picture[3, 3, 2] == 255


BLUE_AND_RED = BandChoice((1, 3), ("B02", "B04"), (1, 0, 0), 13, "uint16")
SWAPPED = tuple({"B02": "B04", "B04": "B02"}.get(name, name) for name in BANDS)


@pytest.mark.parametrize(
    ("numbers", "names", "why"),
    [
        (scene(0, 0), BANDS, None),
        (scene(0, 0), (), None),
        (scene(0, 0), (*BANDS[:4], "another"), None),
        (scene(0, 0).astype(np.int16), BANDS, None),
        (scene(0, 0).astype(np.float32), BANDS, "has numbers of float32 where uint16 are needed"),
        (scene(0, 0), SWAPPED, "has B04 as band 1 where B02 is needed"),
        (scene(0, 0).astype(np.uint8), BANDS, "has numbers of uint8 where uint16 are needed"),
        (scene(0, 0)[:, :, :4], BANDS[:4], "has 4 bands where 13 are needed"),
    ],
)
def test_other_bands_than_those_chosen_are_noticed(
    numbers: np.ndarray, names: tuple[str, ...], why: str | None, tmp_path: Path
) -> None:
    pytest.importorskip("tifffile")
    write_tiff(tmp_path / "a.tif", numbers, names)
    data = (tmp_path / "a.tif").read_bytes()
    assert other_bands(numbers_of(data, unopened), BLUE_AND_RED) == why


def test_floats_of_any_precision_are_alike() -> None:
    choice = replace(BLUE_AND_RED, dtype="float64")
    assert other_bands(BandNumbers(scene(0, 0).astype(np.float32), ()), choice) is None
    assert other_bands(BandNumbers(scene(0, 0), ()), choice) == "has numbers of uint16 where float64 are needed"


def test_of_an_array_only_the_number_of_bands_is_known() -> None:
    assert other_bands(BandNumbers(scene(0, 0).astype(np.uint8), None), BLUE_AND_RED) is None
    four = BandNumbers(scene(0, 0)[:, :, :4], None)
    assert other_bands(BandNumbers(four.numbers[:, :, :1], None), BLUE_AND_RED) == "has 1 band where 13 are needed"
    assert other_bands(four, BLUE_AND_RED) == "has 4 bands where 13 are needed"


def test_bands_without_names_are_taken_by_their_place(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    write_tiff(tmp_path / "a.tif", scene(0, 0), SWAPPED)
    data = (tmp_path / "a.tif").read_bytes()
    unnamed = BandChoice((1, 3), ("1", "3"), (1, 0, 0), 13, "uint16")
    assert other_bands(numbers_of(data, unopened), unnamed) is None


def test_a_file_is_opened_once_for_its_names_its_numbers_and_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile = pytest.importorskip("tifffile")
    write_tiff(tmp_path / "a.tif", scene(0, 0), BANDS)
    data, opened = (tmp_path / "a.tif").read_bytes(), []
    whole = tifffile.TiffFile.__init__
    monkeypatch.setattr(tifffile.TiffFile, "__init__", lambda *all, **more: opened.append(1) or whole(*all, **more))
    assert check_bands(data) == ("", BandKind(BANDS, "uint16")) and len(opened) == 1
    bands = bands_of(scene(0, 0)[:, :, (1, 3)].reshape(-1, 2).astype(np.float64), BLUE_AND_RED)
    assert decode(data, View(24, 24, bands=bands)).shape == (24, 24, 2) and len(opened) == 2

"""A dataset of bands: all pictures have the same ones, others are left out and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.band_statistics import measure_bands
from headstart.data.decoding import image_store
from headstart.data.decoding.decode import UndecodableError, View, decode, seen_by_people
from headstart.data.decoding.image_store import decode_images, images_key
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from headstart.storage.store import Store
from tests.support.multispectral import BANDS, scene, write_folder, write_tiff

pytest.importorskip("tifffile")


def test_pictures_of_other_bands_and_damaged_ones_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 3)
    write_tiff(folder / "crop" / "four.tif", scene(0, 9)[:, :, :4])
    write_tiff(folder / "crop" / "bytes.tif", (scene(0, 9) // 256).astype(np.uint8))
    write_tiff(folder / "crop" / "names.tif", scene(0, 9), BANDS[::-1])
    (folder / "water" / "cut.tif").write_bytes((folder / "water" / "water000.tif").read_bytes()[:2000])
    dataset = load_dataset(folder, bands="all")
    assert len(dataset) == 9
    reasons = {skip.name.rpartition("/")[2]: skip.reason for skip in dataset.skipped}
    assert reasons["four.tif"] == "has 4 bands of uint16; the other pictures have 13 bands of uint16"
    assert reasons["bytes.tif"] == "has 13 bands of uint8; the other pictures have 13 bands of uint16"
    assert reasons["names.tif"].startswith("has 13 bands of uint16 named B12, B11")
    assert "cut short" in reasons["cut.tif"]
    assert dataset.about["bands"].startswith("13 bands of uint16; each is scaled to 8 bits")
    with pytest.raises(DataError, match="remove it, or drop strict"):
        load_dataset(folder, bands="all", strict=True)


def test_without_bands_a_file_of_thirteen_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="6 TIFF of 13 channels; read them as bands"):
        load_dataset(write_folder(tmp_path / "s2", 2))


def test_bands_that_no_picture_has_and_show_alone_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 2)
    with pytest.raises(DataError, match="s2: bands: unknown band 'B99'"):
        load_dataset(folder, bands=["B99"])
    with pytest.raises(DataError, match="show says how bands are shown, and none are read; give bands"):
        load_dataset(folder, show=[0, 1, 2])


def test_deep_grey_scans_are_one_band(tmp_path: Path) -> None:
    for name, level in (("dark", 900), ("light", 4000)):
        (tmp_path / name).mkdir()
        for number in range(2):
            values = (level + np.arange(256).reshape(16, 16) + number).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / name / f"{number}.png")
    dataset = load_dataset(tmp_path, bands="all")
    assert dataset.bands is not None and (dataset.bands.of, dataset.bands.dtype) == (1, "uint16")
    bands = measure_bands(dataset, np.arange(4), dataset.bands)
    pixels = decode(dataset.reader.read(0), View(16, 16, bands=bands))
    span = bands.high[0] - bands.low[0]
    expected = np.clip(255 * (900.0 + np.arange(256).reshape(16, 16) - bands.low[0]) / span, 0, 255)
    np.testing.assert_array_equal(pixels[:, :, 0], np.rint(expected).astype(np.uint8))


def test_pixels_are_scaled_then_resized_and_their_key_holds_the_bands(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 3), bands=[1, 2, 3, "B08"])
    assert dataset.bands is not None
    bands = measure_bands(dataset, np.arange(6), dataset.bands)
    view = View(12, 8, "bilinear", bands)
    store = Store(tmp_path / "cache")
    images = decode_images(dataset, view, store=store)
    pixels = images.batch(np.arange(9))
    assert pixels.shape == (9, 8, 8, 4) and not images.bad
    plane = bands.scaled(scene(0, 0))[3]
    small = np.asarray(Image.fromarray(plane).resize((12, 12), Image.Resampling.BILINEAR))[2:10, 2:10]
    np.testing.assert_array_equal(pixels[0, :, :, 3], np.rint(small).astype(np.uint8))
    np.testing.assert_array_equal(images[0], pixels[0])
    whole = decode_images(dataset, View(12, None, "bilinear", bands), store=store)
    assert whole[4].shape == (12, 12, 4) and np.array_equal(whole[4][2:10, 2:10], pixels[4])
    other = measure_bands(dataset, np.arange(3), dataset.bands)
    assert (
        len({images_key(dataset, each) for each in (view, View(12, 8, "bilinear", other), View(12, 8, "bilinear"))})
        == 3
    )


def test_the_decoder_of_bands_is_in_the_keys_of_their_pixels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 2), bands="all")
    assert dataset.bands is not None
    views = View(12, 8), View(12, 8, bands=measure_bands(dataset, np.arange(6), dataset.bands))
    plain, banded = (images_key(dataset, view) for view in views)
    monkeypatch.setattr(image_store, "BAND_DECODER", image_store.BAND_DECODER + 1)
    assert images_key(dataset, views[0]) == plain and images_key(dataset, views[1]) != banded


def test_people_see_three_bands_of_a_picture_stretched_by_itself(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 2), bands="all", show=["B04", "B03", "B02"])
    assert dataset.bands is not None
    picture = seen_by_people(dataset.reader.read(0), dataset.bands)
    red = scene(0, 0)[:, :, 3].astype(float)
    dark, bright = np.percentile(red, (2, 98))
    expected = np.clip(np.rint((red - dark) * 255 / (bright - dark)), 0, 255)
    np.testing.assert_array_equal(picture[:, :, 0], expected)


def test_people_see_measured_bands_between_the_percentiles_of_all_pictures(tmp_path: Path) -> None:
    dark, bright = np.full((8, 8, 3), 100, np.uint16), np.full((8, 8, 3), 300, np.uint16)
    for label, numbers in (("dark", dark), ("bright", bright)):
        (tmp_path / label).mkdir()
        for number in range(2):
            numbers[0, number] = 200
            write_tiff(tmp_path / label / f"{number}.tif", numbers)
    dataset = load_dataset(tmp_path, bands="all")
    assert dataset.bands is not None
    bands = measure_bands(dataset, np.arange(4), dataset.bands)
    first, last = (seen_by_people(dataset.reader.read(row), bands) for row in (0, 3))
    assert first[5, 5].tolist() == [255, 255, 255] and last[5, 5].tolist() == [0, 0, 0]  # "bright" is read first
    assert first[0, 0].tolist() == last[0, 0].tolist() == [128, 128, 128]
    alone = seen_by_people(dataset.reader.read(3), dataset.bands)
    assert alone[5, 5].tolist() == [0, 0, 0] and alone[0, 0].tolist() == [255, 255, 255]  # by itself
    write_tiff(tmp_path / "four.tif", scene(0, 0)[:, :, :4])
    with pytest.raises(UndecodableError, match="has 4 bands where 3 are needed"):
        seen_by_people((tmp_path / "four.tif").read_bytes(), bands)
    ordinary = np.full((4, 4, 3), 7, np.uint8)
    assert np.array_equal(seen_by_people(ordinary, None), ordinary)


def test_the_view_of_an_ordinary_picture_says_nothing_of_bands() -> None:
    assert View(256, 224).facts() == {"resize": 256, "crop": 224, "interpolation": "bicubic"}

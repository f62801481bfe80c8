"""Statistics of bands: those of numpy, of the rows that are given and of no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.bands import choose_bands
from headstart.data.band_statistics import bands_of, measure_bands
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from tests.support.multispectral import scene, write_folder

pytest.importorskip("tifffile")


def test_ranges_and_moments_are_those_of_numpy(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 4), bands=["B08", 0])
    assert dataset.bands is not None and dataset.bands.indices == (7, 0)
    rows = np.array([0, 1, 6, 9])
    found = measure_bands(dataset, rows, dataset.bands)
    pixels = np.concatenate([scene(row // 4, row % 4).reshape(-1, 13)[:, [7, 0]] for row in rows]).astype(float)
    low, high = np.percentile(pixels, (0.1, 99.9), axis=0)
    np.testing.assert_allclose([found.low, found.high], [low, high])
    scaled = np.clip((pixels - low) / (high - low), 0, 1)
    np.testing.assert_allclose([found.mean, found.std], [scaled.mean(0), scaled.std(0)])
    np.testing.assert_allclose([found.dark, found.bright], 255 * np.percentile(scaled, (2, 98), axis=0))


def test_images_that_are_not_given_change_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 4)
    dataset = load_dataset(folder, bands="all")
    assert dataset.bands is not None
    before = measure_bands(dataset, np.array([0, 1]), dataset.bands)
    (folder / "crop" / "crop003.tif").write_bytes((folder / "water" / "water000.tif").read_bytes())
    assert measure_bands(dataset, np.array([0, 1]), dataset.bands) == before


def test_a_constant_band_keeps_a_range_and_an_empty_one_is_named() -> None:
    choice = choose_bands("all", None, ("grey", "mask"), "float32")
    sample = np.stack([np.arange(10.0), np.full(10, 7.0)], axis=1)
    found = bands_of(sample, choice)
    assert (found.low[1], found.high[1], found.mean[1]) == (7.0, 8.0, 0.0) and found.std[1] > 0
    sample[:, 1] = np.nan
    with pytest.raises(DataError, match="band mask has no finite number"):
        bands_of(sample, choice)

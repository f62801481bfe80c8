"""Bands are measured on what is not tested, the same ones by a study and by the verbs that split nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.data.band_statistics import measure_bands
from headstart.data.sources.load import load_dataset
from headstart.data.sources.without_labels import load_without_labels
from headstart.data.splits import make_split
from headstart.errors import DataError
from headstart.study.measured_bands import bands_without_a_rule, measured_bands, split_by
from headstart.study.spec.schema import SplitSpec
from tests.support.multispectral import write_folder

pytest.importorskip("tifffile")


def test_a_rule_splits_as_its_settings_say(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 10), bands="all")
    split = split_by(SplitSpec(folds=5, fold=2, seed=3), dataset, 4)
    expected = make_split(dataset, folds=5, fold=2, seed=4, test_seed=3)
    assert np.array_equal(split.test, expected.test) and np.array_equal(split.validation, expected.validation)


def test_without_a_rule_labelled_images_are_measured_as_compare_measures_them(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "s2", 8), bands=["B08", "B04"])
    assert dataset.bands is not None
    found, split = bands_without_a_rule(dataset), make_split(dataset)
    assert len(split.test) and found == measured_bands(dataset, SplitSpec())
    assert found == measure_bands(dataset, np.setdiff1d(np.arange(len(dataset)), split.test), dataset.bands)


def test_without_labels_or_with_too_few_images_all_are_measured(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 1)
    bare, labelled = load_without_labels(folder, bands="all"), load_dataset(folder, bands="all")
    assert bare.bands is not None and labelled.bands is not None
    whole = measure_bands(bare, np.arange(3), bare.bands)
    assert bands_without_a_rule(bare) == whole
    nothing_to_train = SplitSpec(test=0.0, validation=0.0)
    assert measured_bands(labelled, nothing_to_train) == whole
    (tmp_path / "parts.csv").write_text(
        "path,label,split\ns2/crop/crop000.tif,crop,test\ns2/water/water000.tif,water,test\n", encoding="utf-8"
    )
    tested = load_dataset(tmp_path / "parts.csv", bands="all")
    assert tested.bands is not None
    with pytest.raises(DataError, match="no image is left for training"):
        measured_bands(tested, SplitSpec())
    assert bands_without_a_rule(tested) == measure_bands(tested, np.arange(2), tested.bands)


def test_ordinary_pictures_have_no_bands_to_measure() -> None:
    dataset = load_dataset({"images": [np.full((8, 8, 3), grey, np.uint8) for grey in (0, 9)], "labels": ["a", "b"]})
    assert measured_bands(dataset, SplitSpec()) is None and bands_without_a_rule(dataset) is None

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.data.sources.array_labels import labels_of
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError

CLASSES = ["dog", "cat"]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, None, 1],
        [0.0, 1.0, np.nan, 1.0],
        np.array([0, 1, np.nan, 1], np.float32),
        [np.int64(0), np.int8(1), pd.NA, 1],
        pd.Series([0, 1, None, 1], dtype="Int64"),
        ["dog", "cat", None, "cat"],
        ["dog", "cat", np.nan, "cat"],
        ["dog", 1, None, "cat"],
        [False, True, None, True],
    ],
)
def test_a_missing_label_changes_nothing_about_the_others(labels: Any) -> None:
    found = load_dataset({"images": PIXELS, "labels": labels, "classes": CLASSES})
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [1, 0, 0]
    assert [(skip.name, skip.reason) for skip in found.skipped] == [("#2", "has no label")]


@pytest.mark.parametrize("labels", [[3, 7, None, 7], [3.0, 7.0, np.nan, 7.0], np.array([3, 7, np.nan, 7])])
def test_whole_numbers_beside_a_missing_one_keep_their_names(labels: Any) -> None:
    assert load_dataset({"images": PIXELS, "labels": labels}).classes == ("3", "7")


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        (["cat", "dog", "bird", "cat"], CLASSES, r"label 'bird' of image 2 is not one of the classes \(dog, cat\)"),
        (["cat", "dog", "1", None], CLASSES, "label '1' of image 2 is not one of the classes"),
        ([0, 1, None, 2], CLASSES, "label 2 of image 3 is not an index into 2 classes"),
        ([0, -1, 1, 1], CLASSES, "label -1 of image 1 is not an index"),
        ([0, 0.5, np.nan, 1], CLASSES, "label '0.5' of image 1 is not one of the classes"),
        ([None, np.nan, pd.NA, None], CLASSES, "no image has a label"),
        (["a", "b", "a", "b"], ["a", "b", "a"], "the class name 'a' is given twice"),
    ],
)
def test_a_label_outside_of_the_classes_is_refused(labels: Any, classes: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset({"images": PIXELS, "labels": labels, "classes": classes})


def test_a_class_without_an_image_is_told() -> None:
    found = load_dataset({"images": PIXELS, "labels": [0, 1, 0, 1], "classes": [*CLASSES, "owl"]})
    assert found.classes == ("cat", "dog") and found.about["classes"] == "without a usable image, left out: owl"


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_missing_cell_of_several_labels_leaves_its_image_out(missing: Any) -> None:
    rows = [[1, 0], [missing, 1], [0, 1], [1, 1]]
    found = load_dataset({"images": PIXELS, "labels": rows, "classes": CLASSES})
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [[False, True], [True, False], [True, True]]
    assert [(skip.name, skip.reason) for skip in found.skipped] == [("#1", "has a missing label")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 0], [0, 2], [1, 1], [0, 1]], "label '2' of image 1, column 1, is neither 0 nor 1"),
        ([[1, 0], [0, 0.3], [1, 1], [0, 1]], "label '0.3' of image 1, column 1, is neither 0 nor 1"),
        ([["0", "1"], ["1", "0"], ["0", "0"], ["1", "1"]], "label '0' of image 0, column 0, is neither 0 nor 1"),
        ([[np.nan, 0]] * 4, "no image has all of its labels"),
        ([["cat"], ["cat", "dog"], ["dog"], []], "labels are lists of different lengths"),
    ],
)
def test_rows_of_several_labels_are_0_and_1(rows: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset({"images": PIXELS, "labels": rows})


def test_numbers_of_any_type_say_that_an_image_has_a_label() -> None:
    for kind in (bool, np.uint8, np.int64, np.float32, object):
        labels, names, missing = labels_of(np.array([[1, 0, 1], [0, 0, 1]], dtype=kind), ["c", "a", "b"])
        assert labels.tolist() == [[False, True, True], [False, True, False]]
        assert names == ("a", "b", "c") and not len(missing)

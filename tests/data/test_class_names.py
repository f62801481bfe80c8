from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from headstart.data.class_names import check_lookalikes, normal_form
from headstart.data.dataset import Dataset
from headstart.data.sources.in_memory import PictureReader
from headstart.errors import DataError


def dataset(classes: tuple[str, ...], labels: list[int], parts: list[str] | None) -> Dataset:
    reader = PictureReader([np.zeros((2, 2, 3), dtype=np.uint8)] * len(labels))
    given = None if parts is None else np.array(parts, dtype="U10")
    return Dataset("pets", reader, np.array(labels), classes, given_split=given)


def test_names_are_composed_and_without_blanks_around() -> None:
    assert normal_form(f" {unicodedata.normalize('NFD', 'Müller')} ") == "Müller"


def test_names_that_differ_by_case_in_different_parts_are_refused() -> None:
    with pytest.raises(DataError, match=r"'Cat' \(in train\) and 'cat' \(in test\) differ only by case or blanks"):
        check_lookalikes(dataset(("Cat", "cat", "dog"), [0, 1, 2, 2], ["train", "test", "train", "test"]))


def test_in_one_part_they_are_two_classes_and_said() -> None:
    found = check_lookalikes(dataset(("ab", "a b", "dog"), [0, 1, 2], ["train", "train", "test"]))
    assert found.about["similar class names"] == "kept as different classes: 'ab', 'a b'"
    assert "similar class names" in check_lookalikes(dataset(("A", "a"), [0, 1], None)).about


def test_other_names_are_not_mentioned() -> None:
    assert check_lookalikes(dataset(("cat", "cats"), [0, 1], ["train", "test"])).about == {}

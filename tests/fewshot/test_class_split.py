from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.fewshot.class_split import given_class_split, make_class_split, random_class_split

NAMES = [f"c{i}" for i in range(10)]


def test_overlapping_classes_are_refused_with_their_number_and_names() -> None:
    with pytest.raises(DataError, match=r"2 of 4 base and 3 novel classes are the same \('c2', 'c3'\)"):
        make_class_split([0, 1, 2, 3], [5], [2, 3, 4], NAMES)
    with pytest.raises(DataError, match="1 of 1 validation and 2 novel"):
        make_class_split([0], [5], [5, 6], NAMES)


def test_empty_sides_and_unknown_classes_are_refused() -> None:
    with pytest.raises(SpecError, match="validation classes: none"):
        make_class_split([0], [], [1], NAMES)
    with pytest.raises(SpecError, match="novel classes: 10 is not a class; there are 10, numbered from 0"):
        make_class_split([0], [1], [10], NAMES)


def test_random_split_uses_every_class_once() -> None:
    split = random_class_split([str(i) for i in range(100)], seed=0)
    assert (len(split.base), len(split.validation), len(split.novel)) == (64, 16, 20)
    assert sorted(split.base + split.validation + split.novel) == list(range(100))
    assert split == random_class_split([str(i) for i in range(100)], seed=0)


def test_given_split_by_class_is_read_from_the_images() -> None:
    labels = np.array([0, 0, 1, 2, 2])
    split = given_class_split(labels, ["train", "train", "validation", "test", "test"], NAMES)
    assert (split.base, split.validation, split.novel) == ((0,), (1,), (2,))
    with pytest.raises(DataError, match="'c0'"):
        given_class_split(labels, ["train", "test", "validation", "test", "test"], NAMES)

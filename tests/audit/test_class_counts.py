from __future__ import annotations

import numpy as np
import pytest
from photographs import dataset_of

from headstart.audit.class_counts import count_classes, imbalance


def test_classes_are_counted_in_every_part_that_has_images() -> None:
    parts = ["train", "train", "test", "train", ""]
    dataset = dataset_of([b""] * 5, [0, 0, 0, 1, 1], ("ant", "bee", "cat"))
    assert count_classes(dataset, np.array(parts)) == [
        {"class": "ant", "n": 3, "train": 2, "test": 1},
        {"class": "bee", "n": 2, "train": 1, "test": 0},
        {"class": "cat", "n": 0, "train": 0, "test": 0},
    ]
    assert count_classes(dataset, np.array([""] * 5))[0] == {"class": "ant", "n": 3}


def test_imbalance_names_both_ends_and_the_effective_number_of_classes() -> None:
    found = imbalance([{"class": "ant", "n": 30}, {"class": "bee", "n": 10}, {"class": "cat", "n": 20}])
    assert (found["largest"], found["most"], found["smallest"], found["fewest"], found["ratio"]) == (
        "ant",
        30,
        "bee",
        10,
        3,
    )
    # exp of the entropy of 1/2, 1/6, 1/3: 2^(1/2) · 6^(1/6) · 3^(1/3)
    assert found["effective_classes"] == pytest.approx(2 ** (1 / 2) * 6 ** (1 / 6) * 3 ** (1 / 3))


def test_equal_classes_are_all_effective_and_an_empty_one_is_none() -> None:
    assert imbalance([{"class": name, "n": 7} for name in "abcd"])["effective_classes"] == pytest.approx(4)
    found = imbalance([{"class": "ant", "n": 8}, {"class": "bee", "n": 0}])
    assert (found["ratio"], found["effective_classes"]) == (8, pytest.approx(1))

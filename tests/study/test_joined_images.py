from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from headstart.study.joined_images import as_old_and_new, joined, without_copies
from headstart.study.results import tested

PIXELS = np.random.default_rng(0).integers(0, 256, (400, 3, 3, 3), dtype=np.uint8)


def images(rows: Any, groups: list[str] | None = None, labels: list[str] | None = None) -> Dataset:
    names = labels or ["ab"[row % 2] for row in rows]
    source = {"images": PIXELS[list(rows)], "labels": names}
    return load_dataset({**source, "groups": groups} if groups else source)


def judged(old: Dataset, test: list[int], learned: list[int]) -> tested.Tested:
    digests = np.array([digest.decode() for digest in old.digests.tolist()])  # type: ignore[union-attr]
    return tested.Tested("r", Path("r"), "d", "accuracy", {}, frozenset(digests[learned]), frozenset(digests[test]))


def test_a_new_image_takes_the_part_of_its_group() -> None:
    old = images(range(6), ["p", "p", "q", "q", "r", "r"])
    new = images(range(4, 12), ["r", "r", "p", "q", "r", "q", "p", "z"])
    data, _ = joined(old, new, judged(old, [2, 3], [0, 1, 4, 5]))
    assert data.groups is not None and data.given_split is not None and len(data) == 12
    assert data.groups.tolist() == ["p", "p", "q", "q", "r", "r", "p", "q", "r", "q", "p", "z"]
    assert data.given_split[:11].tolist() == [{"q": "test"}.get(group, "train") for group in data.groups[:11].tolist()]


def test_a_new_group_is_in_one_part_by_a_hash_of_its_name() -> None:
    old = images(range(10), [f"old {row // 2}" for row in range(10)])
    former = judged(old, [0, 1, 2, 3], [4, 5, 6, 7, 8, 9])  # a share of 0.4
    names = [f"new {number // 4}" for number in range(390)]
    whole, _ = joined(old, images(range(10, 400), names), former)
    part, _ = joined(old, images([399, 57, 208, 12]), former)
    assert whole.given_split is not None and part.groups is not None and whole.groups is not None
    where = dict(zip(whole.groups.tolist(), whole.given_split.tolist(), strict=True))
    for group, found in zip(whole.groups.tolist(), whole.given_split.tolist(), strict=True):
        assert where[group] == found
    for group in set(names):
        share = int(hashlib.blake2b(group.encode(), digest_size=16).hexdigest()[:8], 16) / 2**32
        assert where[group] == ("test" if share < 0.4 else "train")
    assert part.groups[10:].tolist() == [digest.decode() for digest in part.digests[10:].tolist()]  # type: ignore[index]


def test_rows_without_a_group_are_no_group_together() -> None:
    old = images(range(4), ["row 0", "row 1", "p", "p"])
    data, _ = joined(old, images([4, 5], ["row 0", "row 1"]), judged(old, [0], [1, 2, 3]))
    assert data.groups is not None and len(set(data.groups.tolist())) == 5


def test_old_images_show_the_part_of_a_group_that_only_the_new_data_name() -> None:
    old = images(range(6))
    new = images([0, 6, 8, 10, 1, 7, 9, 11], ["p"] * 4 + ["q"] * 4)
    data, _ = joined(old, new, judged(old, [0], [1, 2, 3, 4, 5]))
    assert data.given_split is not None
    assert data.given_split[6:].tolist() == ["test"] * 3 + ["train"] * 3


def test_a_group_keeps_its_part_although_a_copy_of_its_image_was_in_the_other() -> None:
    old = images([0, 2, 3, 0, 4, 5], ["p", "p", "p", "q", "q", "q"])
    data, _ = joined(old, images([6, 7], ["p", "q"]), judged(old, [3, 4, 5], [0, 1, 2]))
    assert data.given_split is not None
    assert data.given_split.tolist() == ["train"] * 3 + ["test"] * 3 + ["train", "test"]


def test_all_copies_of_an_image_get_its_new_label() -> None:
    old = images([0, 0, 1, 2])
    data, notes = joined(old, images([0, 5, 6], labels=["c", "a", "b"]), judged(old, [2], [0, 3]))
    assert data.classes == ("a", "b", "c") and data.labels.tolist() == [2, 2, 1, 0, 0, 1]
    assert notes == [
        "in the study already: 1 of these images",
        "new classes: c; the previous model does not know them",
        "1 images have a different label than in the study; the new one is used",
    ]


def test_of_copies_only_new_images_are_dropped() -> None:
    old, new = images(range(4)), images(range(2, 8))
    both = as_old_and_new(old, new)
    assert both.given_split is not None and both.given_split.tolist() == ["test"] * 4 + ["train"] * 6
    left = without_copies(old, new, both.without([0, 7, 9]))  # an old image, and the new ones 5 and 7
    assert np.array_equal(left.digests, new.digests[[0, 1, 2, 4]])  # type: ignore[index]


def test_what_does_not_fit_is_refused() -> None:
    old = images(range(4))
    with pytest.raises(DataError, match="no image that the study does not know"):
        joined(old, images([2, 1]), judged(old, [0], [1]))
    many = replace(old, labels=np.eye(4, 2, dtype=bool))
    with pytest.raises(DataError, match="labels are of another kind"):
        joined(old, many, judged(old, [0], [1]))

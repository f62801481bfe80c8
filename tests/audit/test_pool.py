from __future__ import annotations

import numpy as np
import pytest
from photographs import dataset_of, picture, shrunk

from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import label_of, make_pool, photographs
from headstart.data.dataset import Dataset, Split

A, B, C, D = (shrunk(picture(k), 40) for k in range(4))


def test_a_pool_has_each_distinct_image_that_decodes_once() -> None:
    pool = make_pool(dataset_of([A, b"broken", B, A]), [dataset_of([C, B, D, D], name="other")], None, None)
    assert list(zip(pool.source.tolist(), pool.row.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert (pool.read(3) == D).all()
    copies = pool.copies()
    assert copies.grey[:].shape == (4, 32, 32)
    assert copies.colour[:].shape == (4, 16, 16, 3)
    assert copies.short.tolist() == [40, 40, 40, 40]
    assert (copies.colour[:][2] == shrunk(C, 16)).all()


def test_the_shorter_side_is_the_lesser_of_width_and_height() -> None:
    pool = make_pool(dataset_of([picture(0, (50, 90)), picture(1, (90, 60))]), [], None, None)
    assert pool.copies().short.tolist() == [50, 60]


def test_parts_are_those_of_the_split_else_the_datasets_own_else_none() -> None:
    split = Split(np.array([3]), np.array([0]), np.array([1]), "given", 0)
    own = dataset_of([A, B, C, D], parts=["train", "train", "test", "test"])
    assert make_pool(own, [], split, None).parts[0].tolist() == ["validation", "test", "", "train"]
    assert make_pool(own, [], None, None).parts[0].tolist() == ["train", "train", "test", "test"]
    assert make_pool(dataset_of([A, B]), [own], None, None).parts[0].tolist() == ["", ""]


def test_pairs_concern_the_audited_dataset_and_labels_are_compared_within_it() -> None:
    pool = make_pool(dataset_of([A, B, C], [0, 1, 1]), [dataset_of([D, shrunk(picture(5), 40)], [1, 0])], None, None)
    a, b = np.array([0, 1, 0, 3, 4]), np.array([1, 2, 3, 4, 1])
    assert pool.of_interest(a, b).tolist() == [True, True, True, False, True]
    assert pool.differently_labelled(a, b).tolist() == [True, False, False, False, False]


def test_several_labels_an_image_are_never_compared() -> None:
    several = Dataset("several", dataset_of([A, B]).reader, np.array([[1, 0], [1, 1]], dtype=np.int64), ("ant", "bee"))
    pool = make_pool(several, [], None, None)
    assert pool.differently_labelled(np.array([0]), np.array([1])).tolist() == [False]
    assert label_of(several, 1) == "ant, bee"


def test_a_place_names_dataset_row_label_and_part() -> None:
    pool = make_pool(dataset_of([A, B], [0, 1], parts=["train", "test"]), [dataset_of([C], name="other")], None, None)
    assert pool.place(0, 1) == {
        "dataset": "files",
        "row": 1,
        "name": "file 1",
        "label": "bee",
        "split": "test",
        "thumbnail": "0:1",
    }
    assert pool.place(1, 0)["thumbnail"] == "1:0"


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_chains_of_pairs_and_equal_files_are_one_photograph(order: list[int]) -> None:
    # rows 0 and 3 are equal; A ~ B and B ~ the other dataset's D: four rows and one of the other show one photograph
    pool = make_pool(dataset_of([A, B, C, A]), [dataset_of([D, C], name="other")], None, None)
    pairs = [NearPair(0, 1, 0.9, "copy"), NearPair(1, 3, 0.9, "copy")]
    found = photographs(pool, [pairs[k] for k in order if k < 2])
    first = found[0]
    assert [number == first for number in found.tolist()] == [True, True, False, True, True, False]
    assert found[2] == found[5]


def test_without_pairs_only_equal_files_are_one_photograph() -> None:
    pool = make_pool(dataset_of([A, B, A]), [], None, None)
    found = photographs(pool, [])
    assert found[0] == found[2] != found[1]

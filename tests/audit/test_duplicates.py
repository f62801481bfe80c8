from __future__ import annotations

import numpy as np
from photographs import dataset_of, jpeg, picture, shrunk

from headstart.audit.duplicates import Duplicates, equal_files, find_duplicates, leaks, rows_to_drop
from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import Pool, make_pool
from headstart.data.dataset import Dataset

P = [shrunk(picture(k), 40) for k in range(8)]


def pool_of(main: Dataset, *others: Dataset) -> Pool:
    return make_pool(main, list(others), None, None)


def near(*pairs: tuple[int, int]) -> list[NearPair]:
    return [NearPair(a, b, 0.95, "copy") for a, b in pairs]


def test_equal_files_are_grouped_with_contradicting_labels_first() -> None:
    pool = pool_of(dataset_of([P[0], P[1], P[0], P[2], P[1], P[3]], [0, 0, 0, 0, 1, 1]), dataset_of([P[3], P[4], P[4]]))
    groups = equal_files(pool)
    assert [(g.sources.tolist(), g.rows.tolist(), g.conflict) for g in groups] == [
        ([0, 0], [1, 4], True),
        ([0, 0], [0, 2], False),
        ([0, 1], [5, 0], False),
    ]


def test_another_datasets_label_contradicts_nothing() -> None:
    groups = equal_files(pool_of(dataset_of([P[0]], [0]), dataset_of([P[0]], [1])))
    assert [g.conflict for g in groups] == [False]


def test_leaks_count_each_image_of_a_part_once_exact_before_near() -> None:
    parts = ["train", "train", "validation", "test", "test", "test", "test", ""]
    main = dataset_of([P[0], P[1], P[2], P[0], P[3], P[4], P[5], P[6]], parts=parts)
    # distinct: 0 P0, 1 P1, 2 P2, 3 P3, 4 P4, 5 P5, 6 P6
    found = leaks(pool_of(main), near((1, 3), (2, 4), (0, 1), (5, 6), (1, 2)))
    # test: row 3 equals row 0; rows 4 and 5 are near copies of train and validation; row 6 only of an unassigned one
    assert found["test"] == {"n": 4, "exact": 1, "near": 2}
    assert found["validation"] == {"n": 1, "exact": 0, "near": 1}
    assert found["others"] == []


def test_training_images_with_a_copy_in_test_are_no_leak_of_validation() -> None:
    main = dataset_of([P[0], P[1], P[2]], parts=["train", "validation", "test"])
    found = leaks(pool_of(main), near((1, 2)))
    assert found["validation"] == {"n": 1, "exact": 0, "near": 0}
    assert found["test"] == {"n": 1, "exact": 0, "near": 1}


def test_images_shared_with_each_other_dataset_are_counted_apart() -> None:
    main = dataset_of([P[0], P[1], P[2], P[0]])
    pool = pool_of(main, dataset_of([P[0], P[3]], name="one"), dataset_of([P[4], P[5], P[5]], name="two"))
    # distinct: 0 P0, 1 P1, 2 P2, 3 P3 (one), 4 P4 (two), 5 P5 (two)
    found = leaks(pool, near((1, 3), (2, 5)))
    assert found["others"] == [{"dataset": "one", "exact": 2, "near": 1}, {"dataset": "two", "exact": 0, "near": 1}]
    drop = rows_to_drop(pool, Duplicates(equal_files(pool), near((1, 3), (2, 5)), []), {})
    assert drop["shared"] == [0, 1, 2, 3]


def test_of_several_copies_that_of_test_is_kept_else_of_validation_else_the_first() -> None:
    parts = ["train", "test", "train", "validation", "train", "train", "", "train"]
    files = [P[0], P[0], P[1], P[1], P[2], P[2], P[3], P[3]]
    pool = pool_of(dataset_of(files, parts=parts))
    assert rows_to_drop(pool, Duplicates(equal_files(pool), [], []), {}) == {
        "unreadable": [],
        "exact": [0, 2, 5, 6],
        "near": [],
        "shared": [],
    }


def test_equal_files_with_different_labels_are_all_dropped_and_their_near_copy_stays() -> None:
    pool = pool_of(dataset_of([P[0], P[0], P[1]], [0, 1, 0]))
    drop = rows_to_drop(pool, Duplicates(equal_files(pool), near((0, 1)), []), {})
    assert drop == {"unreadable": [], "exact": [0, 1], "near": [], "shared": []}


def test_of_a_chain_of_near_copies_one_is_kept() -> None:
    pool = pool_of(dataset_of([P[0], P[1], P[2], P[3]], parts=["train", "train", "test", "train"]))
    drop = rows_to_drop(pool, Duplicates([], near((0, 1), (1, 2)), []), {})
    assert drop["near"] == [0, 1]


def test_rows_that_are_dropped_already_are_not_counted_again() -> None:
    pool = pool_of(dataset_of([P[0], P[0], P[1], P[2]]))
    drop = rows_to_drop(pool, Duplicates(equal_files(pool), near((0, 1), (1, 2)), []), {3: "is cut short"})
    assert drop == {"unreadable": [3], "exact": [1], "near": [2], "shared": []}


def test_duplicates_are_found_from_the_files() -> None:
    again = shrunk(np.ascontiguousarray(picture(1)[2:-2, 3:-3]), 40)
    main = dataset_of([P[0], P[1], P[0], again, P[4]], [0, 0, 0, 1, 1])
    pool = pool_of(main, dataset_of([jpeg(P[4], 95), P[6], jpeg(P[6], 95)]))
    found = find_duplicates(pool, None, seed=0)
    assert [(pair.a, pair.b) for pair in sorted(found.near, key=lambda pair: pair.a)] == [(1, 2), (3, 4)]
    assert len(found.exact) == 1
    assert list(found.notes) == []

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset, Split
from headstart.data.sources.in_memory import PictureReader
from headstart.data.splits import _folds_of_groups, _group_strata, kfold, make_split, strata_of, subsample
from headstart.errors import DataError


def dataset(labels: Any, split: Any = None, groups: Any = None, names: tuple[str, ...] | None = None) -> Dataset:
    labels = np.asarray(labels)
    count = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    return Dataset(
        "toy",
        PictureReader(np.zeros((len(labels), 1, 1, 3), dtype=np.uint8)),
        labels,
        names or tuple(f"c{index}" for index in range(count)),
        given_split=None if split is None else np.asarray(split, dtype="U10"),
        groups=None if groups is None else np.asarray(groups, dtype=np.str_),
    )


def rows_of(split: Split) -> np.ndarray:
    return np.concatenate([split.train, split.validation, split.test])


LABELS = np.repeat([0, 1, 2], [100, 50, 10])


def test_parts_are_disjoint_sorted_and_cover_everything() -> None:
    split = make_split(dataset(LABELS))
    np.testing.assert_array_equal(np.sort(rows_of(split)), np.arange(160))
    for part in (split.train, split.validation, split.test):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()


def test_each_part_has_each_class_in_proportion() -> None:
    data = dataset(LABELS)
    split = make_split(data, validation=0.25, test=0.2)
    assert data.counts(split.test).tolist() == [20, 10, 2]
    assert data.counts(split.validation).tolist() == [20, 10, 2]
    assert data.counts(split.train).tolist() == [60, 30, 6]


def test_shares_are_exact_in_total_however_small_the_classes() -> None:
    data = dataset(np.repeat(np.arange(40), 3))
    split = make_split(data, validation=0.0, test=0.25)
    assert len(split.test) == 30 and len(split.validation) == 0
    assert data.counts(split.train).min() >= 2


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    data = dataset(LABELS)
    first, again, other = (make_split(data, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train, again.train)
    assert (first.validation != other.validation).any()


def test_the_test_part_depends_on_the_test_seed_only() -> None:
    data = dataset(LABELS)
    first, second = make_split(data, seed=1, validation=0.1), make_split(data, seed=9, validation=0.3)
    np.testing.assert_array_equal(first.test, second.test)
    assert (make_split(data, test_seed=1).test != first.test).any()


def test_a_given_test_part_is_kept_and_validation_drawn_from_train() -> None:
    given = np.where(np.arange(160) % 4 == 0, "test", "train")
    data = dataset(LABELS, given)
    split = make_split(data, validation=0.5)
    np.testing.assert_array_equal(split.test, np.flatnonzero(given == "test"))
    assert len(split.validation) == 60 and len(split.train) == 60
    assert split.rule == "given; stratified; validation 50 % of the rest (seed 0)"


def test_a_given_validation_part_is_kept() -> None:
    given = np.array(["train", "validation", "test", "train"] * 40)
    split = make_split(dataset(LABELS, given))
    np.testing.assert_array_equal(split.validation, np.flatnonzero(given == "validation"))
    np.testing.assert_array_equal(split.test, np.flatnonzero(given == "test"))


def test_a_given_split_without_a_test_part_gets_one() -> None:
    given = np.array(["train"] * 120 + ["validation"] * 40)
    split = make_split(dataset(np.arange(160) % 3, given), test=0.25)
    assert len(split.validation) == 40 and len(split.test) == 30
    assert set(split.test) <= set(range(120))


def test_the_given_split_can_be_left_aside() -> None:
    given = np.array(["train", "test"] * 80)
    split = make_split(dataset(LABELS, given), given=False)
    assert len(split.test) == 32


def test_a_class_with_one_image_stays_in_train_and_is_named() -> None:
    data = dataset([0] * 10 + [1] * 10 + [2], names=("ash", "beech", "yew"))
    split = make_split(data)
    assert 20 in split.train
    assert "1 of 3 classes have no test image: 'yew'" in split.notes


def test_no_group_stands_on_two_sides_and_the_share_is_kept() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, 2000)
    labels = groups % 4
    data = dataset(labels, groups=groups)
    split = make_split(data)
    sides = [set(groups[part]) for part in (split.train, split.validation, split.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert 0.15 < len(split.test) / 2000 < 0.25
    assert (data.counts(split.test) / data.counts() > 0.1).all()
    assert "by group" in split.rule


def test_a_group_on_two_sides_of_a_given_split_is_refused() -> None:
    with pytest.raises(DataError, match="group 'p1' is in two parts"):
        make_split(dataset([0, 1, 0, 1], ["train", "train", "test", "test"], ["p0", "p1", "p1", "p2"]))


def test_folds_partition_the_rows_and_are_stratified() -> None:
    data = dataset(LABELS)
    splits = [make_split(data, folds=5, fold=fold) for fold in range(5)]
    np.testing.assert_array_equal(np.sort(np.concatenate([each.test for each in splits])), np.arange(160))
    for each in splits:
        assert data.counts(each.test).tolist() == [20, 10, 2]


def test_with_a_given_test_part_the_fold_is_the_validation_part() -> None:
    given = np.where(np.arange(160) % 4 == 0, "test", "train")
    data = dataset(LABELS, given)
    splits = [make_split(data, folds=3, fold=fold) for fold in range(3)]
    parts = np.concatenate([each.validation for each in splits])
    np.testing.assert_array_equal(np.sort(parts), np.flatnonzero(given == "train"))
    for each in splits:
        np.testing.assert_array_equal(each.test, np.flatnonzero(given == "test"))


def test_folds_keep_groups_whole_and_balanced() -> None:
    groups = np.repeat(np.arange(60), 5)
    labels = groups % 3
    fold = kfold(labels, 4, groups=groups)
    assert all(len(set(fold[groups == group])) == 1 for group in range(60))
    for each in range(4):
        assert np.bincount(labels[fold == each]).tolist() == [25, 25, 25]


def test_several_labels_are_stratified_by_the_rarest() -> None:
    labels = np.zeros((100, 3), dtype=bool)
    labels[:, 0] = True
    labels[:40, 1] = True
    labels[:10, 2] = True
    assert np.bincount(strata_of(labels)).tolist() == [60, 30, 10]
    data = dataset(labels)
    split = make_split(data, test=0.2, validation=0)
    assert data.counts(split.test).tolist() == [20, 8, 2]
    labels[50:] = False
    assert np.bincount(strata_of(labels)).tolist() == [10, 30, 10, 50]


def test_subsets_of_train_are_nested_over_fractions_and_shots() -> None:
    data = dataset(LABELS)
    split = make_split(data)
    shots = {k: subsample(split, data, shots=k, seed=3) for k in (1, 2, 5)}
    parts = {f: subsample(split, data, fraction=f, seed=3) for f in (0.1, 0.5, 0.75, 1.0)}
    assert set(shots[1].train) < set(shots[2].train) < set(shots[5].train)
    assert set(parts[0.1].train) < set(parts[0.5].train) < set(parts[0.75].train) < set(parts[1.0].train)
    assert set(shots[1].train) < set(parts[0.1].train)  # one of each class at the least
    assert set(shots[2].train) < set(parts[0.5].train)  # half of the smallest class are three
    np.testing.assert_array_equal(parts[1.0].train, split.train)
    np.testing.assert_array_equal(shots[1].test, split.test)


def test_shots_take_so_many_of_each_class() -> None:
    data = dataset(LABELS)
    split = make_split(data)
    for k in (1, 3, 6):
        assert data.counts(subsample(split, data.labels, shots=k).train).tolist() == [k, k, k]


def test_a_fraction_keeps_the_proportions_and_at_least_one_image_a_class() -> None:
    data = dataset(LABELS)
    split = make_split(data, test=0, validation=0)
    assert data.counts(subsample(split, data, fraction=0.1).train).tolist() == [10, 5, 1]
    assert data.counts(subsample(split, data, fraction=0.01).train).tolist() == [1, 1, 1]


def test_another_seed_takes_other_images() -> None:
    data = dataset(LABELS)
    split = make_split(data)
    one, two = (subsample(split, data, shots=5, seed=seed) for seed in (0, 1))
    assert set(one.train) != set(two.train)
    assert "5 shots (seed 1)" in two.rule


def test_a_class_short_of_images_is_named_with_its_numbers() -> None:
    data = dataset([0] * 9 + [1] * 3, names=("ash", "yew"))
    split = make_split(data, test=0, validation=0)
    with pytest.raises(DataError, match="class 'yew' has 3 training images, too few for 5 shots"):
        subsample(split, data, shots=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 1.0}, r"validation share must be in \[0, 1\)"),
        ({"test": -0.1}, r"test share must be in \[0, 1\)"),
        ({"folds": 5}, "folds need both"),
        ({"folds": 5, "fold": 5}, "fold 5 is not one of 0 … 4"),
        ({"folds": 999, "fold": 0}, "cannot make 999 folds of 160 images"),
    ],
)
def test_shares_and_folds_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        make_split(dataset(LABELS), **options)


def test_a_subset_needs_either_a_fraction_or_shots() -> None:
    data = dataset(LABELS)
    split = make_split(data)
    for options in ({}, {"fraction": 0.5, "shots": 5}, {"fraction": 0.0}, {"shots": 0}):
        with pytest.raises(DataError):
            subsample(split, data, **options)  # type: ignore[arg-type]


def test_a_split_with_everything_in_test_has_no_training_image() -> None:
    with pytest.raises(DataError, match="no image is left for training"):
        make_split(dataset([0, 1], ["test", "test"]))


def test_rows_that_would_not_decode_leave_the_split() -> None:
    split = make_split(dataset(LABELS))
    gone = {int(split.train[0]): "is cut short", int(split.test[3]): "is cut short"}
    less = split.without(gone)
    assert len(less.train) == len(split.train) - 1 and len(less.test) == len(split.test) - 1
    assert not set(gone) & set(rows_of(less))
    assert split.without({}) is split


def test_a_million_rows_are_split_in_seconds() -> None:
    import time

    labels = np.random.default_rng(0).integers(0, 100, 1_000_000)
    started = time.process_time()
    split = make_split(dataset(labels))
    subsample(split, labels, fraction=0.1)
    assert time.process_time() - started < 10
    assert len(split.test) == 200_000


def test_there_are_two_folds_at_least_and_one_for_each_row_at_most() -> None:
    assert sorted(kfold(np.zeros(2, dtype=int), 2)) == [0, 1]
    assert sorted(kfold(np.arange(3), 3)) == [0, 1, 2]
    with pytest.raises(DataError, match="cannot make 1 folds of 160 images"):
        kfold(LABELS, 1)
    groups = np.array(["a", "a", "b", "b"])
    assert sorted(set(kfold(np.zeros(4, dtype=int), 2, groups=groups))) == [0, 1]
    with pytest.raises(DataError, match="cannot make 3 folds of 2 groups"):
        kfold(np.zeros(4, dtype=int), 3, groups=groups)
    assert (kfold(LABELS, 5, seed=1) != kfold(LABELS, 5, seed=2)).any()


def test_with_folds_the_seed_draws_validation_and_the_test_seed_the_fold() -> None:
    data = dataset(LABELS)
    first, second, other = (
        make_split(data, folds=5, fold=0, validation=0.25, seed=seed, test_seed=test_seed)
        for seed, test_seed in ((1, 0), (2, 0), (1, 3))
    )
    assert len(first.validation) == 32 and first.test.tolist() == second.test.tolist() != other.test.tolist()
    assert first.validation.tolist() != second.validation.tolist()


def test_folds_of_a_split_keep_groups_whole() -> None:
    groups = np.arange(160) // 4
    for fold in range(3):
        split = make_split(dataset(np.arange(160) % 2, groups=groups), folds=3, fold=fold)
        assert not set(groups[split.test]) & (set(groups[split.train]) | set(groups[split.validation]))


def test_the_rule_says_what_was_given() -> None:
    labels = np.zeros(8, dtype=int)
    assert make_split(dataset(labels, ["train"] * 6 + ["validation"] * 2)).rule.startswith("given; ")
    assert make_split(dataset(labels, ["train"] * 8)).rule.startswith("given train; ")


def test_a_group_is_taken_if_half_of_it_is_within_the_share() -> None:
    for count, share, expected in ((4, 0.2, 10), (4, 0.1, 0), (3, 0.5, 20), (2, 0.9, 10)):
        data = dataset(np.zeros(10 * count, dtype=int), groups=np.repeat(np.arange(count), 10))
        assert len(make_split(data, test=share, validation=0).test) == expected, (count, share)


def test_remainders_decide_which_class_gives_one_more() -> None:
    data = dataset(np.repeat([0, 1], [7, 4]))  # shares 1.4 and 0.8 of 2.2
    assert data.counts(make_split(data, test=0.2, validation=0).test).tolist() == [1, 1]
    halves = dataset(np.repeat([0, 1], 3))  # shares 0.75 and 0.75: 1.5, rounded up
    assert len(make_split(halves, test=0.25, validation=0).test) == 2


def test_a_fraction_is_rounded_half_up() -> None:
    data = dataset(np.zeros(10, dtype=int))
    split = make_split(data, test=0, validation=0)
    assert [len(subsample(split, data, fraction=each).train) for each in (0.25, 0.24, 0.35)] == [3, 2, 4]


def test_a_group_belongs_to_its_most_common_class_and_of_equals_to_the_first() -> None:
    majority, sizes = _group_strata(np.array([0, 0, 1, 2, 1, 1, 2, 1]), np.array([0, 0, 0, 1, 1, 1, 2, 2]))
    assert majority.tolist() == [0, 1, 1] and sizes.tolist() == [3, 3, 2]


@pytest.mark.parametrize(
    ("majority", "sizes", "expected"),
    [
        ([0, 0, 0, 0], [1, 1, 4, 2], [4, 4]),  # largest first: 4 against 2 + 1 + 1
        ([0, 0, 1], [5, 1, 3], [5, 4]),  # the second class goes where there are fewer rows
        ([0, 1, 1], [9, 1, 1], [10, 1]),  # but each class is balanced first
        ([0, 0, 0, 1], [3, 2, 1, 1], [4, 3]),  # all rows of a fold count, not those of its last group
    ],
)
def test_groups_are_dealt_to_balance_their_class_then_all(
    majority: list[int], sizes: list[int], expected: list[int]
) -> None:
    for seed in range(4):
        fold = _folds_of_groups(np.array(majority), np.array(sizes), 2, np.random.default_rng(seed))
        assert np.bincount(fold, weights=sizes).tolist() == expected


def test_shots_need_one_label_per_image() -> None:
    labels = np.ones((6, 2), dtype=bool)
    split = make_split(dataset(labels), test=0, validation=0)
    with pytest.raises(DataError, match="shots need one label per image"):
        subsample(split, labels, shots=1)


def test_the_only_image_of_a_class_stays_in_training() -> None:
    data = dataset([0] * 20 + [1, 2, 3, 4, 5])
    split = make_split(data, test=0.4, validation=0.4)
    assert data.counts(split.train).min() == 1 and not data.counts(split.test)[1:].any()
    assert len(split.test) == 9  # 8 of the large class, and one of the two that the others cannot give


def test_labels_of_one_class_are_enough_for_shots() -> None:
    labels = np.zeros(6, dtype=np.int64)
    split = make_split(dataset(labels), test=0, validation=0)
    assert len(subsample(split, labels, shots=2).train) == 2


def test_several_classes_short_of_images_are_counted_with_the_most_that_is_possible() -> None:
    data = dataset([0] * 9 + [1] * 3 + [2] * 2)
    split = make_split(data, test=0, validation=0)
    with pytest.raises(DataError, match=r"\(2 classes are short of images\); ask for at most 2 shots"):
        subsample(split, data, shots=5)
    empty = dataset([0, 0], names=("c0", "c1"))
    with pytest.raises(DataError, match="class 'c1' has 0 training images"):
        subsample(make_split(empty, test=0, validation=0), empty, shots=1)


def test_five_classes_without_images_are_named_and_more_are_cut() -> None:
    for count, shown in ((5, "5 of 6"), (6, "6 of 7")):
        data = dataset([0, 0], names=tuple(f"c{index}" for index in range(count + 1)))
        more = ", …" if count == 6 else ""
        notes = make_split(data, test=0, validation=0).notes  # nothing about the parts that are meant to be empty
        assert notes == (f"{shown} classes have no training image: 'c1', 'c2', 'c3', 'c4', 'c5'{more}",)


def test_a_split_with_every_group_in_test_has_no_training_image() -> None:
    with pytest.raises(DataError, match="no image is left for training"):
        make_split(dataset([0, 1], ["test", "test"], ["a", "b"]))


def test_a_seed_draws_the_same_rows_in_every_version() -> None:
    # stored results are keyed by the seed: other rows under the same seed would mix two splits
    split = make_split(dataset(LABELS))
    assert split.test[:6].tolist() == [1, 22, 27, 34, 38, 46]
    assert split.validation[:6].tolist() == [14, 15, 24, 28, 29, 30]
    assert subsample(split, LABELS, shots=2).train.tolist() == [6, 68, 101, 136, 156, 158]
    assert kfold(LABELS, 4)[:10].tolist() == [0, 3, 0, 2, 0, 2, 0, 1, 1, 1]
    groups = np.arange(160) // 4
    test = make_split(dataset(LABELS, groups=groups)).test
    assert sorted(set(groups[test].tolist())) == [1, 3, 8, 13, 22, 28, 29, 30]
    assert kfold(LABELS, 4, groups=groups)[::4][:12].tolist() == [2, 3, 0, 0, 1, 0, 2, 0, 1, 3, 2, 3]


def test_given_validation_rows_are_kept_where_the_fold_is_the_test_part() -> None:
    given = np.where(np.arange(160) % 4 == 0, "validation", "train")
    split = make_split(dataset(LABELS, given), folds=3, fold=1)
    np.testing.assert_array_equal(split.validation, np.flatnonzero(given == "validation"))
    assert (len(split.train), len(split.test)) == (80, 40)
    assert split.rule == "given; stratified; test is fold 1 of 3 (seed 0)"


def test_the_rule_says_that_groups_stay_together_and_which_seed_drew_what_share() -> None:
    split = make_split(dataset([0, 1] * 12, groups=np.repeat(np.arange(12), 2)), test=1 / 3, test_seed=4, seed=5)
    assert split.rule == "stratified by group; test 33 % (seed 4); validation 20 % of the rest (seed 5)"


def test_the_rule_of_a_fold_of_validation_says_so() -> None:
    given = np.where(np.arange(160) % 4 == 0, "test", "train")
    assert make_split(dataset(LABELS, given), folds=3, fold=0).rule == (
        "given; stratified; validation is fold 0 of 3 (seed 0)"
    )


def test_a_class_of_two_images_gives_one() -> None:
    data = dataset([0, 0, 1, 1])
    assert data.counts(make_split(data, test=0.5, validation=0).test).tolist() == [1, 1]
    data = dataset([0, 0, 1, 1, 1])  # shares 0.8 and 1.2 of two
    assert data.counts(make_split(data, test=0.4, validation=0).test).tolist() == [1, 1]


def test_messages_about_shots_name_one_class_or_the_number() -> None:
    data = dataset([0] * 9 + [1] * 3)
    split = make_split(data, test=0, validation=0)
    with pytest.raises(DataError) as caught:
        subsample(split, data, shots=5)
    assert str(caught.value) == (
        "class 'c1' has 3 training images, too few for 5 shots; ask for at most 3 shots or leave the class out"
    )
    with pytest.raises(DataError, match=r"^shots must be at least 1, not 0$"):
        subsample(split, data, shots=0)


def test_notes_name_the_part_that_lacks_a_class() -> None:
    split = make_split(dataset([0, 1, 0, 1], ["train", "train", "validation", "test"]))
    assert split.notes == (
        "1 of 2 classes have no validation image: 'c1'",
        "1 of 2 classes have no test image: 'c0'",
    )

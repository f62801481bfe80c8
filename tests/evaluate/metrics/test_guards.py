from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evaluate.metrics.guards import check_classes, check_not_itself, check_runs_differ
from headstart.evaluate.metrics.metrics import evaluate


def test_unknown_classes_are_named_and_a_new_head_is_offered() -> None:
    with pytest.raises(DataError) as caught:
        check_classes(["cat", "dog"], ["cat", "heron", "wren"])
    message = str(caught.value)
    assert "2 of the dataset's 3 classes are unknown to it ('heron', 'wren')" in message
    assert "new head" in message


def test_a_long_list_of_unknown_classes_is_cut_short() -> None:
    with pytest.raises(DataError, match="195 more"):
        check_classes(["cat"], [f"bird {i}" for i in range(200)])


def test_shared_classes_map_to_the_columns_of_the_model() -> None:
    assert check_classes(["dog", "cat", "cow"], ["cat", "dog"]).tolist() == [1, 0]


def test_labels_are_not_scored_against_themselves() -> None:
    labels = np.array([[True, False], [False, True]])
    with pytest.raises(DataError, match="themselves"):
        check_not_itself(labels, labels)
    with pytest.raises(DataError, match="themselves"):
        check_not_itself(labels, labels[:])


def test_equal_values_in_two_arrays_are_two_things() -> None:
    check_not_itself(np.array([0.5, 0.5]), np.array([0.5, 0.5]))


def test_one_run_under_two_names_is_refused() -> None:
    correct = np.ones((2, 5), dtype=bool)
    with pytest.raises(DataError, match="'a' and 'b' are the same run"):
        check_runs_differ({"a": correct, "b": correct})


def test_evaluate_refuses_a_model_of_other_classes() -> None:
    with pytest.raises(DataError, match="unknown to it"):
        evaluate(np.array([0]), np.array([[0.5, 0.5]]), ["wren", "heron"], train_classes=["cat", "dog"])

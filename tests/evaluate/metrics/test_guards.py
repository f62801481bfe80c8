from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evaluate.metrics.guards import check_classes, check_not_itself, check_runs_differ, listed_names
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
    assert listed_names("abcdef") == "'a', 'b', 'c', 'd', 'e', … 1 more"
    assert listed_names("abcde") == "'a', 'b', 'c', 'd', 'e'"


def test_shared_classes_map_to_the_columns_of_the_model() -> None:
    assert check_classes(["dog", "cat", "cow"], ["cat", "dog"]).tolist() == [1, 0]


def test_labels_are_not_scored_against_themselves() -> None:
    labels = np.array([[True, False], [False, True]])
    with pytest.raises(DataError, match="both sides are the same"):
        check_not_itself(labels, labels)
    with pytest.raises(DataError, match="both sides are the same"):
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


def test_the_refusal_of_unknown_classes_counts_what_is_shared() -> None:
    with pytest.raises(DataError) as caught:
        check_classes(["cat", "dog"], ["cat", "heron", "wren"])
    assert str(caught.value) == (
        "the model cannot be scored here: 2 of the dataset's 3 classes are unknown to it ('heron', 'wren'); it knows 2"
        " ('cat', 'dog'), 1 of them shared. Train a new head on this dataset (strategy: linear_probe, or prototypes"
        " when there are few labels), or leave those classes out"
    )


@pytest.mark.parametrize(("what", "named"), [({}, "predictions"), ({"what": "labels"}, "labels")])
def test_the_refusal_of_a_thing_against_itself_names_it(what: dict[str, str], named: str) -> None:
    same = [1, 2]
    with pytest.raises(DataError) as caught:
        check_not_itself(same, same, **what)
    assert str(caught.value) == f"both sides are the same {named}; pass the other side's own values"


def test_other_things_are_not_taken_for_the_same() -> None:
    scores = np.arange(6.0).reshape(2, 3)
    for other in (scores.copy(), scores.tolist(), scores[:1], scores.T):
        check_not_itself(scores, other)
        check_not_itself(other, scores)
    check_not_itself([1], [1])
    check_not_itself(np.zeros(0), np.zeros(0))


def test_runs_of_equal_values_or_of_parts_of_one_array_are_compared_and_views_are_not() -> None:
    table = np.ones((4, 5), dtype=bool)
    check_runs_differ({"a": table[:2], "b": table[2:], "c": table[:2].copy(), "d": table[:3]})
    check_runs_differ({"a": np.zeros((1, 0)), "b": np.zeros((1, 0))})
    with pytest.raises(DataError, match=r"^'b' and 'c' are the same run; give two different runs$"):
        check_runs_differ({"c": table, "a": table.copy(), "b": table[:]})

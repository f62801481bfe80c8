"""What a head is fitted to, and the values of its options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.errors import SpecError
from headstart.transfer.heads.feature_rows import Dense, Workspace
from headstart.transfer.heads.problem import Problem, listed, logits_of, numbers


def problem(labels: np.ndarray, validation: int = 2) -> Problem:
    features = np.arange(24, dtype=np.float32).reshape(6, 4)
    rows = np.arange(6)
    workspace = Workspace(features, torch.device("cpu"))
    return Problem(workspace, labels, rows[: 6 - validation], rows[6 - validation :], 3)


def test_targets_are_one_hot_or_the_labels_themselves() -> None:
    one = problem(np.array([0, 1, 2, 0, 1, 2]))
    assert one.targets_of(np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]] and not one.multi_label
    several = problem(np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]])
    assert several.targets_of(np.array([1])).tolist() == [[0, 1, 0]] and several.multi_label


def test_validation_rows_are_prepared_with_the_statistics_of_the_training_rows() -> None:
    one = problem(np.array([0, 1, 2, 0, 1, 2]))
    held = one.validation_rows(one.transform("centre"))
    assert held is not None
    (_, block), *_ = held.blocks()
    assert block.tolist() == [[10.0] * 4, [14.0] * 4]  # rows 4 and 5 less the mean of rows 0 to 3
    assert problem(np.zeros(6, np.int64), 0).validation_rows(one.transform("centre")) is None


def test_a_value_is_a_list_of_one_and_repeats_count_once() -> None:
    assert listed(3) == [3] and listed((1, 2)) == [1, 2] and listed(np.array([4.0])) == [4.0] and listed("l2") == ["l2"]
    assert numbers("ridge", "penalty", [1, 0.5, 1.0]) == [1.0, 0.5]
    assert numbers("sgd", "momentum", 0, equal=True) == [0.0]


@pytest.mark.parametrize("value", [0, -1, "a", True, None, float("nan"), float("inf"), [1, 0]])
def test_numbers_that_cannot_be_are_refused(value: object) -> None:
    with pytest.raises(SpecError, match=r"ridge: penalty = .* must be a finite number above 0"):
        numbers("ridge", "penalty", value)


def test_an_empty_list_and_a_bound_are_named() -> None:
    with pytest.raises(SpecError, match="knn: k is an empty list; give at least one value"):
        numbers("knn", "k", [])
    with pytest.raises(SpecError, match=r"knn: k = 0\.5 must be a finite number at least 1"):
        numbers("knn", "k", 0.5, above=1.0, equal=True)


def test_logits_are_the_product_with_the_weights_and_the_intercepts() -> None:
    rows, weight, bias = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)
    torch.testing.assert_close(logits_of(Dense(rows), weight, bias), rows @ weight + bias)

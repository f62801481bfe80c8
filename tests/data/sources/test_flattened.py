"""Tables whose rows are images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

from headstart.data.sources.flattened import Flattening, flattening_of, is_table
from headstart.errors import ArgumentError


def test_the_lowest_and_highest_training_number_become_black_and_white() -> None:
    table = np.array([[0.0, 4.0, 8.0, 16.0]])
    learned = flattening_of(table)
    assert learned == Flattening((2, 2), (0.0, 16.0))
    found = learned.images(np.array([[-3.0, 16.0, 99.0, 0.0]]))
    assert found.dtype == np.uint8 and found.tolist() == [[[0, 255], [255, 0]]]


def test_bytes_keep_their_values_whatever_the_training_rows_contain() -> None:
    table = np.array([[10, 20, 30, 40]], dtype=np.uint8)
    assert flattening_of(table).ends == (0.0, 255.0)
    assert flattening_of(table).images(table).tolist() == [[[10, 20], [30, 40]]]


def test_a_row_that_is_not_square_is_padded_with_black_and_a_warning() -> None:
    table = np.full((1, 5), 9, dtype=np.uint8)
    with pytest.warns(UserWarning, match="rows of 5 numbers are not square images; they are padded to 3 × 3"):
        learned = flattening_of(table)
    assert learned.images(table).tolist() == [[[9, 9, 9], [9, 9, 0], [0, 0, 0]]]


def test_a_given_shape_is_used_if_the_numbers_fit() -> None:
    table = np.arange(6, dtype=np.uint8)[None]
    assert flattening_of(table, (2, 3)).images(table).tolist() == [[[0, 1, 2], [3, 4, 5]]]
    with pytest.raises(ArgumentError, match=r"image_shape \(2, 2\) has 4 numbers, but a row has 6"):
        flattening_of(table, (2, 2))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((3, 4)), True),
        (np.zeros(4), True),
        (np.zeros((3, 4, 4)), False),
        (torch.zeros(3, 4), True),
        (torch.zeros(3, 4, 4), False),
        (np.array([["a"], ["b"]], dtype=object), False),
        (np.array([["a", "b"]], dtype=object), True),
        (np.array(["a", "b"]), False),
        ([[1, 2], [3, 4]], True),
        ([np.zeros(4), np.zeros(4)], True),
        ([np.zeros((4, 4))], False),
        ([1, 2.5], True),
        (["a.png"], False),
        ([[1], "a.png"], False),
        ([], False),
        ([["a"]], False),
        (scipy.sparse.eye(3), True),
        (pandas.DataFrame({"a": [1.0]}), True),
        (pandas.DataFrame({"a": [1, None]}, dtype="Int64"), True),
        (pandas.DataFrame({"path": ["x"]}), False),
        (pandas.DataFrame({"path": ["x"]}, dtype=object), False),
        (pandas.DataFrame({"path": ["x"]}, dtype="category"), False),
        (pandas.DataFrame({"path": ["x"], "label": ["y"]}), True),
        ("a.png", False),
    ],
)
def test_tables_are_recognised(images: Any, expected: bool) -> None:
    assert is_table(images) is expected

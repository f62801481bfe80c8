"""That annotated shapes are enforced, in the first calls of each test."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import shapes
from jaxtyping import Float, TypeCheckError, jaxtyped

from headstart.models.heads import LinearHead


def first_rows(matrix: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "1 d"]:
    return matrix[:1]


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = jaxtyped(first_rows, typechecker=shapes.checked)
    monkeypatch.setattr(sys.modules[__name__], "first_rows", made)
    return made


def test_the_first_calls_are_checked_and_those_of_the_next_test_again(function: Any) -> None:
    good, bad = np.zeros((3, 2)), np.zeros(3)
    for _ in range(2):
        shapes.begin()
        for _ in range(shapes.CALLS - 1):
            assert function(good).shape == (1, 2)
        with pytest.raises(TypeCheckError):
            function(bad)
        function(good)
        function(bad)  # no more


class Rows:
    @classmethod
    def first(cls, matrix: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "1 d"]:
        return matrix[:1]


def test_class_methods_are_called_alone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "first", jaxtyped(Rows.__dict__["first"], typechecker=shapes.checked))
    shapes.begin()
    for _ in range(shapes.CALLS):
        assert Rows.first(np.zeros((3, 2))).shape == (1, 2)
    with pytest.raises(IndexError):
        Rows.first(np.zeros(()))  # numpy's own error: the shape is not checked any more
    shapes.begin()
    with pytest.raises(TypeCheckError):
        Rows.first(np.zeros(()))


def test_a_function_that_is_called_while_its_check_is_made_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def making(function: Any) -> Any:
        found.append(call(np.zeros((3, 2))))  # as an import does that needs the function to find the module
        return lambda *given: "checked"

    monkeypatch.setattr(shapes, "beartype", making)
    shapes.begin()
    call = shapes.checked(lambda matrix: len(matrix))
    assert (call(np.zeros((4, 2))), found) == ("checked", [3])


def test_the_product_is_checked() -> None:
    head: Any = LinearHead(4, 3)
    assert isinstance(sys.modules["headstart.models.heads"], ModuleType)
    with pytest.raises(TypeCheckError):
        head("not a tensor")

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.typed import typed


@dataclass
class Options:
    steps: int = 1
    lr: float = 1.0
    flip: bool = True
    stage: str = "x"


def test_values_of_the_right_type_are_taken() -> None:
    found = typed(Options, {"steps": 3.0, "lr": 2, "flip": False, "stage": "y"}, "recipe")
    assert found == {"steps": 3, "lr": 2.0, "flip": False, "stage": "y"}
    assert [type(value) for value in found.values()] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        *(("steps", value, "a whole number") for value in (None, "3", [], True, 2.5, math.nan, math.inf)),
        *(("lr", value, "a number") for value in (None, "fast", {}, False, math.inf)),
        *(("flip", value, "true or false") for value in (None, 0, "yes")),
        ("stage", 3, "a word"),
    ],
)
def test_a_value_of_another_type_is_named(key: str, value: Any, says: str) -> None:
    with pytest.raises(SpecError, match=rf"recipe\.{key} must be {says}, not "):
        typed(Options, {key: value}, "recipe")

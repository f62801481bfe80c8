from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.study.spec.schema import RunSpec
from headstart.study.spec.validation import validate


def test_the_line_of_the_key_is_named() -> None:
    lines: dict[tuple[str | int, ...], int] = {(): 1, ("runs", "a"): 4, ("runs", "a", "strategy"): 5}
    for value, line in (({"strategy": "x"}, 5), ({"backbon": "x"}, 4)):
        with pytest.raises(SpecError, match=f"^f, line {line}: "):
            validate(RunSpec, value, name="f", at=("runs", "a"), lines=lines)


def test_a_misspelt_key_is_reported_before_a_wrong_value() -> None:
    with pytest.raises(SpecError, match=r"^f: unknown key 'backbon'; did you mean 'backbone'"):
        validate(RunSpec, {"fraction": 7, "backbon": "x"}, name="f", at=(), lines={})

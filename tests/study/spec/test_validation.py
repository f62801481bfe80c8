from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.study.spec.schema import RunSpec, StudySpec
from headstart.study.spec.validation import validate


def test_the_line_of_the_key_is_named() -> None:
    lines: dict[tuple[str | int, ...], int] = {(): 1, ("runs", "a"): 4, ("runs", "a", "strategy"): 5}
    for value, line in (({"strategy": "x"}, 5), ({"backbon": "x"}, 4)):
        with pytest.raises(SpecError, match=f"^f, line {line}: "):
            validate(RunSpec, value, name="f", at=("runs", "a"), lines=lines)


def test_a_misspelt_key_is_reported_before_a_wrong_value() -> None:
    with pytest.raises(SpecError, match=r"^f: unknown key 'backbon'; did you mean 'backbone'"):
        validate(RunSpec, {"fraction": 7, "backbon": "x"}, name="f", at=(), lines={})


@pytest.mark.parametrize(
    ("costs", "place"), [([[0, 1], [1, 0]], "costs"), ({"confusions": {"a": 3}}, "costs.confusions.a")]
)
def test_a_value_without_keys_is_refused_in_words_of_the_file(costs: object, place: str) -> None:
    study = {"name": "s", "data": "photos", "runs": {"a": {"strategy": "ridge"}}, "costs": costs}
    with pytest.raises(SpecError, match=rf"^f: {place}: expected keys with values, 'key: value', not (\[\[0|3)"):
        validate(StudySpec, study, name="f", at=(), lines={})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"networks": []}, "networks: List should have at least 1 item, not 0"),
        ({"networks": 3}, "networks: expected text or a list, such as [a, b], not 3"),
        ({"networks": [1]}, "networks.0: expected text, not 1"),
        ({"seeds": [0, "a"]}, "seeds.1: expected a whole number, not 'a'"),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0"),
        ({"seeds": 0}, "seeds: Input should be greater than or equal to 1"),
        ({"audit": "x"}, "audit: expected true or false, not 'x'"),
        ({"audit": "x", "networks": [1]}, "networks.0: expected text, not 1"),
    ],
)
def test_of_a_value_of_several_types_the_mistake_is_that_of_the_nearest(settings: dict[str, object], says: str) -> None:
    study = {"name": "s", "data": "photos", "runs": {"a": {"strategy": "ridge"}}, **settings}
    with pytest.raises(SpecError) as refused:
        validate(StudySpec, study, name="f", at=(), lines={})
    assert str(refused.value) == f"f: {says}"

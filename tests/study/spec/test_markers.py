from __future__ import annotations

from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.markers import choices_of, find_markers, merged
from headstart.study.spec.run import Choice


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2, "z": 2}}, {"a": {"x": 1, "y": 2, "z": 2}}),
        ({"a": {"x": {"p": 1, "q": 1}}}, {"a": {"x": {"q": 2}}}, {"a": {"x": {"p": 1, "q": 2}}}),
        ({"weights": {"path": "f"}}, {"weights": {"run": "b"}}, {"weights": {"run": "b"}}),
        ({"lr": {"grid": [1]}}, {"lr": {"search": [1, 2]}}, {"lr": {"search": [1, 2]}}),
        ({"lr": {"grid": [1]}}, {"lr": {"low": 1}}, {"lr": {"low": 1}}),
        ({"a": {"x": 1}}, {"a": {"each": [1]}}, {"a": {"each": [1]}}),
        ({"a": {"x": 1}}, {"a": {"grid": 1, "y": 2}}, {"a": {"x": 1, "grid": 1, "y": 2}}),
        ({"a": 1}, {"a": {"x": 2}, "b": 3}, {"a": {"x": 2}, "b": 3}),
    ],
)
def test_mappings_merge_and_all_else_replaces(base: Any, over: Any, result: Any) -> None:
    before = str(base)
    assert merged(base, over) == result
    assert str(base) == before


def test_markers_of_one_kind_are_found_in_the_order_of_the_file() -> None:
    raw = {"b": {"each": [1]}, "r": {"lr": {"grid": [2, 3]}, "deep": {"m": {"each": ["x", "y"]}}}, "l": [{"each": [9]}]}
    assert list(find_markers(raw, "each", "a", "f")) == [(("b",), [1]), (("r", "deep", "m"), ["x", "y"])]
    assert list(find_markers(raw, "grid", "a", "f")) == [(("r", "lr"), [2, 3])]


@pytest.mark.parametrize("values", [[], 3, None, {"x": 1}])
def test_a_marker_needs_values(values: Any) -> None:
    with pytest.raises(SpecError, match=r"^f: run 'a': r\.lr: grid needs a list with at least one value$"):
        list(find_markers({"r": {"lr": {"grid": values}}}, "grid", "a", "f"))


def test_choices_leave_their_first_candidate_in_the_settings() -> None:
    single: dict[str, Any] = {
        "head": {"C": {"grid": [5, 6]}},
        "recipe": {
            "lr": {"search": [0.1, 1]},
            "epochs": {"search": {"low": 2, "high": 8, "step": 2}},
            "optimizer": {"search": {"choices": ["sgd", "adam"]}},
        },
    }
    assert choices_of(single, "a", "f") == (
        Choice(("head", "C"), (5, 6)),
        Choice(("recipe", "lr"), (), {"low": 0.1, "high": 1}),
        Choice(("recipe", "epochs"), (), {"low": 2, "high": 8, "step": 2}),
        Choice(("recipe", "optimizer"), (), {"choices": ["sgd", "adam"]}),
    )
    assert single == {"head": {"C": 5}, "recipe": {"lr": 0.1, "epochs": 2, "optimizer": "sgd"}}


@pytest.mark.parametrize(
    "search",
    [
        [-1, 0],
        {"low": -1, "high": 1, "log": False},
        {"low": 1, "high": 5, "step": 4},
        {"low": 0.001, "high": 1, "log": True},
        {"choices": [1]},
    ],
)
def test_ranges_at_their_bounds_are_accepted(search: Any) -> None:
    assert len(choices_of({"lr": {"search": search}}, "a", "f")) == 1


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ([1, 2, 3], r"a search is \[low, high\]"),
        ("low", r"a search is \[low, high\]"),
        ([1, 1], "got low 1, high 1$"),
        ([True, 2], "both numbers"),
        ([1, float("nan")], "both numbers"),
        ({"low": 1}, "got low 1, high None"),
        ({"high": 1}, "got low None, high 1"),
        ({"low": 0, "high": 1, "log": True}, "a log range needs low > 0, got 0$"),
        ({"low": -1, "high": 1, "log": True}, "got -1$"),
        ({"low": 1, "high": 5, "step": 4.5}, "step must be above 0 and at most 4, got 4.5$"),
        ({"low": 1, "high": 5, "step": 0}, "got 0$"),
        ({"low": 1, "high": 5, "step": True}, "got True$"),
        ({"low": 1, "high": 5, "lgo": True}, "unknown key 'lgo'; did you mean 'low'"),
        ({"choices": "ab"}, "choices needs a list with at least one value"),
        ({"choices": []}, "choices needs a list with at least one value"),
    ],
)
def test_an_impossible_range_is_refused_with_its_place(search: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        choices_of({"recipe": {"lr": {"search": search}}}, "a", "f")
    assert str(caught.value).startswith("f: run 'a': recipe.lr: ")

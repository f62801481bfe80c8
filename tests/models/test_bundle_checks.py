"""What a bundle may say, however well it is sealed."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from headstart.errors import ModelError
from headstart.models.bundle_checks import (
    MAX_CLASSES,
    MAX_SIDE,
    check_description,
    check_features,
    check_finite,
    check_head,
    check_preprocessing,
)
from headstart.models.heads import LinearHead, NearestNeighbourHead, select_classes

GOOD: dict[str, Any] = {
    "origin": {"name": "lenet5", "truncate_at": None, "input_size": None, "weights": None, "seed": 0, "sha256": None},
    "head": {"kind": "linear"},
    "preprocessing": {"size": 32, "resize": 36, "interpolation": "bicubic", "mean": [0, 0, 0], "std": [1, 1, 1]},
    "classes": ["a", "b"],
    "multi_label": False,
    "tta": "none",
    "temperature": 1.0,
    "threshold": 0.5,
    "provenance": {},
}
BAD = (None, 3, "x", [], {}, True, -1, 10**30, math.nan, math.inf)


def test_a_sound_description_is_accepted() -> None:
    check_description(GOOD)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("classes",), [], "classes must be a list of names"),
        (("classes",), ["a", 3], "classes must be a list of names"),
        (("classes",), ["a", "a"], "two classes have the same name"),
        (("temperature",), math.nan, "temperature must be a finite number, not nan"),
        (("multi_label",), 1, "multi_label must be a bool, not 1"),
        (("origin", "seed"), -1, "origin.seed cannot be -1"),
        (("origin", "input_size"), MAX_SIDE + 1, f"origin.input_size must be between 1 and {MAX_SIDE}"),
        (("origin", "more"), 1, "unknown key 'more'"),
        (("preprocessing", "std"), [1, 0, 1], "preprocessing.std must be a finite number above 0, not 0"),
        (("preprocessing", "mean"), [1, 2], "preprocessing.mean must be three numbers"),
        (("preprocessing", "resize"), 0, "preprocessing.resize must be between 1 and"),
        (("preprocessing", "interpolation"), "x", "interpolation cannot be 'x'"),
    ],
)
def test_what_cannot_be_is_named(path: tuple[str, ...], value: Any, says: str) -> None:
    changed = copy.deepcopy(GOOD)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ModelError, match=says):
        check_description(changed)


@pytest.mark.parametrize("key", GOOD)
def test_a_value_of_any_type_is_accepted_or_refused(key: str) -> None:
    refused = 0
    for value in BAD:
        try:
            check_description({**GOOD, key: value})
        except ModelError:
            refused += 1
    assert refused >= 5
    with pytest.raises(ModelError):
        check_description({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("part", ["origin", "preprocessing"])
def test_a_part_of_any_type_is_accepted_or_refused(part: str) -> None:
    for key in GOOD[part]:
        refused = 0
        for value in BAD:
            try:
                check_description({**GOOD, part: {**GOOD[part], key: value}})
            except ModelError:
                refused += 1
        assert refused >= 6, key
    with pytest.raises(ModelError, match="must have size"):
        check_preprocessing(3)


HEADS = {
    "linear": LinearHead(4, 3, centred=True, scaled=True),
    "neighbours": NearestNeighbourHead(4, 3, 6),
    "several labels": NearestNeighbourHead(4, 3, 6, multi_label=True),
    "selected": select_classes(LinearHead(4, 3), [2, 0]),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_and_its_tensors_fit(name: str) -> None:
    head = HEADS[name]
    config, tensors = head.config(), head.state_dict()
    check_head(config, tensors, multi_label=head.multi_label)
    check_features(4, config)
    with pytest.raises(ModelError, match="gives 5 features and its head expects 4"):
        check_features(5, config)
    with pytest.raises(ModelError, match="another kind of labels"):
        check_head(config, tensors, multi_label=not head.multi_label)
    for key, value in tensors.items():
        with pytest.raises(ModelError, match=r"must be \[.*\], not absent"):
            check_head(config, {k: v for k, v in tensors.items() if k != key}, multi_label=head.multi_label)
        with pytest.raises(ModelError, match=r"must be \[.*\], not \[1"):
            check_head(config, {**tensors, key: value[None]}, multi_label=head.multi_label)
        if value.is_floating_point():
            with pytest.raises(ModelError, match="not finite"):
                check_head(config, {**tensors, key: torch.full_like(value, math.nan)}, multi_label=head.multi_label)


def test_a_head_is_not_allocated_from_what_it_says() -> None:
    config = {**HEADS["linear"].config(), "dim": 10**9, "classes": 10**9}
    with pytest.raises(ModelError, match="must be"):
        check_head(config, HEADS["linear"].state_dict(), multi_label=False)
    for value in (None, "4", 4.0, True, 0, -4):
        with pytest.raises(ModelError, match="must be a whole number above 0"):
            check_head({**HEADS["linear"].config(), "dim": value}, {}, multi_label=False)


def test_flags_and_counts_of_a_head_are_of_their_types() -> None:
    for name, key, value in (("linear", "l2", 1), ("neighbours", "k", True), ("neighbours", "scaled", None)):
        head = HEADS[name]
        with pytest.raises(ModelError, match=f"the head's {key} must be"):
            check_head({**head.config(), key: value}, head.state_dict(), multi_label=False)


def test_labels_beyond_the_classes_are_refused() -> None:
    head = HEADS["neighbours"]
    for labels in (torch.full((6,), 3), torch.full((6,), -1), torch.zeros(6)):
        with pytest.raises(ModelError, match="bank_labels name classes that it does not have"):
            check_head(head.config(), {**head.state_dict(), "bank_labels": labels}, multi_label=False)


def test_a_selection_is_of_whole_columns_of_a_plain_head() -> None:
    config, tensors = HEADS["selected"].config(), HEADS["selected"].state_dict()
    with pytest.raises(ModelError, match="columns must be whole numbers"):
        check_head({**config, "columns": ["a"]}, tensors, multi_label=False)
    with pytest.raises(ModelError, match="nested class selections are not supported"):
        check_head({**config, "head": config}, tensors, multi_label=False)
    with pytest.raises(ModelError, match="unknown kind of head 'x'"):
        check_head({**HEADS["linear"].config(), "kind": "x"}, {}, multi_label=False)


def test_numbers_that_are_not_finite_or_real_are_refused() -> None:
    check_finite({"a": torch.zeros(2), "b": torch.tensor([1])})
    with pytest.raises(ModelError, match="whose a holds numbers that are not finite"):
        check_finite({"a": torch.tensor([math.inf])}, "whose ")
    with pytest.raises(ModelError, match="complex"):
        check_finite({"a": torch.zeros(1, dtype=torch.complex64)})
    assert MAX_CLASSES >= 100_000


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    given = {"size": 8, "resize": 8, "interpolation": "bicubic", "mean": [10**400, 0, 0], "std": [1, 1, 1]}
    with pytest.raises(ModelError, match=r"preprocessing\.mean must be a finite number"):
        check_preprocessing(given)

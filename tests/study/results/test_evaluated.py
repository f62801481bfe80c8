from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.study.results import tested
from headstart.study.results.evaluated import Evaluated, evaluation_folder, own_change, undecodable

HERE = {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.96, "n": 50}}
THERE = {"accuracy": {"value": 0.8, "low": 0.6, "high": 0.9, "n": 20}}


def own(*test: str) -> tested.Tested:
    return tested.Tested("ridge", Path("r"), "flowers", "accuracy", THERE, frozenset(), frozenset(test))


def scored(*digests: str) -> Any:
    return SimpleNamespace(digests=np.array([each.encode() for each in digests]))


def test_the_same_images_have_the_same_folder() -> None:
    images: Any = SimpleNamespace(name="my photos", fingerprint="0123456789abcdef")
    assert evaluation_folder("out", images) == Path("out") / "evaluate-my-photos-012345"


def test_images_that_cannot_be_decoded_are_counted_and_named_in_order() -> None:
    images: Any = SimpleNamespace(reader=SimpleNamespace(name=lambda row: f"{row}.png"))
    assert undecodable(images, {7, 3}) == "left out: 2 images that cannot be decoded: '3.png', '7.png'"
    assert undecodable(images, ()) == ""


def test_the_difference_of_two_samples_is_that_of_their_intervals() -> None:
    change, shared = own_change(HERE, own("x"), "accuracy", scored("a", "b"), np.arange(2))
    assert shared == 0 and change is not None  # Newcombe's method 10, by hand
    assert change.value == pytest.approx(0.1)
    assert change.low == pytest.approx(0.1 - np.hypot(0.1, 0.1)) and change.high == pytest.approx(
        0.1 + np.hypot(0.06, 0.2)
    )
    found = Evaluated("a", HERE, own("x"), change).beside_own("accuracy")
    study = {"run": "ridge", "dataset": "flowers", "refitted": False, "value": 0.8, "n": 20}
    assert found == {"model": "a", "value": 0.9, "n": 50, "own": study, "shared": 0, "change": list(change)}


def test_images_that_are_its_own_are_counted_among_the_scored_ones_and_leave_no_difference() -> None:
    assert own_change(HERE, own("a", "b"), "accuracy", scored("a", "b", "c"), np.array([1, 2])) == (None, 1)


def test_without_a_study_there_is_nothing_beside() -> None:
    assert own_change(HERE, None, "accuracy", scored("a"), np.arange(1)) == (None, 0)
    assert Evaluated("a", HERE, None, None).beside_own("accuracy")["own"] is None

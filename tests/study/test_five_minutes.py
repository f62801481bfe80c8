"""The measures of benchmarks/five_minutes.py, which loads its parts from its own folder."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("five_minutes")


@pytest.fixture
def parts(five: ModuleType) -> ModuleType:
    return sys.modules["five_minutes_record"]


def record(parts: ModuleType, names: list[str], probabilities: list[list[float]]) -> object:
    return parts.Record(tuple(names), ("b", "a"), np.array(probabilities), "a network", 4.0, 10)


def test_probabilities_are_judged_by_name_and_class_in_whatever_order_they_come(
    five: ModuleType, parts: ModuleType
) -> None:
    held = record(parts, ["b/2.jpg", "a/1.jpg", "a/3.jpg"], [[0.8, 0.2], [0.5, 0.5], [0.0, 1.0]])
    found = five.judged(held, ["a/1.jpg", "a/3.jpg", "b/2.jpg"])
    assert found.correct.tolist() == [False, True, True]  # a tie goes to the first of the record's classes
    assert found.losses == pytest.approx([-math.log(0.5), 0.0, -math.log(0.8)])
    assert (found.seconds, found.size) == (4.0, 10)


def test_a_probability_of_zero_costs_the_log_of_ten_million(five: ModuleType, parts: ModuleType) -> None:
    found = five.judged(record(parts, ["a/1.jpg"], [[1.0, 0.0]]), ["a/1.jpg"])
    assert found.losses == pytest.approx([7 * math.log(10)])


@pytest.mark.parametrize(
    ("names", "probabilities"),
    [(["a/1.jpg"], [[0.5, 0.4]]), (["a/2.jpg"], [[0.5, 0.5]]), (["a/1.jpg"] * 2, [[1, 0]] * 2)],
)
def test_records_of_other_images_or_of_no_probabilities_are_refused(
    five: ModuleType, parts: ModuleType, names: list[str], probabilities: list[list[float]]
) -> None:
    with pytest.raises(ValueError, match=r"not the same|add up"):
        five.judged(record(parts, names, probabilities), ["a/1.jpg"])


def test_the_paired_interval_is_that_of_agresti_and_min(five: ModuleType) -> None:
    def of(right: list[int]) -> object:
        return five.Measured(np.array(right, bool), np.zeros(len(right)), 0.0, 0.0, 0)

    ours, peers = of([1] * 12 + [0] * 3 + [1] * 5), of([0] * 12 + [1] * 3 + [1] * 5)  # 12 and 3 of 20 differ
    b, c, n = 12.5, 3.5, 22.0
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert five.paired_accuracy([ours], [peers]) == pytest.approx((9 / 20, (b - c) / n - half, (b - c) / n + half))
    same = five.paired_accuracy([ours], [ours])
    assert same[0] == 0 and same[1] == pytest.approx(-same[2]) and same[2] == pytest.approx(1.959964 / 22)


def test_a_record_is_read_as_it_was_written(five: ModuleType, parts: ModuleType, tmp_path: Path) -> None:
    held = record(parts, ["a/1.jpg", "b/2.jpg"], [[0.25, 0.75], [1.0, 0.0]])
    parts.write_record(tmp_path / "one.npz", held)
    again = parts.read_record(tmp_path / "one.npz")
    assert (again.names, again.classes, again.chosen, again.seconds, again.size) == (
        held.names, held.classes, "a network", 4.0, 10,
    )  # fmt: skip
    assert again.probabilities.tolist() == [[0.25, 0.75], [1.0, 0.0]]


def test_two_thirds_of_what_is_drawn_are_learned_from_and_a_small_run_sees_no_test_image(
    five: ModuleType, parts: ModuleType, tmp_path: Path
) -> None:
    for name, count in (("a", 90), ("b", 30)):
        for number in range(count):
            path = tmp_path / "source" / name / f"{number}.JPG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(path, "JPEG")
    five.drawn(tmp_path / "source", tmp_path / "all", count=60)
    drawn = {part: set(map(parts.name_of, parts.images_in(tmp_path / "all" / part))) for part in ("train", "test")}
    assert [sum(name.startswith(c) for name in drawn[p]) for p in ("train", "test") for c in "ab"] == [30, 10, 15, 5]
    assert not drawn["train"] & drawn["test"]
    five.few(tmp_path / "all", tmp_path / "few")
    few = {part: set(map(parts.name_of, parts.images_in(tmp_path / "few" / part))) for part in ("train", "test")}
    assert few["train"] and few["train"] | few["test"] <= drawn["train"] and not few["train"] & few["test"]

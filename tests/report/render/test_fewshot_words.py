from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from headstart.report.render.fewshot_words import answer_words, telling_pairs


def row(method: str, shots: int, accuracy: float) -> Any:
    return SimpleNamespace(method=method, shots=shots, accuracy=accuracy, transductive=method in ("tim", "lp"))


def result(rows: list[Any], pairs: list[tuple[str, str]] = ()) -> Any:  # type: ignore[assignment]
    found = [SimpleNamespace(first=a, second=b, category="tied" if "t" in (a, b) else "better") for a, b in pairs]
    return SimpleNamespace(rows=rows, comparisons={1: found})


def test_the_answer_names_the_best_of_both_kinds_for_each_number_of_images() -> None:
    rows = [row("ridge", 5, 0.95), row("tim", 1, 0.917), row("knn", 1, 0.8), row("ridge", 1, 0.843), row("lp", 5, 0.9)]
    assert answer_words(result(rows)) == [
        "With 1 image of each class, tim (transductive) is the most accurate: 91.7 %; of those that judge each image by"
        " itself, ridge: 84.3 %.",
        "With 5 images of each class, ridge is the most accurate: 95.0 %; of transductive methods, lp: 90.0 %.",
    ]
    assert answer_words(result(rows[2:4])) == ["With 1 image of each class, ridge is the most accurate: 84.3 %."]
    assert answer_words(result(rows[2:3])) == ["With 1 image of each class, knn is right in 80.0 % of the cases."]


def test_the_pairs_are_those_of_the_best_with_the_next_ones() -> None:
    rows = [row("a", 1, 0.6), row("b", 1, 0.9), row("c", 1, 0.8), row("d", 1, 0.7)]
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    shown, left_out = telling_pairs(result(rows, pairs), 1, 2)
    assert [(pair.first, pair.second) for pair in shown] == [("b", "c"), ("b", "d")] and left_out == 4
    assert len(telling_pairs(result(rows, pairs), 1, 9)[0]) == 3 and telling_pairs(result(rows), 5, 2) == ([], 0)


def test_methods_that_may_be_as_good_as_the_best_are_named_with_it() -> None:
    rows = [row("a", 1, 0.6), row("b", 1, 0.9), row("t", 1, 0.89)]
    found = answer_words(result(rows, [("a", "b"), ("a", "t"), ("t", "b")]))
    assert found == ["With 1 image of each class, b is the most accurate: 90.0 % (t may be as good)."]

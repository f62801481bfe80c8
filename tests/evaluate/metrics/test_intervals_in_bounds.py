"""The interval of every metric contains its value and stays within its bounds, also where there is little to go by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from headstart.evaluate.metrics.metrics import evaluate

BOUNDS = {"mcc": (-1.0, 1.0), "log_loss": (0.0, math.inf), "brier": (0.0, 2.0)}  # all others: 0 to 1
KINDS = ("random", "sure and right", "sure and wrong", "half right", "uniform", "one class")


def estimates(found: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(found, list):
        found = {f"{name}[{place}]": each for place, each in enumerate(found)}
    if isinstance(found, dict):
        if {"value", "low", "high"} <= set(found):
            yield name, found
        else:
            for key, each in found.items():
                yield from estimates(each, key)


def in_bounds(found: dict[str, Any]) -> int:
    """Assert it of every estimate that is defined; return how many there are."""
    count = 0
    for name, each in estimates(found):
        least, most = BOUNDS.get(name, (0.0, 1.0))
        if each["value"] is not None:
            count += 1
            assert least <= each["low"] <= each["value"] + 1e-12 and each["value"] <= each["high"] + 1e-12, (name, each)
            assert each["high"] <= most, (name, each)
    return count


def predictions(kind: str, labels: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    n, wrong = len(labels), (labels + 1) % classes
    if kind in ("random", "one class"):
        return generator.dirichlet(np.ones(classes), n).astype(np.float32)
    if kind == "uniform":
        return np.full((n, classes), 1 / classes, np.float32)
    half = np.where(np.arange(n) % 2, labels, wrong)
    chosen = {"sure and right": labels, "sure and wrong": wrong, "half right": half}[kind]
    return np.eye(classes, dtype=np.float32)[chosen]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "classes"), [(1, 2), (2, 2), (2, 6), (5, 3), (30, 6)])
def test_of_one_label_per_image(kind: str, n: int, classes: int) -> None:
    generator = np.random.default_rng(n)
    labels = np.zeros(n, np.int64) if kind == "one class" else generator.integers(0, classes, n)
    chances = predictions(kind, labels, classes, generator)
    assert in_bounds(evaluate(labels, chances, tuple("abcdef"[:classes]), draws=40)) >= 12


@pytest.mark.parametrize("kind", ["random", "right", "wrong", "uniform", "no label"])
@pytest.mark.parametrize(("n", "classes"), [(1, 2), (2, 3), (30, 6)])
def test_of_several_labels_per_image(kind: str, n: int, classes: int) -> None:
    generator = np.random.default_rng(n)
    labels = generator.random((n, classes)) < (0.0 if kind == "no label" else 0.5)
    chances = {"right": labels * 1.0, "wrong": 1.0 - labels, "uniform": np.full((n, classes), 0.5)}
    found = chances.get(kind, generator.random((n, classes))).astype(np.float32)
    assert in_bounds(evaluate(labels, found, tuple("abcdef"[:classes]), draws=40)) >= 8

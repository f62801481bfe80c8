from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset, Split
from headstart.data.sources.in_memory import PictureReader
from headstart.errors import DataError, SpecError
from headstart.study.planning.checks import (
    check_batches,
    check_choosing,
    check_costs,
    check_evaluate_only,
    check_run,
    starts_fitted,
)
from headstart.study.spec.load import load_study
from headstart.study.spec.run import ResolvedStudy

GRID = {"recipe": {"epochs": 1, "lr": {"grid": [0.1, 0.2]}}}
RUNS: dict[str, Any] = {
    "source": {"strategy": "scratch"},
    "again": {"strategy": "as_is", "weights": {"run": "source"}, "data": "b"},
    "chained": {"strategy": "as_is", "weights": {"run": "again"}, "data": "c"},
}


def study(runs: dict[str, Any]) -> ResolvedStudy:
    return load_study({"name": "s", "data": "a", "runs": runs, "defaults": {"backbone": "lenet5", "weights": "none"}})


def run(settings: dict[str, Any]) -> Any:
    return study({"r": settings}).runs[0]


def dataset(*classes: str, multi: bool = False) -> Dataset:
    labels = np.arange(6) % len(classes)
    reader = PictureReader(np.zeros((6, 2, 2, 3), np.uint8))
    return Dataset("birds", reader, np.eye(len(classes), dtype=bool)[labels] if multi else labels, classes)


def split(train: int, validation: int) -> Split:
    rows = np.arange(train + validation + 2)
    return Split(rows[:train], rows[train : train + validation], rows[-2:], "by hand", 0)


def resources(parts: Split | None = None, **sets: Dataset) -> Any:
    known = {"a": dataset("x", "y"), **sets}
    return SimpleNamespace(
        dataset=lambda spec: known[spec.source],
        split=lambda data, seed, subset: parts,
        loaded=lambda network, seed: SimpleNamespace(backbone=None),
    )


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"birds: has only one class \(x\); a classifier needs two"):
        check_run(run({"strategy": "ridge"}), resources(a=dataset("x")))


@pytest.mark.parametrize(
    ("settings", "held", "says"),
    [
        ({"strategy": "ridge"}, 0, "run 'r': .*validation"),
        ({"strategy": "ridge", "head": {"penalty": 0.1}}, 0, None),
        ({"strategy": "ridge"}, 3, None),
        ({"strategy": "scratch", **GRID}, 0, "run 'r': has 2 configurations and no validation images to choose on"),
        ({"strategy": "scratch", **GRID}, 3, None),
        ({"strategy": "scratch"}, 0, None),
    ],
)
def test_a_choice_needs_validation_images(settings: dict[str, Any], held: int, says: str | None) -> None:
    given = resources(split(10, held))
    if says is None:
        check_choosing(run(settings), given, 0)
        return
    for place in ("", "f.yaml, line 3: "):
        with pytest.raises(SpecError, match=f"^{place}{says}"):
            check_choosing(replace(run(settings), place=place.removesuffix(": ")), given, 0)


@pytest.mark.parametrize(
    ("settings", "rows", "refused"),
    [
        ({"strategy": "scratch", "recipe": {"batch_size": 8}}, 8, False),
        ({"strategy": "scratch", "recipe": {"batch_size": 8}}, 7, True),
        ({"strategy": "scratch", "recipe": {"batch_size": {"grid": [4, 8]}}}, 7, True),
        ({"strategy": "scratch", "recipe": {"batch_size": {"search": {"low": 2, "high": 8}}}}, 7, True),
        ({"strategy": "scratch", "recipe": {"batch_size": 8}, "shots": 2}, 4, False),
        ({"strategy": "scratch", "recipe": {"batch_size": 8}, "fraction": 0.1}, 4, False),
        ({"strategy": "ridge"}, 1, False),
    ],
)
def test_a_batch_must_not_be_larger_than_the_training_part(settings: dict[str, Any], rows: int, refused: bool) -> None:
    given = resources(split(rows, 2))
    if not refused:
        check_batches(run(settings), given, 0)
        return
    with pytest.raises(DataError, match=f"{rows} training images are fewer than one batch of 8; set"):
        check_batches(run(settings), given, 0)


def test_a_network_is_evaluated_on_classes_that_it_learned() -> None:
    whole = study(RUNS)
    given = resources(b=dataset("x", "y"), c=dataset("y"))
    check_evaluate_only(whole.run("again"), whole, given)
    check_evaluate_only(whole.run("chained"), whole, given)  # what a chain learned is what its first run learned
    check_evaluate_only(whole.run("source"), whole, resources())
    strange = resources(b=dataset("x", "y"), c=dataset("y", "z"))
    with pytest.raises(DataError, match=r"run 'chained' \('source' on birds\): .*'z'"):
        check_evaluate_only(whole.run("chained"), whole, strange)
    with pytest.raises(DataError, match=r"run 'again' .*one has several labels per image"):
        check_evaluate_only(whole.run("again"), whole, resources(b=dataset("x", "y", multi=True)))


def test_a_network_is_evaluated_as_what_it_is() -> None:
    whole = study(RUNS | {"again": {**RUNS["again"], "backbone": "resnet18"}})
    with pytest.raises(SpecError, match="'again' evaluates the network of 'source', which is a lenet5; set backbone"):
        check_evaluate_only(whole.run("again"), whole, resources(b=dataset("x", "y")))


@pytest.mark.parametrize(
    ("settings", "validation", "fitted"),
    [
        ({"strategy": "lp_ft"}, 2, True),
        ({"strategy": "lp_ft"}, 0, False),
        ({"strategy": "lp_ft", "probe_epochs": 3}, 2, False),
        ({"strategy": "fine_tune"}, 2, False),
    ],
)
def test_the_head_is_fitted_first_with_lp_ft(settings: dict[str, Any], validation: int, fitted: bool) -> None:
    task: Any = SimpleNamespace(run=run(settings))
    assert starts_fitted(task, split(4, validation)) is fitted


def test_costs_need_one_label_an_image_of_known_classes() -> None:
    spec = {"name": "s", "data": "a", "runs": {"r": {"strategy": "ridge"}}, "costs": {"confusions": {"x": {"y": 3}}}}
    check_costs(load_study(spec), resources())
    with pytest.raises(SpecError, match="unknown class 'y'"):
        check_costs(load_study(spec), resources(a=dataset("x", "z")))
    with pytest.raises(SpecError, match="these images have several; drop costs"):
        check_costs(load_study(spec), resources(a=dataset("x", "y", multi=True)))
    with pytest.raises(SpecError, match="costs"):
        load_study({**spec, "costs": {"ask": -1}})

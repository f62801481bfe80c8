from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.report.render import evaluation_words
from headstart.report.render.evaluation_words import (
    change_words,
    compared_words,
    drift_lines,
    images_words,
    measure_rows,
    said_of,
    updated_words,
)


def estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def model(name: str, **metrics: dict[str, float]) -> Any:
    return SimpleNamespace(name=name, metrics=metrics, drift=None, no_drift="no sketch")


def beside(*, refitted: bool = False, **changed: Any) -> dict[str, Any]:
    own = {"run": "ridge", "dataset": "flowers", "refitted": refitted, "value": 0.95, "n": 80}
    whole = {"model": "a", "value": 0.9, "n": 40, "own": own, "shared": 0, "change": [-0.05, -0.1, 0.01]}
    return {**whole, **changed}


def evaluation(*models: Any, multi_label: bool = False) -> Any:
    dataset = SimpleNamespace(multi_label=multi_label)
    return SimpleNamespace(models=models, dataset=dataset, metric="accuracy", folder=SimpleNamespace(root="folder"))


def test_a_measure_is_shown_where_every_model_has_it() -> None:
    first = model("a", accuracy=estimate(0.9, 0.8, 0.95), log_loss=estimate(0.3, 0.2, 0.4))
    second = model("b", accuracy=estimate(1.0, 0.9, 1.0))
    assert measure_rows(evaluation(first)) == [
        ("accuracy", "90.0 %  (80.0–95.0 %)"),
        ("log loss", "0.300  (0.200–0.400)"),
    ]
    assert measure_rows(evaluation(first, second)) == [("accuracy", "90.0 %  (80.0–95.0 %)", "100.0 %  (90.0–100.0 %)")]


def test_the_change_is_against_the_own_test_images_of_whatever_was_tested() -> None:
    words = "a: accuracy 90.0 %, -5.0 points (-10.0 to +1.0) against 95.0 %"
    assert change_words(beside(), "accuracy") == f"{words} on its own 80 test images of flowers"
    assert change_words(beside(refitted=True), "accuracy").startswith(f"{words} of the tested model that it was")
    unknown = change_words(beside(own=None, change=None), "accuracy")
    assert unknown == (
        "a: accuracy 90.0 %; its own test score and the images that it has learned from are unknown, so that none of"
        " these are left out: give the folder of its finished study, or of its run"
    )
    assert drift_lines(model("a")) == ["Drift was not measured: no sketch."]


def test_the_difference_to_images_that_are_its_own_has_no_interval() -> None:
    same = change_words(beside(n=80, shared=80, change=None, value=0.95), "accuracy")
    assert same == ("a: accuracy 95.0 %; these are its own 80 test images, of flowers, on which its study gave 95.0 %")
    some = change_words(beside(shared=12, change=None), "accuracy")
    assert some == (
        "a: accuracy 90.0 %, 95.0 % on its own 80 test images of flowers; 12 of these 40 are among them, so the"
        " difference has no interval"
    )


def test_a_score_that_has_no_interval_stands_beside_its_own() -> None:
    undefined = change_words(beside(value=None, change=None), "accuracy")
    assert undefined == "a: accuracy –, 95.0 % on its own 80 test images of flowers"


def test_the_page_says_what_the_terminal_says() -> None:
    kept = {"metric": "accuracy", "notes": ["left out: 3 images of classes that the model does not know: crab"]}
    assert said_of({**kept, "models": [beside()]}) == [
        "a: accuracy 90.0 %, -5.0 points (-10.0 to +1.0) against 95.0 % on its own 80 test images of flowers.",
        "Left out: 3 images of classes that the model does not know: crab.",
    ]


def test_classes_without_an_image_are_not_counted_as_there() -> None:
    def counted(*counts: int) -> Any:
        reader = SimpleNamespace(__len__=lambda: sum(counts))
        labels = np.repeat(np.arange(3), counts)
        return SimpleNamespace(dataset=Dataset("season", reader, labels, ("a", "b", "c")))  # type: ignore[arg-type]

    assert images_words(counted(1000, 200, 34)) == "season: 1,234 images, 3 classes"
    assert images_words(counted(1, 0, 0)) == "season: 1 image, 1 of the model's 3 classes"


def test_accuracy_that_labels_measure_is_not_estimated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(evaluation_words, "drift_sentences", lambda drift, *, labelled: asked.append(labelled) or [])
    drift_lines(SimpleNamespace(drift=SimpleNamespace(to_dict=dict)))  # type: ignore[arg-type]
    assert asked == [True]


def test_the_first_model_is_compared_with_each_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [
        {"a": "b", "b": "a", "difference": 0.02, "low": -0.01, "high": 0.05},
        {"a": "b", "b": "c", "difference": 0.5, "low": 0.4, "high": 0.6},
    ]
    boards = SimpleNamespace(boards=[SimpleNamespace(pairwise=pairs)])
    monkeypatch.setattr(evaluation_words, "load_summary", lambda folder: boards)
    assert compared_words(evaluation(model("a"), model("b"), model("c"))) == [
        "a less b, on the same images: -2.0 points (-5.0 to +1.0)"
    ]
    assert compared_words(evaluation(model("a"))) == []


@pytest.mark.parametrize(
    ("metric", "figures", "said"),
    [
        ("accuracy", (0.10, 0.04, 0.16), "is better than the previous one: accuracy 90.0 % against 80.0 %"),
        ("accuracy", (0.10, 0.00, 0.20), "may be better or worse than the previous one: accuracy 90.0 % against"),
        ("accuracy", (-0.10, -0.16, -0.04), "is worse than the previous one: accuracy 90.0 % against 80.0 %"),
        ("log_loss", (-0.10, -0.16, -0.04), "is better than the previous one: log loss 0.300 against 0.400"),
    ],
)
def test_an_updated_model_is_better_if_the_interval_says_so(
    monkeypatch: pytest.MonkeyPatch, metric: str, figures: tuple[float, float, float], said: str
) -> None:
    scores = {"accuracy": (0.9, 0.8), "log_loss": (0.3, 0.4)}
    new, old = ({name: estimate(pair[k], 0, 1) for name, pair in scores.items()} for k in (0, 1))
    found = evaluation(model("new", **new), model("old", **old))
    found.metric, found.dataset = metric, range(20)
    pair = {"a": "old", "b": "new", "difference": -figures[0], "low": -figures[2], "high": -figures[1]}
    boards = SimpleNamespace(boards=[SimpleNamespace(pairwise=[pair])])
    monkeypatch.setattr(evaluation_words, "load_summary", lambda folder: boards)
    answer = updated_words(found)
    assert answer.startswith(f"The updated model {said}") and "on the same 20 test images, " in answer
    unit = "points (" if metric == "accuracy" else "-0.100 (-0.160 to -0.040)."
    assert unit in answer and answer.endswith(").")

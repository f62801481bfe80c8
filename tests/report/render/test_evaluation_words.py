from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headstart.report.render import evaluation_words
from headstart.report.render.evaluation_words import change_words, compared_words, drift_lines, measure_rows


def estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def model(name: str, *, refitted: bool = False, **metrics: dict[str, float]) -> Any:
    own = SimpleNamespace(
        metrics={"accuracy": {"value": 0.95, "n": 80}}, dataset="flowers", run="ridge", refitted=refitted
    )
    return SimpleNamespace(
        name=name, metrics=metrics, own=own, change=(-0.05, -0.1, 0.01), drift=None, no_drift="no sketch"
    )


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
    score = estimate(0.9, 0.8, 0.95)
    words = "a: accuracy 90.0 %, -5.0 points (-10.0 to +1.0) against 95.0 %"
    assert change_words(model("a", accuracy=score), "accuracy") == f"{words} on its own 80 test images of flowers"
    refitted = model("a", refitted=True, accuracy=score)
    assert change_words(refitted, "accuracy").startswith(f"{words} of the tested model that it was")
    unknown = SimpleNamespace(name="a", own=None, change=None, metrics={"accuracy": score})
    assert change_words(unknown, "accuracy").startswith("a: accuracy 90.0 %; its own test score is unknown: ")  # type: ignore[arg-type]
    assert drift_lines(model("a")) == ["Drift was not measured: no sketch."]


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

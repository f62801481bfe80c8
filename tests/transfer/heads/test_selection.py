"""What validation rows choose: by the study's metric, then the log loss, then the simpler configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from headstart.errors import DataError, SpecError
from headstart.transfer.heads.selection import Score, Selection, best_scale, score

NAN, INF = float("nan"), float("inf")


def rows(n: int = 60, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, size=n, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    logits = draw.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return torch.from_numpy(logits.astype(np.float32)), torch.from_numpy(labels)


def chosen(*offers: tuple[str, Score | None, tuple[float, ...]], **how: Any) -> str:
    """Return the name of the configuration that is kept, and check that all its records agree."""
    selection: Selection[str] = Selection(**how)
    for name, result, simplicity in offers:
        selection.offer({"name": name}, result, lambda name=name: name, simplicity=simplicity)
    assert selection.chosen == {"name": selection.value} and selection.best["name"] == selection.value
    assert [entry["name"] for entry in selection.tried] == [name for name, _, _ in offers]
    return selection.value


def test_scores_agree_with_scikit_learn() -> None:
    logits, labels = rows()
    p = torch.softmax(logits.double(), 1).numpy()
    predicted = p.argmax(1)
    found = score(logits, labels)
    assert found.accuracy == pytest.approx((predicted == labels.numpy()).mean())
    assert found.log_loss == pytest.approx(log_loss(labels, p), abs=1e-6) and found.value is None
    assert score(logits, labels, "log_loss") == found
    balanced = score(logits, labels, "balanced_accuracy")
    assert balanced.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert score(logits, labels, "f1_macro").value == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert (balanced.accuracy, balanced.log_loss) == (found.accuracy, found.log_loss)


def test_scores_of_several_labels_are_those_of_every_decision() -> None:
    draw = np.random.default_rng(0)
    labels = draw.random((40, 3)) < 0.4
    logits = torch.from_numpy((draw.normal(size=(40, 3)) + labels).astype(np.float32))
    p = torch.sigmoid(logits.double()).numpy()
    found = score(logits, torch.from_numpy(labels), "f1_macro")
    assert found.accuracy == pytest.approx(((p > 0.5) == labels).mean())
    assert found.log_loss == pytest.approx(log_loss(labels.ravel(), p.ravel()), abs=1e-6)
    assert found.value == pytest.approx(f1_score(labels, p > 0.5, average="macro"))


def test_a_metric_without_a_meaning_or_a_name_is_refused() -> None:
    logits, labels = rows()
    with pytest.raises(DataError, match="balanced_accuracy is not defined for images with several labels"):
        score(logits, torch.zeros(60, 3, dtype=torch.bool), "balanced_accuracy")
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        score(logits, labels, "acuracy")


def test_the_accuracy_decides_then_the_log_loss() -> None:
    low, high = Score(0.8, 0.1), Score(0.9, 2.0)
    assert chosen(("low", low, ()), ("high", high, ())) == chosen(("high", high, ()), ("low", low, ())) == "high"
    worse, better = Score(0.9, 0.5), Score(0.9, 0.4)
    assert chosen(("worse", worse, (9.0,)), ("better", better, (1.0,))) == "better"
    assert chosen(("better", better, (1.0,)), ("worse", worse, (9.0,))) == "better"


def test_of_equals_the_simpler_is_chosen_then_the_one_tried_first() -> None:
    same = Score(0.9, 0.5)
    assert chosen(("weak", same, (0.1,)), ("strong", same, (1.0,)), ("middle", same, (0.5,))) == "strong"
    assert chosen(("first", same, (1.0,)), ("second", same, (1.0,))) == "first"
    assert chosen(("first", same, ()), ("second", same, ())) == "first"
    assert chosen(("slow", same, (0.1, -0.01)), ("fast", same, (0.1, -0.3))) == "slow"


@pytest.mark.parametrize(
    ("metric", "one", "other"),
    [
        ("f1_macro", Score(0.7, 0.9, 0.6), Score(0.9, 0.3, 0.5)),  # larger is better
        ("brier", Score(0.7, 0.9, 0.2), Score(0.9, 0.3, 0.3)),  # smaller is better
        ("log_loss", Score(0.7, 0.2), Score(0.9, 0.3)),
    ],
)
def test_the_metric_that_is_named_decides(metric: str, one: Score, other: Score) -> None:
    assert chosen(("one", one, ()), ("other", other, ()), metric=metric) == "one"
    assert chosen(("other", other, ()), ("one", one, ()), metric=metric) == "one"
    assert chosen(("one", one, ()), ("other", other, ()), metric="accuracy") == "other"


def test_an_undefined_metric_comes_last() -> None:
    offers = ("none", Score(0.9, 0.1, NAN), ()), ("some", Score(0.2, 0.9, 0.1), ())
    assert chosen(*offers, metric="roc_auc") == "some"


@pytest.mark.parametrize("loss", [NAN, INF])
def test_a_configuration_that_diverged_comes_last_whatever_its_accuracy(loss: float) -> None:
    diverged, poor = ("diverged", Score(1.0, loss, 1.0), ()), ("poor", Score(0.1, 3.0, 0.1), ())
    for metric in ("accuracy", "f1_macro", "log_loss"):
        assert chosen(diverged, poor, metric=metric) == "poor"
    assert chosen(diverged, ("as well", Score(1.0, loss), ())) == "diverged"


def test_with_several_labels_the_log_loss_decides_in_place_of_the_accuracy() -> None:
    offers = ("accurate", Score(0.9, 0.5, 0.2), ()), ("sure", Score(0.8, 0.4, 0.1), ())
    assert chosen(*offers, multi_label=True) == "sure"
    assert chosen(*offers, multi_label=True, metric="f1_macro") == "accurate"


def test_without_scores_the_first_is_kept_and_only_the_best_is_made() -> None:
    assert chosen(("first", None, (1.0,)), ("second", None, (2.0,))) == "first"
    made: list[int] = []
    selection: Selection[int] = Selection()
    for number, accuracy in enumerate((0.5, 0.4, 0.6, 0.6)):
        selection.offer({}, Score(accuracy, 1.0), lambda number=number: made.append(number) or number)
    assert made == [0, 2] and selection.value == 2


def test_what_was_tried_holds_settings_measurements_and_scores() -> None:
    selection: Selection[int] = Selection(metric="f1_macro")
    selection.offer({"a": 1}, Score(0.5, 0.7, 0.25), lambda: 1, also={"steps": 3}, keep={"b": 2})
    selection.offer({"a": 2}, None, lambda: 2)
    scores = {"validation_accuracy": 0.5, "validation_log_loss": 0.7, "validation_f1_macro": 0.25}
    assert selection.tried[0] == {"a": 1, "b": 2, "steps": 3, **scores} == selection.best
    assert selection.tried[1] == {"a": 2, "validation_accuracy": None, "validation_log_loss": None}
    assert selection.chosen == {"a": 1, "b": 2}


def platt(labels: torch.Tensor, classes: int) -> np.ndarray:
    doubt = 1 / (len(labels) + 2)
    return (1 - doubt) * np.eye(classes)[labels.numpy()] + doubt / classes


@pytest.mark.parametrize("start", [0.05, 1.0, 40.0])
def test_the_scale_has_the_least_log_loss_against_targets_with_platts_doubt(start: float) -> None:
    logits, labels = rows()
    wide, targets = logits.double().numpy(), platt(labels, 3)

    def loss(scale: float) -> float:
        logs = torch.log_softmax(torch.from_numpy(scale * wide), 1).numpy()
        return float(-(targets * logs).sum(1).mean())

    best = minimize_scalar(loss, bounds=(1e-3, 50), method="bounded", options={"xatol": 1e-7}).x
    assert best_scale(logits, labels, start=start) == pytest.approx(best, rel=1e-3)


def test_the_scale_of_several_labels_has_the_least_binary_log_loss() -> None:
    draw = np.random.default_rng(1)
    labels = draw.random((80, 2)) < 0.5
    wide = draw.normal(size=(80, 2)) + 1.2 * (2 * labels - 1)
    doubt = 1 / 82
    targets = labels * (1 - doubt) + doubt / 2

    def loss(scale: float) -> float:
        z = scale * wide
        return float((np.logaddexp(0, z) - targets * z).mean())

    best = minimize_scalar(loss, bounds=(1e-3, 50), method="bounded", options={"xatol": 1e-7}).x
    found = best_scale(torch.from_numpy(wide.astype(np.float32)), torch.from_numpy(labels))
    assert found == pytest.approx(best, rel=1e-3)


def test_logits_that_are_always_right_keep_a_finite_scale() -> None:
    labels = torch.arange(20) % 2
    logits = torch.eye(2)[labels]
    # p of the truth is sigmoid(scale); the target is 1 - 1/22 + 1/44 = 43/44, so scale = log 43
    assert best_scale(logits, labels) == pytest.approx(np.log(43), rel=1e-3)


def test_few_steps_stop_on_the_way_and_a_loose_tolerance_stops_early() -> None:
    logits, labels = rows()
    exact = best_scale(logits, labels, start=100.0)
    assert best_scale(logits, labels, start=100.0, steps=1) >= 25.0  # at most to a quarter in one step
    assert best_scale(logits, labels, start=0.001, steps=1) <= 0.004
    assert best_scale(logits, labels, start=exact * 1.01, tolerance=0.02) == pytest.approx(exact, rel=0.02)
    assert best_scale(1e-9 * logits, labels, start=1.0, steps=60) <= 1e6

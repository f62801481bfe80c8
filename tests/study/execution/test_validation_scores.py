"""How well a candidate did on validation, by the metric that the study names."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss

from headstart.study.execution.validation_scores import validation_scores

DRAW = np.random.default_rng(0)
LABELS = DRAW.choice(3, size=50, p=[0.6, 0.3, 0.1])
PROBABILITIES = DRAW.dirichlet(np.ones(3), size=50).astype(np.float32)
WIDE = PROBABILITIES / PROBABILITIES.sum(1, keepdims=True, dtype=np.float64)


def test_accuracy_and_log_loss_are_scikit_learns_and_the_accuracy_is_the_merit() -> None:
    found = validation_scores(PROBABILITIES, LABELS, "accuracy")
    assert found["accuracy"] == found["merit"] == pytest.approx((PROBABILITIES.argmax(1) == LABELS).mean())
    assert found["log_loss"] == pytest.approx(log_loss(LABELS, WIDE), rel=1e-5)


def test_the_merit_is_larger_for_what_is_better() -> None:
    merits = {
        name: validation_scores(PROBABILITIES, LABELS, name)["merit"] for name in ("f1_macro", "balanced_accuracy")
    }
    assert merits["f1_macro"] == pytest.approx(f1_score(LABELS, PROBABILITIES.argmax(1), average="macro"))
    assert merits["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LABELS, PROBABILITIES.argmax(1)))
    brier = brier_score_loss(LABELS, WIDE, labels=[0, 1, 2], scale_by_half=False)
    assert validation_scores(PROBABILITIES, LABELS, "brier")["merit"] == pytest.approx(-brier, rel=1e-5)
    assert validation_scores(PROBABILITIES, LABELS, "log_loss")["merit"] < 0


def test_a_probability_of_zero_costs_a_finite_loss() -> None:
    found = validation_scores(np.eye(2, dtype=np.float32), np.array([1, 1]), "accuracy")
    assert found["log_loss"] == pytest.approx(-np.log(1e-7) / 2) and found["accuracy"] == 0.5


def test_several_labels_are_scored_by_decision() -> None:
    labels = np.array([[True, False], [True, True]])
    probabilities = np.array([[0.9, 0.6], [0.5, 0.8]], np.float32)
    found = validation_scores(probabilities, labels, "accuracy")
    assert found["accuracy"] == found["merit"] == 0.5  # right: 0.9 and 0.8
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.5, 0.8]).mean(), rel=1e-6)
    assert validation_scores(probabilities, labels, "label_accuracy")["merit"] == 0.5

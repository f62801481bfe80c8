from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from sklearn import metrics as sk

from headstart.evaluate.metrics.intervals import mean_loss, wilson
from headstart.evaluate.metrics.metrics import evaluate
from headstart.evaluate.metrics.multilabel import averages, count, decision_log_losses, evaluate_multi_label

NAMES = ["a", "b", "c", "d", "e"]


def example(n: int = 250, seed: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.random((n, 5)) < np.array([0.3, 0.1, 0.5, 0.2, 0.3])
    return labels, 1 / (1 + np.exp(-(generator.normal(size=(n, 5)) + 2 * labels - 1)))


MULTI: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "map": lambda y, p: sk.average_precision_score(y, p, average="macro"),
    "roc_auc": lambda y, p: sk.roc_auc_score(y, p, average="macro"),
    "f1_micro": lambda y, p: sk.f1_score(y, p > 0.5, average="micro"),
    "f1_macro": lambda y, p: sk.f1_score(y, p > 0.5, average="macro"),
    "precision_micro": lambda y, p: sk.precision_score(y, p > 0.5, average="micro"),
    "recall_micro": lambda y, p: sk.recall_score(y, p > 0.5, average="micro"),
    "subset_accuracy": lambda y, p: sk.accuracy_score(y, p > 0.5),
    "precision_macro": lambda y, p: sk.precision_score(y, p > 0.5, average="macro"),
    "recall_macro": lambda y, p: sk.recall_score(y, p > 0.5, average="macro"),
    "accuracy": lambda y, p: sk.accuracy_score(y, p > 0.5),
    "log_loss": lambda y, p: float(np.mean([sk.log_loss(y[:, c], p[:, c]) for c in range(y.shape[1])])),
    "label_accuracy": lambda y, p: 1 - sk.hamming_loss(y, p > 0.5),
}


@pytest.mark.parametrize("measure", sorted(MULTI))
def test_multi_label_measures_agree_with_scikit_learn(measure: str) -> None:
    labels, probabilities = example()
    found = evaluate(labels, probabilities, NAMES, draws=50)[measure]
    assert found["value"] == pytest.approx(MULTI[measure](labels, probabilities))
    assert found["low"] < found["value"] < found["high"]
    assert found["n"] == 250


def test_measures_agree_with_torchmetrics() -> None:
    labels, probabilities = example(seed=11)
    found = evaluate_multi_label(labels, probabilities, NAMES, draws=20)
    given = {"preds": torch.tensor(probabilities), "target": torch.tensor(labels.astype(int)), "num_labels": 5}
    assert found["map"]["value"] == pytest.approx(float(tm.multilabel_average_precision(**given)), abs=1e-6)
    assert found["roc_auc"]["value"] == pytest.approx(float(tm.multilabel_auroc(**given)), abs=1e-6)
    assert found["subset_accuracy"]["value"] == pytest.approx(float(tm.multilabel_exact_match(**given)), abs=1e-6)
    for average in ("micro", "macro"):
        expected = float(tm.multilabel_f1_score(**given, average=average))
        assert found[f"f1_{average}"]["value"] == pytest.approx(expected, abs=1e-6)


def test_figures_per_class_agree_with_scikit_learn() -> None:
    labels, probabilities = example(seed=12)
    rows = evaluate_multi_label(labels, probabilities, NAMES, draws=50)["per_class"]
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, probabilities > 0.5)
    assert [row["class"] for row in rows] == NAMES
    for c, row in enumerate(rows):
        assert (row["n"], row["predicted"]) == (support[c], (probabilities[:, c] > 0.5).sum())
        assert row["correct"] == (labels[:, c] & (probabilities[:, c] > 0.5)).sum()
        for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
            assert row[name]["value"] == pytest.approx(expected[c])
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]
        assert row["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels[:, c], probabilities[:, c]))
        assert row["pr_auc"]["value"] == pytest.approx(sk.average_precision_score(labels[:, c], probabilities[:, c]))
        assert (row["f1"]["n"], row["roc_auc"]["n"]) == (support[c], 250)


def test_a_probability_of_one_half_is_no_prediction() -> None:
    labels = np.array([[True, False], [True, True]])
    found = evaluate_multi_label(labels, np.full((2, 2), 0.5), ["a", "b"], draws=5)
    assert found["recall_micro"]["value"] == 0.0
    assert found["label_accuracy"]["value"] == 0.25
    assert found["precision_micro"]["value"] == 0.0


def test_a_class_without_images_and_predictions_is_left_out_of_macro_averages() -> None:
    labels, probabilities = example(seed=13)
    labels[:, 4], probabilities[:, 4] = False, 0.1
    whole = evaluate_multi_label(labels, probabilities, NAMES, draws=20)
    without = evaluate_multi_label(labels[:, :4], probabilities[:, :4], NAMES[:4], draws=20)
    for name in ("f1_macro", "precision_macro", "recall_macro", "map", "roc_auc", "f1_micro"):
        assert whole[name]["value"] == pytest.approx(without[name]["value"])
    assert whole["per_class"][4]["f1"]["value"] is None
    assert whole["per_class"][4]["roc_auc"]["value"] is None
    nothing = evaluate_multi_label(np.zeros((3, 2), dtype=bool), np.zeros((3, 2)), ["a", "b"], draws=5)
    assert (nothing["f1_macro"]["value"], nothing["map"]["value"]) == (0.0, None)


def test_a_class_told_apart_perfectly_has_the_interval_of_its_few_images() -> None:
    labels = np.zeros((60, 2), dtype=bool)
    labels[:4, 0], labels[:50, 1] = True, True
    rows = evaluate_multi_label(labels, labels.astype(float), ["rare", "frequent"], draws=20)["per_class"]
    assert rows[0]["roc_auc"]["low"] == pytest.approx(wilson(4, 4)[0])
    assert rows[0]["pr_auc"]["low"] == pytest.approx(wilson(4, 4)[0])
    assert rows[1]["roc_auc"]["low"] == pytest.approx(wilson(10, 10)[0])
    assert rows[1]["pr_auc"]["low"] == pytest.approx(wilson(50, 50)[0])


def test_label_accuracy_has_the_error_of_a_mean_over_images() -> None:
    labels, probabilities = example(seed=14)
    right = ((probabilities > 0.5) == labels).mean(axis=1)
    found = evaluate_multi_label(labels, probabilities, NAMES, draws=20)["label_accuracy"]
    effective = right.mean() * (1 - right.mean()) / (right.var() / 250)
    assert found["low"] == pytest.approx(wilson(right.mean() * effective, effective)[0])


def test_the_spread_of_averages_is_that_of_resampled_images() -> None:
    labels, probabilities = example(120, seed=15)
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, 120, 120) for _ in range(300)]
    spread = np.std([sk.f1_score(labels[rows], probabilities[rows] > 0.5, average="macro") for rows in drawn])
    found = evaluate_multi_label(labels, probabilities, NAMES, draws=1000)["f1_macro"]
    value = found["value"]
    effective = value * (1 - value) / spread**2
    low, high = wilson(value * effective, effective)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.006)


def test_log_losses_of_decisions_are_worked_out_by_hand() -> None:
    labels, probabilities = np.array([[True, False]]), np.array([[0.8, 0.3]])
    assert decision_log_losses(labels, probabilities) == pytest.approx(-np.log([[0.8, 0.7]]))
    certain = decision_log_losses(np.array([[True, True]]), np.array([[0, 1]], dtype=np.float32))
    assert certain == pytest.approx(np.array([[-np.log(np.finfo(np.float32).eps), 0.0]]), abs=1e-6)
    labels, probabilities = np.array([[True, False]] * 9), np.array([[0.8, 0.3]] * 9)
    found = evaluate_multi_label(labels, probabilities, ["a", "b"], draws=5)["log_loss"]
    unseen = -np.log([0.8, 0.3]).mean()  # the decision next to one half is reversed
    assert found == pytest.approx(mean_loss(np.full(9, -np.log([0.8, 0.7]).mean()), unseen, 36.05))
    labels[0] = [False, False]
    found = evaluate_multi_label(labels, probabilities, ["a", "b"], draws=5)["log_loss"]
    losses = decision_log_losses(labels, probabilities).mean(axis=1)
    assert found == pytest.approx(mean_loss(losses, (losses[0] + 2 * unseen) / 3, 36.05))


def test_the_only_label_of_all_images_is_found_or_is_not() -> None:
    labels = np.array([[True, False], [False, False]])
    for said, value in (([[0.9, 0.1], [0.2, 0.3]], 1.0), ([[0.1, 0.1], [0.9, 0.3]], 0.0)):
        found = evaluate_multi_label(labels, np.array(said), ["a", "b"], draws=5)
        assert [found[f"{name}_micro"]["value"] for name in ("precision", "recall", "f1")] == [value] * 3


def test_counts_and_averages_are_worked_out_by_hand() -> None:
    labels = np.array([[True, False], [True, True], [False, True]])
    counts = count(labels, np.array([[0.9, 0.6], [0.2, 0.7], [0.1, 0.8]]))
    assert (counts.support.tolist(), counts.predicted.tolist(), counts.agreed.tolist()) == (
        [[2, 2]],
        [[1, 3]],
        [[1, 2]],
    )
    found = averages(counts)
    assert found["precision_micro"] == found["recall_micro"] == pytest.approx(3 / 4)
    assert found["precision_macro"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_columns_of_a_model_with_more_classes_are_found_by_name_and_the_result_is_json() -> None:
    labels, probabilities = example(60, seed=16)
    wide = np.hstack([np.full((60, 1), 0.1), probabilities[:, ::-1]])
    found = evaluate(labels, wide, NAMES, train_classes=["x", *NAMES[::-1]], draws=20)
    plain = evaluate(labels, probabilities, NAMES, draws=20)
    assert found["map"] == pytest.approx(plain["map"])
    assert found["kind"] == plain["kind"] == "multi-label"
    assert (plain["n"], plain["classes"], found["classes"]) == (60, NAMES, ["x", *NAMES[::-1]])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("kind", ["perfect", "all wrong", "one image"])
def test_every_interval_stays_in_bounds(kind: str) -> None:
    labels, _ = example(1 if kind == "one image" else 30, seed=17)
    found = evaluate_multi_label(labels, (labels ^ (kind == "all wrong")).astype(np.float64), NAMES, draws=100)
    for name, entry in found.items():
        if isinstance(entry, dict) and entry["value"] is not None:
            assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= (36.05 if name == "log_loss" else 1), name

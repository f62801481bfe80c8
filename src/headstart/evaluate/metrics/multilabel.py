"""Measures where an image may have several labels: each class is a yes or no of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from headstart.evaluate.metrics import auc as areas
from headstart.evaluate.metrics.confusion import Counts, precision_recall_f1
from headstart.evaluate.metrics.intervals import RESAMPLES, bounded, multiplicities, proportion

THRESHOLD = 0.5


def evaluate_multi_label(
    labels: Bool[np.ndarray, "n c"],
    probabilities: Float[np.ndarray, "n c"],
    classes: Sequence[str],
    *,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Score multi-label predictions; a class is predicted where its probability is above 0.5.

    Returns:
        A dict that JSON can hold; figures with an interval are {"value", "low", "high", "n"}:
        n; subset_accuracy (all labels of an image right; also under `accuracy`, for rankings),
        label_accuracy (share of single decisions that are right), map (mean average precision),
        roc_auc, precision_micro, recall_micro, f1_micro, precision_macro, recall_macro, f1_macro;
        per_class rows.
    """
    n = len(labels)
    predicted = probabilities > THRESHOLD
    exact = int((predicted == labels).all(axis=1).sum())
    result: dict[str, Any] = {"kind": "multi-label", "n": n, "classes": list(classes)}
    result["subset_accuracy"] = proportion(exact, n)
    result["accuracy"] = proportion(exact, n)
    curves = [
        (
            areas.roc_area(probabilities[:, c], labels[:, c]),
            areas.average_precision(probabilities[:, c], labels[:, c]),
        )
        for c in range(len(classes))
    ]
    result["map"] = bounded(*areas.macro_area([pr for _, pr in curves]), n)
    result["roc_auc"] = bounded(*areas.macro_area([roc for roc, _ in curves]), n)
    right = (predicted == labels).mean(axis=1)
    result["label_accuracy"] = bounded(float(right.mean()), float(right.std() / np.sqrt(n)), n)
    counts = _count(np.ones((1, n)), labels, predicted)
    again = _resampled(labels, predicted, draws, seed)
    values, spread = _averages(counts), _averages(again)
    for name, value in values.items():
        result[name] = bounded(float(value[0]), float(np.nanstd(spread[name])), n)
    result["per_class"] = _rows(counts, again, curves, classes, n)
    return result


def _rows(
    counts: Counts, again: Counts, curves: list[tuple[areas.Area, areas.Area]], classes: Sequence[str], n: int
) -> list[dict[str, Any]]:
    f1, f1_again = precision_recall_f1(counts)[2][0], precision_recall_f1(again)[2]
    rows = []
    for c, name in enumerate(classes):
        support, guessed, agreed = (int(x[0, c]) for x in (counts.support, counts.predicted, counts.agreed))
        spread = f1_again[:, c][np.isfinite(f1_again[:, c])]
        (roc, roc_influence), (pr, pr_influence) = curves[c]
        rows.append(
            {
                "class": name,
                "n": support,
                "predicted": guessed,
                "correct": agreed,
                "precision": proportion(agreed, guessed),
                "recall": proportion(agreed, support),
                "f1": bounded(float(f1[c]), float(spread.std()) if len(spread) else 0.0, support or guessed),
                "roc_auc": bounded(roc, areas.standard_error(roc_influence), n),
                "pr_auc": bounded(pr, areas.standard_error(pr_influence), n),
            }
        )
    return rows


def _averages(counts: Counts) -> dict[str, np.ndarray]:
    agreed, guessed, support = (x.sum(axis=1) for x in (counts.agreed, counts.predicted, counts.support))
    values = {
        "precision_micro": agreed / np.maximum(guessed, 1),
        "recall_micro": agreed / np.maximum(support, 1),
        "f1_micro": 2 * agreed / np.maximum(guessed + support, 1),
    }
    for name, measure in zip(("precision", "recall", "f1"), precision_recall_f1(counts), strict=True):
        known = np.isfinite(measure).sum(axis=1)
        values[f"{name}_macro"] = np.where(known > 0, np.nansum(measure, axis=1) / np.maximum(known, 1), 0.0)
    return values


def _count(
    weights: Float[np.ndarray, "b n"], labels: Bool[np.ndarray, "n c"], predicted: Bool[np.ndarray, "n c"]
) -> Counts:
    return Counts(weights @ labels, weights @ predicted, weights @ (labels & predicted))


def _resampled(labels: Bool[np.ndarray, "n c"], predicted: Bool[np.ndarray, "n c"], draws: int, seed: int) -> Counts:
    blocks = [_count(weights, labels, predicted) for weights in multiplicities(len(labels), draws, seed)]
    return Counts(
        np.concatenate([block.support for block in blocks]),
        np.concatenate([block.predicted for block in blocks]),
        np.concatenate([block.agreed for block in blocks]),
    )

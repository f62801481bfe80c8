"""Measures for images with several labels: each class is a decision of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from headstart.evaluate.metrics import auc
from headstart.evaluate.metrics.confusion import Counts, precision_recall_f1
from headstart.evaluate.metrics.intervals import RESAMPLES, Estimate, bounded, mean_loss, multiplicities, proportion

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
        label_accuracy (share of decisions that are right), log_loss (mean over decisions), map (mean average
        precision), roc_auc, precision_micro, recall_micro, f1_micro, precision_macro, recall_macro, f1_macro;
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
            auc.roc_area(probabilities[:, c], labels[:, c]),
            auc.average_precision(probabilities[:, c], labels[:, c]),
        )
        for c in range(len(classes))
    ]
    result["map"] = bounded(*auc.macro_area([pr for _, pr in curves]), n)
    result["roc_auc"] = bounded(*auc.macro_area([roc for roc, _ in curves]), n)
    right = (predicted == labels).mean(axis=1)
    result["label_accuracy"] = bounded(float(right.mean()), float(right.std() / np.sqrt(n)), n)
    result["log_loss"] = _mean_log_loss(labels, probabilities, predicted)
    counts = count(labels, probabilities)
    again = _resampled(labels, predicted, draws, seed)
    spread = _averages(again)
    for name, value in averages(counts).items():
        result[name] = bounded(value, float(spread[name].std()), n)
    result["per_class"] = _rows(counts, again, curves, classes, n)
    return result


def count(labels: Bool[np.ndarray, "n c"], probabilities: Float[np.ndarray, "n c"]) -> Counts:
    """Count images with each label, predicted with it, and both: one row."""
    return _count(np.ones((1, len(labels))), labels, probabilities > THRESHOLD)


def averages(counts: Counts) -> dict[str, float]:
    """Return precision, recall and F1 of all decisions together (micro) and averaged over classes (macro)."""
    return {name: float(value[0]) for name, value in _averages(counts).items()}


def decision_log_losses(
    labels: Bool[np.ndarray, "n c"], probabilities: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "n c"]:
    """Return -log of the probability given to the truth of each decision, clipped at the type's precision."""
    least = float(np.finfo(probabilities.dtype).eps)
    truth = np.where(labels, probabilities, 1 - probabilities).astype(np.float64)
    return np.asarray(-np.log(np.clip(truth, least, 1 - least)))


def _mean_log_loss(
    labels: Bool[np.ndarray, "n c"], probabilities: Float[np.ndarray, "n c"], predicted: Bool[np.ndarray, "n c"]
) -> Estimate:
    """Return the log loss; a mistake is expected to cost what the observed ones do, and two decisions reversed."""
    each = decision_log_losses(labels, probabilities)
    losses, wrong = each.mean(axis=1), (predicted != labels).any(axis=1)
    closest = np.abs(probabilities - THRESHOLD).argmin(axis=1)
    rows = np.arange(len(labels))
    reversed_labels = predicted.copy()
    reversed_labels[rows, closest] ^= True
    unseen = float(decision_log_losses(reversed_labels, probabilities).mean())
    mistake = (float(losses[wrong].sum()) + 2 * unseen) / (int(wrong.sum()) + 2)
    return mean_loss(losses, mistake, -float(np.log(np.finfo(probabilities.dtype).eps)))


def _rows(
    counts: Counts, again: Counts, curves: list[tuple[auc.Area, auc.Area]], classes: Sequence[str], n: int
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
                "roc_auc": bounded(roc, auc.standard_error(roc_influence), n, effective=min(support, n - support)),
                "pr_auc": bounded(pr, auc.standard_error(pr_influence), n, effective=support),
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

"""Every measure of one set of predictions, each with its number of images and its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.metrics import auc, confusion
from headstart.evaluate.metrics.calibration import BINS, binned_calibration_error, calibration_error, reliability
from headstart.evaluate.metrics.guards import check_classes, check_not_itself
from headstart.evaluate.metrics.intervals import RESAMPLES, Estimate, bounded, mean_loss, proportion
from headstart.evaluate.metrics.multilabel import evaluate_multi_label

_SUM_TOLERANCE = 1e-3  # half precision sums to 1 within this
_CERTAIN = 1e-6  # probability of all other classes together below which rounding decides what is left


def evaluate(
    labels: Int[np.ndarray, " n"] | Bool[np.ndarray, "n c"],
    probabilities: Float[np.ndarray, "rows columns"],
    classes: Sequence[str],
    *,
    train_classes: Sequence[str] | None = None,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Score predictions against labels.

    Args:
        labels: index into `classes`; or, for multi-label targets, bool [n, classes].
        probabilities: rows sum to 1; columns follow `train_classes`, which is `classes` unless given.
        classes: the class names of the dataset.
        train_classes: the class names of the model, where they may differ from the dataset's.
        draws: bootstrap resamples of the images.
        seed: of the bootstrap.

    Returns:
        A dict that JSON can hold; figures with an interval are {"value", "low", "high", "n"}:
        n; accuracy, top5_accuracy (only with more than 5 classes), balanced_accuracy, precision_macro,
        precision_weighted, recall_…, f1_…, roc_auc and map (one class against the rest, averaged),
        mcc, log_loss, brier, ece (less its bias); binned_ece (a plain number, biased upwards); per_class rows;
        confusion (rows true, columns predicted); reliability rows; classes (of the columns). For multi-label
        targets see `evaluate_multi_label`.

    Raises:
        DataError: empty, misshapen or out-of-range input; classes that the model does not know.
    """
    names = tuple(train_classes) if train_classes is not None else tuple(classes)
    columns = check_classes(names, classes)
    check_not_itself(labels, probabilities, "labels and predictions")
    _check_probabilities(probabilities, len(labels), names)
    if labels.ndim == 2:
        wide = np.zeros((len(labels), len(names)), dtype=bool)
        wide[:, columns] = labels
        return evaluate_multi_label(wide, probabilities, names, draws=draws, seed=seed)
    _check_labels(labels, len(classes))
    _check_sums(probabilities)
    return _evaluate(columns[labels], probabilities, names, draws, seed)


def log_losses(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """Return -log of the probability given to each true class, clipped at the type's precision."""
    least = float(np.finfo(probabilities.dtype).eps)
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(own, least, 1.0 - least)))


def brier_scores(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """Return the squared distance of each row from the one-hot truth, 0 … 2 (Brier 1950)."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    squares: np.ndarray = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    return np.asarray(squares - 2 * own + 1)


def mean_losses(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n c"]) -> dict[str, Estimate]:
    """Return log loss and Brier score with their intervals, which need the loss that a mistake is expected to have.

    That is the mean over the mistakes and two more, whose loss follows from the probabilities of all images: the
    expected loss if the top class is wrong, averaged with weights between those of the images that the model
    expects to be wrong and equal ones (the root of the probability of a mistake), since it may be overconfident.
    """
    correct = probabilities.argmax(axis=1) == labels
    top = probabilities.max(axis=1).astype(np.float64)
    rest = probabilities.sum(axis=1, dtype=np.float64) - top
    certain, rest = rest < _CERTAIN, np.maximum(rest, _CERTAIN)
    squares: np.ndarray = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    entropy = special.entr(probabilities).sum(axis=1, dtype=np.float64) - special.entr(top)
    most = -float(np.log(np.finfo(probabilities.dtype).eps))
    if_wrong = {"log_loss": entropy / rest, "brier": squares + 1 - 2 * (squares - top**2) / rest}
    each = {"log_loss": log_losses(labels, probabilities), "brier": brier_scores(labels, probabilities)}
    bounds = {"log_loss": most, "brier": 2.0}
    found = {}
    for name, losses in each.items():
        expected = np.where(certain, bounds[name], np.clip(if_wrong[name], 0.0, bounds[name]))
        unseen = float(np.average(expected, weights=np.sqrt(rest)))
        mistakes = losses[~correct]
        mistake = (float(mistakes.sum()) + 2 * unseen) / (len(mistakes) + 2)
        found[name] = mean_loss(losses, mistake, bounds[name])
    return found


def within_top(
    labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n c"], k: int
) -> Bool[np.ndarray, " n"]:
    """Return whether the true class is among the k most probable; among equal ones the first column comes first."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1])[None] < labels[:, None]
    ahead = (probabilities > own).sum(axis=1) + ((probabilities == own) & before).sum(axis=1)
    return np.asarray(ahead < k)


def _evaluate(
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n c"],
    names: tuple[str, ...],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    n, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    correct = predicted == labels
    confidence = probabilities.max(axis=1).astype(np.float64)
    curves = [
        (
            auc.roc_area(probabilities[:, c], labels == c),
            auc.average_precision(probabilities[:, c], labels == c),
        )
        for c in range(classes)
    ]
    result: dict[str, Any] = {"kind": "single-label", "n": n, "classes": list(names)}
    result["accuracy"] = proportion(int(correct.sum()), n)
    if classes > 5:
        result["top5_accuracy"] = proportion(int(within_top(labels, probabilities, 5).sum()), n)
    result.update(_from_counts(labels, predicted, names, curves, draws, seed))
    result["roc_auc"] = bounded(*auc.macro_area([roc for roc, _ in curves]), n)
    result["map"] = bounded(*auc.macro_area([pr for _, pr in curves]), n)
    result.update(mean_losses(labels, probabilities))
    result["ece"] = calibration_error(confidence, correct, BINS, draws, seed)
    result["binned_ece"] = binned_calibration_error(confidence, correct, BINS)
    result["reliability"] = reliability(confidence, correct, BINS)
    result["confusion"] = confusion.confusion_matrix(labels, predicted, classes).tolist()
    return result


def _from_counts(
    labels: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    names: tuple[str, ...],
    curves: list[tuple[auc.Area, auc.Area]],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    counts = confusion.count(labels, predicted, len(names))
    again = confusion.count_resampled(labels, predicted, len(names), draws, seed)
    values, spread = confusion.averages(counts), confusion.averages(again)
    alike = confusion.effective_images(counts)
    result: dict[str, Any] = {}
    for name, value in values.items():
        bounds = (-1.0, 1.0) if name == "mcc" else (0.0, 1.0)
        result[name] = bounded(float(value[0]), float(spread[name].std()), len(labels), bounds, effective=alike)
    f1, f1_again = confusion.precision_recall_f1(counts)[2][0], confusion.precision_recall_f1(again)[2]
    rows = []
    for c, name in enumerate(names):
        support, guessed, agreed = (int(x[0, c]) for x in (counts.support, counts.predicted, counts.agreed))
        spread_f1 = f1_again[:, c][np.isfinite(f1_again[:, c])]
        rows.append(
            {
                "class": name,
                "n": support,
                "predicted": guessed,
                "correct": agreed,
                "precision": proportion(agreed, guessed),
                "recall": proportion(agreed, support),
                "f1": bounded(float(f1[c]), float(spread_f1.std()) if len(spread_f1) else 0.0, support or guessed),
                "roc_auc": _one(curves[c][0], len(labels), min(support, len(labels) - support)),
                "pr_auc": _one(curves[c][1], len(labels), support),
            }
        )
    result["per_class"] = rows
    return result


def _one(area: auc.Area, n: int, rarer: int) -> Estimate:
    return bounded(area[0], auc.standard_error(area[1]), n, effective=rarer)


def _check_probabilities(probabilities: np.ndarray, n: int, names: tuple[str, ...]) -> None:
    if n == 0:
        raise DataError("there are no images to score: the split that was asked for is empty")
    if probabilities.shape != (n, len(names)):
        raise DataError(
            f"{n} labels and {len(names)} classes need probabilities [{n}, {len(names)}], not"
            f" {list(probabilities.shape)}"
        )
    if not np.isfinite(probabilities).all() or probabilities.min() < 0 or probabilities.max() > 1 + _SUM_TOLERANCE:
        raise DataError("probabilities must be finite and between 0 and 1: apply a softmax or sigmoid to scores")


def _check_sums(probabilities: np.ndarray) -> None:
    worst = float(np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1).max())
    if worst > _SUM_TOLERANCE:
        raise DataError(
            f"each row of probabilities must sum to 1 (one is off by {worst:.3g}): apply a softmax to scores"
        )


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        bad = int(labels[(labels < 0) | (labels >= classes)][0])
        raise DataError(f"label {bad} is outside 0 … {classes - 1}, the index of the last of {classes} classes")

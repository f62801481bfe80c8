"""What each image contributes to a metric: one number an image whose mean is the score, for every metric.

Accuracy and losses are means over images anyway. F1, Matthews' correlation and the areas are not, but near the
observed score they behave like one: the contribution of image k is the score plus its influence, n · ∂score/∂w_k at
equal weights. The mean of the contributions is the score exactly, and their variance over n is the variance of the
score under resampling of the images (the infinitesimal jackknife, Efron 1982; for the ROC area it is DeLong's
estimate). Differences of two runs on the same images pair image by image, as those of accuracies do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from headstart.evaluate.metrics import auc
from headstart.evaluate.metrics.multilabel import THRESHOLD
from headstart.evaluate.metrics.scoring import Labels, Probabilities, image_scores, score_of

Sides = tuple[Bool[np.ndarray, "n c"], Bool[np.ndarray, "n c"]]
Influence = Callable[[Labels, Probabilities], Float[np.ndarray, " n"]]


def contributions(
    probabilities: Probabilities, labels: Labels, metric: str = "accuracy"
) -> Float[np.ndarray, " n"] | None:
    """Return one number an image whose mean is the score; None where the score is undefined for these images.

    Args:
        probabilities: a row an image, a column a class.
        labels: the index of each image's column, or bool [n, classes] where an image may have several labels.
        metric: a name in METRICS.

    Raises:
        SpecError: an unknown metric, with the nearest name.
        DataError: no images, shapes that differ, or a metric that is not defined for these labels.
    """
    score = score_of(probabilities, labels, metric)
    if not np.isfinite(score):
        return None
    own = image_scores(probabilities, labels, metric)
    return own if own is not None else score + _INFLUENCES[metric](labels, probabilities)


def _sides(labels: Labels, probabilities: Probabilities) -> Sides:
    """Return which images have each class, and which are predicted to have it."""
    if labels.ndim == 2:
        return labels, probabilities > THRESHOLD
    columns = np.arange(probabilities.shape[1])
    return labels[:, None] == columns, probabilities.argmax(axis=1)[:, None] == columns


def _f1_macro(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    true, said = _sides(labels, probabilities)
    named = true.any(axis=0) | said.any(axis=0)
    each = _f1_parts(true[:, named], said[:, named])
    return np.asarray(each.mean(axis=1)) if named.any() else np.zeros(len(labels))


def _f1_micro(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    true, said = _sides(labels, probabilities)
    named, agreed = true.sum(axis=1) + said.sum(axis=1), (true & said).sum(axis=1)
    total = max(1, int(named.sum()))
    return np.asarray(len(labels) * (2 * agreed - 2 * agreed.sum() / total * named) / total)


def _f1_parts(true: Bool[np.ndarray, "n c"], said: Bool[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return the influence of each image on the F1 of each class, 2 · agreed / (images + predictions)."""
    named, agreed = true.astype(np.float64) + said, true & said
    total = named.sum(axis=0)
    f1 = 2 * agreed.sum(axis=0) / total
    return np.asarray(len(true) * (2 * agreed - f1 * named) / total)


def _matthews(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    """Return the influence on Gorodkin's (2004) correlation; zero where one side is constant."""
    n, said = len(labels), probabilities.argmax(axis=1)
    support, predicted = (
        np.bincount(side, minlength=probabilities.shape[1]).astype(np.float64) for side in (labels, said)
    )
    right = said == labels
    covariance = n * right.sum() - support @ predicted
    spreads = n**2 - predicted @ predicted, n**2 - support @ support
    if min(spreads) <= 0:
        return np.zeros(n)
    root = np.sqrt(spreads[0] * spreads[1])
    moved = n * right + right.sum() - predicted[labels] - support[said]
    widened = (n - predicted[said]) / spreads[0] + (n - support[labels]) / spreads[1]
    return np.asarray(n * (moved - covariance * widened) / root)


def _area(
    curve: Callable[[np.ndarray, np.ndarray], auc.Area], labels: Labels, probabilities: Probabilities
) -> np.ndarray:
    true, _ = _sides(labels, probabilities)
    areas = [curve(*pair) for pair in zip(probabilities.T, true.T, strict=True)]
    return np.asarray(np.mean([influence for area, influence in areas if np.isfinite(area)], axis=0))


def _roc_area(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    return _area(auc.roc_area, labels, probabilities)


def _average_precision(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    return _area(auc.average_precision, labels, probabilities)


_INFLUENCES: dict[str, Influence] = {  # of the metrics that are not a mean over images
    "f1_macro": _f1_macro,
    "f1_micro": _f1_micro,
    "mcc": _matthews,
    "roc_auc": _roc_area,
    "map": _average_precision,
}

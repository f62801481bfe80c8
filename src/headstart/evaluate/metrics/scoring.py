"""The metrics that a study can decide by: one number for a set of predictions, with its direction and bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.errors import DataError, choose
from headstart.evaluate.metrics import auc, confusion, multilabel
from headstart.evaluate.metrics.metrics import brier_scores, log_losses

Labels = Int[np.ndarray, " labels"] | Bool[np.ndarray, "labels classes"]
Probabilities = Float[np.ndarray, "rows columns"]  # as many as labels; `_check` says so in words
Scorer = Callable[[Labels, Probabilities], float]
PerImage = Callable[[Labels, Probabilities], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Metric:
    """How predictions are scored.

    Args:
        name: as in a study file, and in the result of `evaluate`.
        meaning: one line.
        higher_is_better: the direction.
        bounds: its least and greatest value; a log loss is bounded by the precision of the probabilities only.
        single_label, multi_label: the score for one label an image and for several; None where it has no meaning.
        per_image, per_image_multi_label: one score an image whose mean is the metric; None where there is none.
    """

    name: str
    meaning: str
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    single_label: Scorer | None = None
    multi_label: Scorer | None = None
    per_image: PerImage | None = None
    per_image_multi_label: PerImage | None = None


POINTWISE = ("accuracy", "label_accuracy", "log_loss", "brier")  # an image's score does not depend on the other images


def score_of(probabilities: Probabilities, labels: Labels, metric: str = "accuracy") -> float:
    """Return the score of predictions by one metric; NaN where it is undefined, as an AUC of a single class.

    Args:
        probabilities: a row an image, a column a class.
        labels: the index of each image's column, or bool [n, classes] where an image may have several labels.
        metric: a name in METRICS.

    Raises:
        SpecError: an unknown metric, with the nearest name.
        DataError: no images, shapes that differ, or a metric that is not defined for these labels.
    """
    choose("metric", metric, METRICS)
    _check(probabilities, labels)
    return float(scorer_of(metric, multi_label=labels.ndim == 2)(labels, probabilities))


def scorer_of(metric: str, *, multi_label: bool) -> Scorer:
    """Return what scores predictions of images with one label, or with several, by a metric.

    Raises:
        SpecError: an unknown metric, with the nearest name.
        DataError: the metric is not defined for such labels.
    """
    kind, side = ("several labels", "multi_label") if multi_label else ("one label", "single_label")
    scorer: Scorer | None = getattr(choose("metric", metric, METRICS), side)
    if scorer is None:
        known = ", ".join(name for name, each in METRICS.items() if getattr(each, side) is not None)
        raise DataError(f"{metric} is not defined for images with {kind}: choose one of {known}")
    return scorer


def image_scores(
    probabilities: Probabilities, labels: Labels, metric: str = "accuracy"
) -> Float[np.ndarray, " n"] | None:
    """Return one score an image, whose mean is `score_of`; None if the metric is not a mean over images."""
    found = choose("metric", metric, METRICS)
    _check(probabilities, labels)
    scorer = found.per_image_multi_label if labels.ndim == 2 else found.per_image
    return None if scorer is None else np.asarray(scorer(labels, probabilities), dtype=np.float64)


def merit(score: float | None, metric: str) -> float:
    """Return a number that is larger the better the score is, by the metric's direction; -inf for None and NaN."""
    if score is None or math.isnan(score):
        return -math.inf
    return score if choose("metric", metric, METRICS).higher_is_better else -score


def _correct(labels: Labels, probabilities: Probabilities) -> Bool[np.ndarray, " n"]:
    return np.asarray(probabilities.argmax(axis=1) == labels)


def _balanced(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    images = np.bincount(labels)
    weight = len(labels) / (np.count_nonzero(images) * images[labels])
    return np.asarray(_correct(labels, probabilities) * weight)


def _averaged(name: str, labels: Labels, probabilities: Probabilities) -> float:
    if labels.ndim == 2:
        return multilabel.averages(multilabel.count(labels, probabilities))[name]
    counts = confusion.count(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return float(confusion.averages(counts)[name][0])


def _area(curve: Callable[[np.ndarray, np.ndarray], auc.Area], labels: Labels, probabilities: Probabilities) -> float:
    columns = labels if labels.ndim == 2 else labels[:, None] == np.arange(probabilities.shape[1])
    return auc.macro_area([curve(*pair) for pair in zip(probabilities.T, columns.T, strict=True)])[0]


def _mean(each: PerImage, labels: Labels, probabilities: Probabilities) -> float:
    return float(each(labels, probabilities).mean())


def _subset(labels: Labels, probabilities: Probabilities) -> Bool[np.ndarray, " n"]:
    return np.asarray(((probabilities > multilabel.THRESHOLD) == labels).all(axis=1))


def _decisions(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    return np.asarray(((probabilities > multilabel.THRESHOLD) == labels).mean(axis=1))


def _decision_losses(labels: Labels, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    return np.asarray(multilabel.decision_log_losses(labels, probabilities).mean(axis=1))


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if len(labels) == 0:
        raise DataError("there are no images to score: give at least one")
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError(f"{len(labels)} labels need as many rows of probabilities, not {list(probabilities.shape)}")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "share of images classified correctly; with several labels, of images with every label right",
            single_label=partial(_mean, _correct),
            multi_label=partial(_mean, _subset),
            per_image=_correct,
            per_image_multi_label=_subset,
        ),
        Metric(
            "balanced_accuracy",
            "recall averaged over classes, so that rare classes count as much as frequent ones",
            single_label=partial(_mean, _balanced),
            per_image=_balanced,
        ),
        Metric(
            "f1_macro",
            "F1, the harmonic mean of precision and recall, averaged over classes",
            single_label=partial(_averaged, "f1_macro"),
            multi_label=partial(_averaged, "f1_macro"),
        ),
        Metric(
            "mcc",
            "Matthews' correlation of labels and predictions; 0 for a guess that ignores the image",
            bounds=(-1.0, 1.0),
            single_label=partial(_averaged, "mcc"),
        ),
        Metric(
            "roc_auc",
            "area under the ROC curve of each class against the rest, averaged over classes",
            single_label=partial(_area, auc.roc_area),
            multi_label=partial(_area, auc.roc_area),
        ),
        Metric(
            "map",
            "average precision of each class against the rest, averaged over classes",
            single_label=partial(_area, auc.average_precision),
            multi_label=partial(_area, auc.average_precision),
        ),
        Metric(
            "f1_micro",
            "F1 of all decisions together",
            multi_label=partial(_averaged, "f1_micro"),
        ),
        Metric(
            "label_accuracy",
            "share of (image, class) decisions that are right",
            multi_label=partial(_mean, _decisions),
            per_image_multi_label=_decisions,
        ),
        Metric(
            "log_loss",
            "mean of -log of the probability given to the truth; punishes confident mistakes most",
            higher_is_better=False,
            bounds=(0.0, math.inf),
            single_label=partial(_mean, log_losses),
            multi_label=partial(_mean, _decision_losses),
            per_image=log_losses,
            per_image_multi_label=_decision_losses,
        ),
        Metric(
            "brier",
            "mean squared distance of the probabilities from the truth",
            higher_is_better=False,
            bounds=(0.0, 2.0),
            single_label=partial(_mean, brier_scores),
            per_image=brier_scores,
        ),
    )
}
